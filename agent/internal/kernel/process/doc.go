// Package process owns the table of the host's processes: it mints their
// identities and says whose a process id was at a time, since Windows gives ids
// anew. It is pure: it is told of starts and ends and asks nobody.
package process
