package assay

import "time"

// ServerID names one run of a server program: a server that is started again is
// another one.
type ServerID [16]byte

func (id ServerID) String() string { return formatID(id) }

// Server is one of the servers on a database.
type Server struct {
	ID      ServerID
	Name    string // of the machine
	Version string
}

// Lease is what a server holds of a task that one server is enough for.
type Lease struct {
	Task string
	// Holder is the zero ServerID where nobody holds it.
	Holder ServerID
	// Free is how long nobody has held it, 0 while somebody does.
	Free time.Duration
}
