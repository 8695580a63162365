package rule

import (
	"slices"
	"strings"
)

// automaton finds many texts at once in one pass (Aho and Corasick, 1975). Its
// time is linear in the scanned text whatever the text and the patterns are,
// so an attacker who knows the rules gains nothing.
//
// States are numbered breadth first and patterns are sorted, so the children of
// a state are consecutive: a state needs its label, its first child, its
// failure, its output, its pattern and the number of its row, 21 bytes. Only states with many
// children, near the root, where most of a text is spent, have a row: a table of
// all transitions, failures followed.
type automaton struct {
	labels []byte
	// first[s] to first[s+1] are the children of s.
	first []int32
	fail  []int32
	// out[s] is the nearest state, s itself or on its failure chain, at which a
	// pattern ends; 0 if none.
	out []int32
	// ends[s] is the pattern that ends at s, plus one; 0 if none. Patterns are
	// distinct, so one at most ends at a state.
	ends []int32
	// row[s] is the number of the state's row in rows, plus one; 0 if none. The
	// root's is the first.
	row  []int32
	rows [][256]int32
}

// minRowChildren is the number of children from which on a row is worth its
// kibibyte.
const minRowChildren = 2

// newAutomaton compiles sorted, distinct, non-empty patterns. Pattern i is
// reported as i.
func newAutomaton(patterns []string) *automaton {
	a := &automaton{labels: []byte{0}}
	// A state is the range of patterns that share its text, depth bytes long.
	type span struct{ from, to, depth int }
	queue := []span{{0, len(patterns), 0}}
	for s := 0; s < len(queue); s++ {
		q := queue[s]
		a.first = append(a.first, int32(len(queue)))
		end := int32(0)
		if q.from < q.to && len(patterns[q.from]) == q.depth {
			q.from++
			end = int32(q.from)
		}
		a.ends = append(a.ends, end)
		for q.from < q.to {
			c := patterns[q.from][q.depth]
			to := q.from
			for to < q.to && patterns[to][q.depth] == c {
				to++
			}
			queue = append(queue, span{q.from, to, q.depth + 1})
			a.labels = append(a.labels, c)
			q.from = to
		}
	}
	a.first = append(a.first, int32(len(queue)))
	a.link()
	return a
}

// link computes failures and outputs in breadth-first order, so that those of a
// shorter text are known.
func (a *automaton) link() {
	n := len(a.labels)
	a.fail, a.out, a.row = make([]int32, n), make([]int32, n), make([]int32, n)
	for s := int32(0); s < int32(n); s++ {
		if s == 0 || a.first[s+1]-a.first[s] >= minRowChildren {
			a.addRow(s)
		}
		for c := a.first[s]; c < a.first[s+1]; c++ {
			if s != 0 {
				a.fail[c] = a.next(a.fail[s], a.labels[c])
			}
			if a.ends[c] != 0 {
				a.out[c] = c
			} else {
				a.out[c] = a.out[a.fail[c]]
			}
		}
	}
}

// addRow gives a state, of which the failure is known, its table.
func (a *automaton) addRow(s int32) {
	var row [256]int32
	if s != 0 {
		for c := range row {
			row[c] = a.next(a.fail[s], byte(c))
		}
	}
	for c := a.first[s]; c < a.first[s+1]; c++ {
		row[a.labels[c]] = c
	}
	a.rows = append(a.rows, row)
	a.row[s] = int32(len(a.rows))
}

// next is the state after byte c in state s.
func (a *automaton) next(s int32, c byte) int32 {
	for {
		if r := a.row[s]; r != 0 {
			return a.rows[r-1][c]
		}
		for t, end := a.first[s], a.first[s+1]; t < end; t++ {
			if a.labels[t] == c {
				return t
			}
		}
		s = a.fail[s]
	}
}

// bytes is the memory of the tables.
func (a *automaton) bytes() int {
	return 1024*len(a.rows) + len(a.labels) + 4*(len(a.first)+len(a.fail)+len(a.out)+len(a.row)+len(a.ends))
}

// sortedTexts returns the distinct texts in order.
func sortedTexts(texts []string) []string {
	texts = slices.Clone(texts)
	slices.SortFunc(texts, strings.Compare)
	return slices.Compact(texts)
}
