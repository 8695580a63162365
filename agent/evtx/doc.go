// Package evtx owns the reading of Windows event log files: the EVTX container
// (file header, 64 KiB chunks, records, checksums) and the BinXML inside it. It
// yields winevent.Records whose text is what EvtRender prints, and names what
// is damaged.
//
// A file is evidence that anybody may have touched, so the reader treats every
// byte as hostile: it never panics, it ends on any input, what it allocates is
// bounded by limits.go, and it loses nothing silently: what it cannot yield as
// a record is a Problem with its offset.
//
// It is pure: it reads through an io.ReaderAt that the caller opened, and never
// touches a file system or a network.
package evtx
