package evtx_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/evtx/evtxtest"
)

// chunkAt is where chunk i of a file starts.
func chunkAt(i int) int { return evtxtest.FileHeaderSize + i*evtxtest.ChunkSize }

// threeChunks is a log of three chunks of ten records, numbered from 1.
func threeChunks(options evtxtest.Options) []byte {
	options.ChunkRecords = 10
	events := make([]evtxtest.Event, 30)
	for i := range events {
		events[i] = evtxtest.Event{
			RecordID: uint64(i + 1), Time: moment, Provider: "P", Channel: "C", Computer: "H", EventID: 4624,
			Data: []evtxtest.Field{evtxtest.Named("n", evtxtest.Uint32(uint32(i))), evtxtest.Named("text", evtxtest.String("some text"))},
		}
	}
	return evtxtest.Log(options, events...)
}

// recordAt is the offset of a record of threeChunks.
func recordAt(t *testing.T, file []byte, number uint64) int {
	t.Helper()
	for _, p := range read(t, file).positions {
		if p.RecordNumber == number {
			return int(p.Offset)
		}
	}
	t.Fatalf("no record %d", number)
	return 0
}

func put32(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
func put64(b []byte, at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
func get32(b []byte, at int) uint32    { return binary.LittleEndian.Uint32(b[at:]) }

func TestDamage(t *testing.T) {
	t.Parallel()
	type damage struct {
		edit func(t *testing.T, b []byte) []byte
		// reseal makes the checksums match the edit, as a forger would.
		reseal  bool
		missing []uint64 // records not yielded
		notes   []string // in order, parts of the texts of Notes
		damages []string // and of Damage
	}
	for name, test := range map[string]damage{
		"clean": {edit: func(_ *testing.T, b []byte) []byte { return b }},
		"dirty": {
			edit:  func(_ *testing.T, b []byte) []byte { return threeChunks(evtxtest.Options{Dirty: true}) },
			notes: []string{"offset 120: the log was not closed"},
		},
		"no checksums": {
			edit: func(_ *testing.T, b []byte) []byte { return threeChunks(evtxtest.Options{NoChecksums: true}) },
			notes: []string{"offset 124: the file header has no checksum", "offset 4220 (chunk 0): the chunk header has no checksum",
				"offset 4148 (chunk 0): the record area has no checksum"},
		},
		"file header changed": {
			edit:    func(_ *testing.T, b []byte) []byte { b[30] ^= 1; return b },
			damages: []string{"offset 124: the checksum of the file header does not match"},
		},
		"unknown version": {
			edit:    func(_ *testing.T, b []byte) []byte { b[38] = 4; return b },
			reseal:  true,
			damages: []string{"offset 36: unknown format version 4.1"},
		},
		"header block size": {
			edit:    func(_ *testing.T, b []byte) []byte { b[41] = 0; return b },
			reseal:  true,
			damages: []string{"offset 40: the header block size is 0"},
		},
		"chunk header changed": {
			edit:    func(_ *testing.T, b []byte) []byte { b[chunkAt(1)+24] ^= 1; return b },
			damages: []string{"offset 69756 (chunk 1): the checksum of the chunk header does not match"},
		},
		"chunk signature": {
			edit:    func(_ *testing.T, b []byte) []byte { b[chunkAt(1)] = 'X'; return b },
			damages: []string{"offset 69632 (chunk 1): unreadable chunk"},
		},
		"chunk overwritten": {
			edit: func(_ *testing.T, b []byte) []byte {
				copy(b[chunkAt(1):chunkAt(2)], bytes.Repeat([]byte("x"), evtxtest.ChunkSize))
				return b
			},
			missing: []uint64{11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
			damages: []string{"unreadable chunk", "offset 70144 (chunk 1): no readable record here: the signature is missing"},
		},
		"chunk zeroed": {
			edit:    func(_ *testing.T, b []byte) []byte { clear(b[chunkAt(1):chunkAt(2)]); return b },
			missing: []uint64{11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
			damages: []string{"offset 69632 (chunk 1): the chunk is empty, but the file header counts it"},
		},
		"chunk zeroed in a log whose count is stale": {
			edit: func(_ *testing.T, b []byte) []byte {
				clear(b[chunkAt(1):chunkAt(2)])
				b[42], b[120] = 1, 1
				return b
			},
			reseal:  true,
			missing: []uint64{11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
			notes:   []string{"the log was not closed"},
			damages: []string{"offset 69632 (chunk 1): 1 empty chunks lie before one in use"},
		},
		"space reserved ahead": {
			edit: func(_ *testing.T, b []byte) []byte { return append(b, make([]byte, 2*evtxtest.ChunkSize)...) },
		},
		"value changed": {
			edit: func(t *testing.T, b []byte) []byte {
				b[recordAt(t, b, 15)+16] ^= 1
				return b
			},
			damages: []string{"offset 69684 (chunk 1): the checksum of the record area does not match"},
		},
		"size copies differ": {
			edit: func(t *testing.T, b []byte) []byte {
				at := recordAt(t, b, 15)
				b[at+int(get32(b, at+4))-4] ^= 0x10
				return b
			},
			reseal:  true,
			damages: []string{"the sizes of record 15 differ"},
		},
		"torn record": {
			edit: func(t *testing.T, b []byte) []byte {
				at := recordAt(t, b, 20)
				clear(b[at+100 : chunkAt(2)])
				return b
			},
			reseal:  true,
			missing: []uint64{20},
			damages: []string{"record 20 was not written to its end"},
		},
		"record size 0": {
			edit:    func(t *testing.T, b []byte) []byte { put32(b, recordAt(t, b, 15)+4, 0); return b },
			reseal:  true,
			missing: []uint64{15},
			damages: []string{"no readable record here: the record's size is 0", "announces 10 records (11 to 20), 9 were found"},
		},
		"record size huge": {
			edit:    func(t *testing.T, b []byte) []byte { put32(b, recordAt(t, b, 15)+4, 0xffffffff); return b },
			reseal:  true,
			missing: []uint64{15},
			damages: []string{"no readable record here: the record's size is 4294967295", "9 were found"},
		},
		"record reaches past the records": {
			edit:    func(t *testing.T, b []byte) []byte { put32(b, recordAt(t, b, 20)+4, 0x8000); return b },
			reseal:  true,
			missing: []uint64{20},
			damages: []string{"record 20 of 32768 bytes reaches past the end", "9 were found"},
		},
		"record signature": {
			edit:    func(t *testing.T, b []byte) []byte { b[recordAt(t, b, 15)] = 0; return b },
			reseal:  true,
			missing: []uint64{15},
			damages: []string{"no readable record here: the signature is missing", "9 were found"},
		},
		"broken BinXML": {
			edit: func(t *testing.T, b []byte) []byte {
				b[recordAt(t, b, 15)+28] = 0x1f
				return b
			},
			reseal:  true,
			missing: []uint64{15},
			damages: []string{"record 15 cannot be decoded: token 0x1f where an element is due; it is left out"},
		},
		"rest of the records zeroed": {
			edit: func(t *testing.T, b []byte) []byte {
				at := recordAt(t, b, 16)
				clear(b[at:chunkAt(2)])
				return b
			},
			reseal:  true,
			missing: []uint64{16, 17, 18, 19, 20},
			damages: []string{"the records end here", "announces 10 records (11 to 20), 5 were found"},
		},
		"free space too small": {
			edit: func(t *testing.T, b []byte) []byte {
				put32(b, chunkAt(1)+48, uint32(recordAt(t, b, 18)-chunkAt(1)))
				return b
			},
			reseal:  true,
			missing: []uint64{18, 19, 20},
			damages: []string{"announces 10 records (11 to 20), 7 were found", "record 18 lies behind the end that the chunk header gives"},
		},
		"free space and count too small": {
			edit: func(t *testing.T, b []byte) []byte {
				put32(b, chunkAt(1)+48, uint32(recordAt(t, b, 18)-chunkAt(1)))
				put64(b, chunkAt(1)+16, 17)
				put64(b, chunkAt(1)+32, 17)
				return b
			},
			reseal:  true,
			missing: []uint64{18, 19, 20},
			damages: []string{"record 18 lies behind the end that the chunk header gives"},
		},
		"not yet entered in a dirty log": {
			edit: func(t *testing.T, b []byte) []byte {
				put32(b, chunkAt(1)+48, uint32(recordAt(t, b, 19)-chunkAt(1)))
				put64(b, chunkAt(1)+16, 18)
				put64(b, chunkAt(1)+32, 18)
				put32(b, 120, 1)
				return b
			},
			reseal: true,
			notes:  []string{"the log was not closed", "record 19 is not yet entered", "record 20 is not yet entered"},
		},
		"free space in the header": {
			edit:    func(_ *testing.T, b []byte) []byte { put32(b, chunkAt(1)+48, 100); return b },
			reseal:  true,
			damages: []string{"the free-space offset 100 lies outside the chunk", "the checksum of the record area"},
		},
		"free space to the end, slack of an older use": {
			// Windows reuses chunks: behind the newest record lie old ones.
			edit: func(t *testing.T, b []byte) []byte {
				from, to := recordAt(t, b, 1), recordAt(t, b, 6)
				copy(b[chunkAt(1)+int(get32(b, chunkAt(1)+48)):], b[from:to])
				put32(b, chunkAt(1)+48, evtxtest.ChunkSize)
				return b
			},
			reseal:  true,
			damages: []string{"no readable record here: record 1 is not one of this chunk's 11 to 20"},
		},
		"free space to the end, slack of a later use": {
			// A forger's record: well-formed, but not one that the header counts.
			edit: func(t *testing.T, b []byte) []byte {
				from, to := recordAt(t, b, 25), recordAt(t, b, 26)
				free := chunkAt(1) + int(get32(b, chunkAt(1)+48))
				copy(b[free:], b[from:to])
				put32(b, chunkAt(1)+48, uint32(free-chunkAt(1)+to-from))
				return b
			},
			reseal:  true,
			damages: []string{"no readable record here: record 25 is not one of this chunk's 11 to 20"},
		},
		"slack of an older use": {
			edit: func(t *testing.T, b []byte) []byte {
				from, to := recordAt(t, b, 1), recordAt(t, b, 6)
				copy(b[chunkAt(1)+int(get32(b, chunkAt(1)+48)):], b[from:to])
				return b
			},
		},
		"slack of an older use, header changed": {
			edit: func(t *testing.T, b []byte) []byte {
				from, to := recordAt(t, b, 1), recordAt(t, b, 6)
				copy(b[chunkAt(1)+int(get32(b, chunkAt(1)+48)):], b[from:to])
				b[chunkAt(1)+24] ^= 1
				return b
			},
			damages: []string{"the checksum of the chunk header does not match"},
		},
		"impossible count": {
			edit:    func(_ *testing.T, b []byte) []byte { put64(b, chunkAt(1)+16, 1<<40); return b },
			reseal:  true,
			damages: []string{"announces records 11 to 1099511627776, which no chunk can hold"},
		},
		"chunks beyond the header's count": {
			edit:   func(_ *testing.T, b []byte) []byte { b[42] = 1; return b },
			reseal: true,
		},
		"header counts more chunks": {
			edit:    func(_ *testing.T, b []byte) []byte { b[42] = 5; return b },
			reseal:  true,
			damages: []string{"offset 200704: the file ends here, but its header counts 5 chunks"},
		},
		"cut inside a record": {
			edit:    func(t *testing.T, b []byte) []byte { return b[:recordAt(t, b, 25)+50] },
			missing: []uint64{25, 26, 27, 28, 29, 30},
			damages: []string{"the file ends here, but its header counts 3 chunks", "the chunk is cut off", "no readable record here|reaches past the end", "announces 10 records (21 to 30), 4 were found"},
		},
		"cut inside a chunk header": {
			edit:    func(_ *testing.T, b []byte) []byte { return b[:chunkAt(2)+100] },
			missing: []uint64{21, 22, 23, 24, 25, 26, 27, 28, 29, 30},
			damages: []string{"the file ends here", "the chunk is cut off after 100 of 65536 bytes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := test.edit(t, threeChunks(evtxtest.Options{}))
			if test.reseal {
				evtxtest.Reseal(b)
			}
			r := read(t, b)
			missing := map[uint64]bool{}
			for _, number := range test.missing {
				missing[number] = true
			}
			var got, want []uint64
			for i, p := range r.positions {
				got = append(got, p.RecordNumber)
				if fmt.Sprint(p.RecordNumber-1) != r.records[i].Data[0].Value || r.records[i].RecordID != p.RecordNumber {
					t.Errorf("record %d is %+v", p.RecordNumber, r.records[i])
				}
			}
			for number := uint64(1); number <= 30; number++ {
				if !missing[number] {
					want = append(want, number)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("records %v, want %v", got, want)
			}
			checkProblems(t, r.problems, evtx.Note, test.notes)
			checkProblems(t, r.problems, evtx.Damage, test.damages)
		})
	}
}

// checkProblems compares the problems of one severity with parts of their
// texts; alternatives are separated by |.
func checkProblems(t *testing.T, problems []evtx.Problem, severity evtx.Severity, want []string) {
	t.Helper()
	var got []string
	for _, p := range problems {
		if p.Severity == severity {
			got = append(got, p.String())
		}
	}
	ok := len(got) == len(want)
	for i := 0; ok && i < len(want); i++ {
		ok = false
		for alternative := range strings.SplitSeq(want[i], "|") {
			ok = ok || strings.Contains(got[i], alternative)
		}
	}
	if !ok {
		t.Errorf("%ss:\n  %s\nwant:\n  %s", severity, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestOrdinals: a record that is left out keeps its place, so that the identity
// of the others does not depend on how much this reader can decode.
func TestOrdinals(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(b []byte, at int){
		"destroyed header": func(b []byte, at int) { b[at] = 0 },
		"broken BinXML":    func(b []byte, at int) { b[at+28] = 0x1f },
	} {
		b := threeChunks(evtxtest.Options{})
		edit(b, recordAt(t, b, 15))
		for _, p := range read(t, b).positions {
			if want := uint32(p.RecordNumber-1) % 10; p.Ordinal != want || p.RecordNumber == 15 {
				t.Errorf("%s: %+v, want ordinal %d", name, p, want)
			}
		}
	}
}

func TestDamagedFlag(t *testing.T) {
	t.Parallel()
	b := threeChunks(evtxtest.Options{})
	at := recordAt(t, b, 15)
	b[at+int(get32(b, at+4))-4] ^= 0x10
	for _, p := range read(t, b).positions {
		if p.Damaged != (p.RecordNumber == 15) {
			t.Errorf("%+v", p)
		}
	}
}

// TestTruncation cuts a file at every 512 bytes: each whole record before the
// cut is read, and the cut is damage.
func TestTruncation(t *testing.T) {
	t.Parallel()
	whole := threeChunks(evtxtest.Options{})
	full := read(t, whole)
	for size := 512; size < len(whole); size += 512 {
		b := whole[:size]
		r := read(t, b)
		want := 0
		for _, p := range full.positions {
			if int(p.Offset)+int(get32(whole, int(p.Offset)+4)) <= size {
				want++
			}
		}
		damaged := false
		for _, p := range r.problems {
			damaged = damaged || p.Severity == evtx.Damage
		}
		if len(r.records) != want || !damaged {
			t.Fatalf("cut at %d: %d records, want %d; problems %v", size, len(r.records), want, r.problems)
		}
	}
}
