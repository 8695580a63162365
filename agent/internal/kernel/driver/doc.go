// Package driver owns the reading of the kernel driver: it keeps reads in flight,
// turns what they bring into telemetry, and frees the driver's memory only for what
// the spool holds. It is a pipeline.Source. The device is behind Port; only the
// files for Windows touch one, and nothing here installs or starts a driver.
//
// Nothing is lost and nothing doubled. A record's position is (load, class, n). It
// is acknowledged once the pipeline says that its events are durable; what was not
// acknowledged is given again to whoever reads next, and what of it was durable is
// known to the pipeline by its position. A record that makes no event is
// acknowledged together with those before it.
package driver
