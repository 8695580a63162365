// Package fleet owns made-up hosts: a deterministic world of Windows machines
// (who they are, what their event logs say minute by minute, what goes wrong on
// which of them) and the running of one agent for each, by the code that real
// agents run on: enrol, pipeline, spool and uplink. It serves demonstrations,
// drills and load. It never invents a shortcut past the wire: every host has
// its own key, certificate, spools and stream, and says that it is simulated.
//
// The world is a function of a seed, a host's number and the time of the first
// start. What a host wrote in a minute depends on nothing else but the state at
// the beginning of that minute (record ids, counters, whether it is on), and that
// state travels in the position of every event. So a fleet that was killed at
// any moment goes on from what its spools hold: the minute is generated again,
// event for event the same, and the pipeline drops what is durable already.
package fleet
