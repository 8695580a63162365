// Package service owns one running agent: its directory, spools, pipeline,
// certificate and uplink, put together and taken down in the right order. Many
// may run in one process, each in a directory of its own; what they share (the
// compressor, rate limits) is handed in. It never reads a source itself.
package service
