// Package collect owns the sources that every platform has: exported event logs
// given by hand or found in a watched folder. It reads files and emits events;
// it never decides where they go and keeps no state of its own.
package collect
