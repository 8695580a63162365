// Package archive owns segments of the ledger as objects of a blob store: it
// writes them, reads them back in full before they count, and reads single
// payloads out of them. Objects are immutable. Payloads stay as sealed as they
// were; the archive has no keys, and decides neither what is archived nor what
// is deleted.
//
// # Format
//
// An object is, all integers big-endian:
//
//	magic      16 bytes, "ASSAY SEGMENT 1\n"
//	records    for each batch in order of position:
//	  length      u32 of the rest of the record
//	  position    u64     stream 16 bytes    lane u16
//	  epoch       u32     number u64         received i64 (100 ns since 1970)
//	  serial, header, signature, payload: each u32 length and bytes
//	index      for each record: position u64, offset u64 of its length
//	footer     offset of the index u64, records u64, segment u64, magic
//
// A signature of no bytes is none.
package archive
