// Package pipeline owns the way of an event from a source to the spool: which
// stream it takes, which block it is packed into, when that block is closed,
// compressed and made durable, and how each source stands. It never reads a
// source itself and never talks to a server.
//
// Events of one source stay in order within a stream. Emit serialises on the
// caller's goroutine; per stream one goroutine packs blocks (commitments,
// compression) and one writes them, several at a time where the disk is the
// slower part. A full spool makes Emit wait; sources that cannot wait lose
// events, which become a Gap event.
package pipeline
