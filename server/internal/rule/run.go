package rule

import (
	"regexp/syntax"
	"unicode/utf8"
)

// run is an expression that is nothing but one character class, n times or
// more (`.{1000,}`). Searching for it is counting, where an automaton would
// follow a thread for each place it may have begun at.
type run struct {
	min    int
	ranges []rune // pairs of first and last; nil is any
	line   bool   // a line feed is not of the class
}

// runOf returns the run that an expression is, nil if it is none.
func runOf(re *syntax.Regexp) *run {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	r := &run{}
	switch {
	case re.Op == syntax.OpPlus:
		r.min = 1
	case re.Op == syntax.OpRepeat && re.Min > 0:
		// For whether there is a match at all, the maximum says nothing.
		r.min = re.Min
	default:
		return nil
	}
	switch sub := re.Sub[0]; sub.Op {
	case syntax.OpAnyChar:
	case syntax.OpAnyCharNotNL:
		r.line = true
	case syntax.OpCharClass:
		if r.ranges = sub.Rune; len(r.ranges) == 0 {
			return nil
		}
	default:
		return nil
	}
	return r
}

func (r *run) match(s string) bool {
	n := 0
	for i := 0; i < len(s); {
		c, size := rune(s[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(s[i:])
		}
		i += size
		if n++; !r.has(c) {
			n = 0
		} else if n == r.min {
			return true
		}
	}
	return false
}

func (r *run) has(c rune) bool {
	if r.ranges == nil {
		return !r.line || c != '\n'
	}
	for i := 0; i < len(r.ranges); i += 2 {
		if c <= r.ranges[i+1] {
			return c >= r.ranges[i]
		}
	}
	return false
}
