package evaluate

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Map is the sorted Merkle map of all states of a run: an RFC 6962 tree whose
// records are (host, check, digest of the state), sorted by host and check. A
// record proves a status; two neighbours prove that nothing lies between them,
// so no host can be left out unseen.
type Map struct {
	records [][]byte
	keys    []verdictKey
	hashes  []tlog.Hash // stored hashes, as tlog numbers them
}

// Proof shows that a record is in the map of a root.
type Proof struct {
	Index  int64
	Size   int64
	Record []byte
	Path   []tlog.Hash
}

// NewMap builds the map. The order of the verdicts does not matter; two of one
// host and check are an error.
func NewMap(verdicts []assay.Verdict) (*Map, error) {
	order := make([]*assay.Verdict, len(verdicts))
	for i := range verdicts {
		order[i] = &verdicts[i]
	}
	slices.SortFunc(order, func(a, b *assay.Verdict) int {
		return compareKeys(verdictKey{a.Host, a.Check}, verdictKey{b.Host, b.Check})
	})
	m := &Map{}
	for i, v := range order {
		key := verdictKey{v.Host, v.Check}
		if i > 0 && m.keys[i-1] == key {
			return nil, fmt.Errorf("building the map of states: two verdicts of %s on %s", key.check, key.host)
		}
		record := Record(v)
		hashes, err := tlog.StoredHashes(int64(i), record, m)
		if err != nil {
			return nil, fmt.Errorf("building the map of states: %w", err)
		}
		m.records, m.keys, m.hashes = append(m.records, record), append(m.keys, key), append(m.hashes, hashes...)
	}
	return m, nil
}

func compareKeys(a, b verdictKey) int {
	return cmp.Or(slices.Compare(a.host[:], b.host[:]), cmp.Compare(a.check, b.check))
}

// ReadHashes implements tlog.HashReader.
func (m *Map) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index < 0 || index >= int64(len(m.hashes)) {
			return nil, fmt.Errorf("reading stored hash %d of %d", index, len(m.hashes))
		}
		out[i] = m.hashes[index]
	}
	return out, nil
}

// Len is the number of records.
func (m *Map) Len() int { return len(m.records) }

// Root is the root of the map; that of an empty map is SHA-256 of nothing.
func (m *Map) Root() ([32]byte, error) {
	root, err := tlog.TreeHash(int64(len(m.records)), m)
	if err != nil {
		return [32]byte{}, fmt.Errorf("hashing the map of states: %w", err)
	}
	return [32]byte(root), nil
}

// Prove shows the record of a host and check. Where there is none, found is
// false and the proofs are of the neighbours between which it would lie.
func (m *Map) Prove(host assay.HostID, check string) (proofs []Proof, found bool, err error) {
	i, found := slices.BinarySearchFunc(m.keys, verdictKey{host, check}, compareKeys)
	indexes := []int{i}
	if !found {
		indexes = slices.DeleteFunc([]int{i - 1, i}, func(n int) bool { return n < 0 || n >= len(m.keys) })
	}
	for _, n := range indexes {
		path, err := tlog.ProveRecord(int64(len(m.records)), int64(n), m)
		if err != nil {
			return nil, found, fmt.Errorf("proving record %d: %w", n, err)
		}
		proofs = append(proofs, Proof{Index: int64(n), Size: int64(len(m.records)), Record: m.records[n], Path: path})
	}
	return proofs, found, nil
}

// Verify checks a proof against a root.
func (p *Proof) Verify(root [32]byte) error {
	if err := tlog.CheckRecord(p.Path, p.Size, tlog.Hash(root), p.Index, tlog.RecordHash(p.Record)); err != nil {
		return fmt.Errorf("checking record %d of %d: %w", p.Index, p.Size, err)
	}
	return nil
}

// Record is the canonical record of a verdict: format, host, check, and SHA-256
// over what was concluded. The words of the detail are not part of it.
func Record(v *assay.Verdict) []byte {
	digest := StateDigest(v)
	b := make([]byte, 0, 1+16+2+len(v.Check)+len(digest))
	b = append(b, recordFormat)
	b = append(b, v.Host[:]...)
	b = appendText(b, v.Check)
	return append(b, digest[:]...)
}

const recordFormat = 1

// StateDigest is SHA-256 over what a verdict concludes and rests on, in a fixed
// order of fixed-size or length-prefixed parts; times are ticks of 100 ns since
// 1970, the coverage is in millionths.
func StateDigest(v *assay.Verdict) [32]byte {
	b := []byte{recordFormat, byte(v.State), byte(v.Grade), flag(v.HasCoverage), flag(v.Accruing)}
	b = binary.BigEndian.AppendUint32(b, uint32(math.Round(v.Coverage*1e6)))
	b = appendText(b, string(v.Reason))
	b = appendText(b, string(v.Disposition))
	for _, t := range [...]time.Time{v.WindowFrom, v.WindowTo, v.Since, v.LastFailing} {
		b = binary.BigEndian.AppendUint64(b, uint64(ticks(t)))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(v.OpenFindings))
	b = binary.BigEndian.AppendUint32(b, uint32(v.EvidenceTotal))
	b = binary.BigEndian.AppendUint16(b, uint16(len(v.Evidence)))
	for _, r := range v.Evidence {
		b = binary.BigEndian.AppendUint64(b, r.Position)
		b = binary.BigEndian.AppendUint32(b, r.Ordinal)
	}
	return sha256.Sum256(b)
}

func appendText(b []byte, text string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	return append(b, text...)
}

func flag(is bool) byte {
	if is {
		return 1
	}
	return 0
}

// ticks is 0 for the zero time.
func ticks(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return evidence.Ticks(t)
}
