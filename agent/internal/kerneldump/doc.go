// Package kerneldump owns what assay-agent kernel prints: records of the driver as
// text or JSON, live or from a file, and the driver's self-description in words. It
// decides nothing and keeps nothing.
package kerneldump
