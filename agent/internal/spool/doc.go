// Package spool owns the agent's durable queue: one directory per stream, in
// which batches are chained, written, kept until the server can no longer lose
// them, and deleted. It never touches the network and never looks into a
// payload.
//
// A batch and the progress of the sources it was read from are one frame, so
// that "how far was this source read" is exactly as durable as its events:
// after a kill at any moment nothing is lost and nothing is doubled.
//
// The chain of a stream is cut into generations. A generation is one grant of
// the server (a stream and an epoch); before the first grant it is provisional
// and is never sent. A new grant re-chains what the server does not hold into a
// new generation: new headers, same events (Rechain).
//
// On disk, in Config.Dir:
//
//	state                         what Open need not find out by reading (state.go)
//	GGGGGGGG-NNNNNNNNNNNNNNNN.seg  frames of generation G from number N, hex (segment.go)
//
// One Spool may be used by several goroutines; two Spools must never share a
// directory (see Lock).
package spool
