package rule

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
)

type compareOp uint8

const (
	opEqual compareOp = iota
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

func (op compareOp) holds(c int) bool {
	switch op {
	case opLess:
		return c < 0
	case opLessEqual:
		return c <= 0
	case opGreater:
		return c > 0
	case opGreaterEqual:
		return c >= 0
	default:
		return c == 0
	}
}

// number is an integer of 65 bits with sign, exactly, or else a float.
type number struct {
	integer  bool
	negative bool
	// magnitude is the absolute value of an integer.
	magnitude uint64
	float     float64
}

func intNumber(v int) number {
	n := number{integer: true, negative: v < 0, magnitude: uint64(v)}
	if v < 0 {
		n.magnitude = -n.magnitude
	}
	return n
}

// parseNumber reads a decimal integer, a hexadecimal one with 0x, or a decimal
// fraction. It allocates nothing for text that cannot be a number, since it is
// asked about every value of a field.
func parseNumber(s string) (number, bool) {
	digits, negative := strings.CutPrefix(s, "-")
	if !negative {
		digits, _ = strings.CutPrefix(s, "+")
	}
	if digits == "" || len(digits) > 64 {
		return number{}, false
	}
	if n, ok := parseMagnitude(digits); ok {
		return number{integer: true, negative: negative && n != 0, magnitude: n}, true
	}
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-' {
			return number{}, false
		}
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsInf(f, 0) {
		return number{}, false
	}
	if negative {
		f = -f
	}
	return number{float: f}, true
}

func parseMagnitude(s string) (uint64, bool) {
	base := uint64(10)
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		base, s = 16, s[2:]
	}
	var n uint64
	for i := range len(s) {
		d := uint64(s[i] - '0')
		if d > 9 {
			c := s[i] | 0x20
			if base != 16 || c < 'a' || c > 'f' {
				return 0, false
			}
			d = uint64(c-'a') + 10
		}
		if n > (math.MaxUint64-d)/base {
			return 0, false
		}
		n = n*base + d
	}
	return n, true
}

// compare orders two numbers: integers exactly, others as floats.
func (n number) compare(o number) int {
	if !n.integer || !o.integer {
		return cmp.Compare(n.asFloat(), o.asFloat())
	}
	switch {
	case n.negative != o.negative:
		if n.negative {
			return -1
		}
		return 1
	case n.negative:
		return cmp.Compare(o.magnitude, n.magnitude)
	default:
		return cmp.Compare(n.magnitude, o.magnitude)
	}
}

func (n number) asFloat() float64 {
	if !n.integer {
		return n.float
	}
	if n.negative {
		return -float64(n.magnitude)
	}
	return float64(n.magnitude)
}

// timePart is a time modifier.
type timePart uint8

const (
	partNone timePart = iota
	partMinute
	partHour
	partDay
	partWeek
	partMonth
	partYear
)

func timePartOf(modifier string) timePart {
	switch modifier {
	case "minute":
		return partMinute
	case "hour":
		return partHour
	case "day":
		return partDay
	case "week":
		return partWeek
	case "month":
		return partMonth
	case "year":
		return partYear
	}
	return partNone
}

// of returns the part of a time written in a value, as written: the
// specification asks for no conversion of zones.
func (p timePart) of(s string) (number, bool) {
	if len(s) < 10 || len(s) > 40 || s[4] != '-' || s[7] != '-' {
		return number{}, false
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return p.ofTime(t), true
		}
	}
	return number{}, false
}

func (p timePart) ofTime(t time.Time) number {
	switch p {
	case partMinute:
		return intNumber(t.Minute())
	case partHour:
		return intNumber(t.Hour())
	case partDay:
		return intNumber(t.Day())
	case partWeek:
		_, w := t.ISOWeek()
		return intNumber(w)
	case partMonth:
		return intNumber(int(t.Month()))
	default:
		return intNumber(t.Year())
	}
}

// text writes an integer in decimal.
func (n number) text() string {
	s := strconv.FormatUint(n.magnitude, 10)
	if n.negative {
		s = "-" + s
	}
	return s
}
