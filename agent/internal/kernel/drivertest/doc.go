// Package drivertest is a kernel driver for tests: the rings, losses, reads and
// acknowledgements that driver/abi.h promises, in memory. It is written from the
// contract and not from the reader, which it is to find at fault.
package drivertest
