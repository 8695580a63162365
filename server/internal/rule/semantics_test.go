package rule

import (
	"fmt"
	"strings"
	"testing"
)

// oneRule compiles a detection over Security events and fails on any problem.
func oneRule(tb testing.TB, detection string) *Set {
	tb.Helper()
	s, problems := Compile([]Source{{Name: "t.yml", Data: []byte(ruleText("1", detection))}}, testConfig())
	for _, p := range problems {
		tb.Fatal(p)
	}
	return s
}

func testConfig() Config {
	return Config{Placeholders: map[string][]string{
		"servers": {"srv*", "dc1"}, "none": {}, "a": {"x"},
	}}
}

func ruleText(id, detection string) string {
	lines := strings.Split(strings.Trim(detection, "\n"), "\n")
	return fmt.Sprintf("title: t%s\nid: %s\nlogsource:\n  product: windows\n  service: security\ndetection:\n  %s\n",
		id, id, strings.Join(lines, "\n  "))
}

// securityEvent makes an event from name, value pairs.
func securityEvent(pairs ...string) *FieldsEvent {
	e := &FieldsEvent{ProviderName: "Microsoft-Windows-Security-Auditing", ChannelName: "Security", ID: 4688,
		System: []Field{{"Computer", "host.example"}, {"Level", "4"}, {"Security_UserID", "S-1-5-18"}}}
	for i := 0; i < len(pairs); i += 2 {
		e.Data = append(e.Data, Field{pairs[i], pairs[i+1]})
	}
	return e
}

// manyIDs lists more event ids than rules are grouped by.
func manyIDs() string {
	var b strings.Builder
	for i := range maxRuleIDs + 1 {
		fmt.Fprintf(&b, "%d, ", 10_000+i)
	}
	return b.String()
}

func matches(s *Set, e Event) bool { return len(s.Match(e, new(Scratch))) > 0 }

// TestValues checks one field entry against values of field F.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		entry   string
		yes, no []string
	}{
		{`F: abc`, []string{"abc", "ABC", "aBc"}, []string{"", "abcd", "xabc", "ab"}},
		{`F: 'a*c'`, []string{"ac", "abc", "aBBc", "a*c"}, []string{"a", "acd", "xac"}},
		{`F: 'a?c'`, []string{"abc", "a?c", "aéc", "a\xffc"}, []string{"ac", "abbc"}},
		{`F: '?'`, []string{"a", "é", "\xff"}, []string{"", "ab"}},
		{`F: '*'`, []string{"", "a"}, nil},
		{`F: 'a*b?d*e'`, []string{"abxde", "aXXbbxdYe", "abcdbcde"}, []string{"abde", "abxd", "bxde"}},
		{`F: '*b?'`, []string{"bx", "abbé", "bbb"}, []string{"b", "bxx"}},
		{`F: '?b*'`, []string{"ab", "éb", "abc"}, []string{"b", "aab"}},
		{`F: 'a*a'`, []string{"aa", "aba"}, []string{"a"}},
		{`F: 'ab*?b'`, []string{"abxb", "abxxb"}, []string{"abb", "ab"}},
		// Escapes.
		{`F: 'a\b'`, []string{`a\b`}, []string{`ab`, `a\\b`}},
		{`F: 'a\\b'`, []string{`a\b`}, []string{`a\\b`}},
		{`F: 'a\\\b'`, []string{`a\\b`}, []string{`a\b`}},
		{`F: 'a\\\\b'`, []string{`a\\b`}, []string{`a\b`, `a\\\b`}},
		{`F: 'a\*b'`, []string{`a*b`}, []string{`axb`, `a\b`, `a\*b`}},
		{`F: 'a\\*b'`, []string{`a\b`, `a\xb`}, []string{`a*b`, `axb`}},
		{`F: 'a\\\*b'`, []string{`a\*b`}, []string{`a\xb`, `a*b`}},
		{`F: 'a\?'`, []string{`a?`}, []string{`ax`}},
		{`F: 'ab\'`, []string{`ab\`}, []string{`ab`}},
		{`F|contains: 'a\'`, []string{`a\`, `xa\y`}, []string{`a`, `a*`}},
		{`F: '%AppData%'`, []string{`%appdata%`}, []string{`x`, ``}},
		// Anchors.
		{`F|contains: bc`, []string{"abcd", "BC", "bc"}, []string{"b", ""}},
		{`F|contains: 'b*d'`, []string{"abcde", "bd"}, []string{"db"}},
		{`F|contains: 'b?d'`, []string{"abcde", "bcd"}, []string{"bd", "bccd"}},
		{`F|startswith: ab`, []string{"abc", "AB"}, []string{"xab", "a"}},
		{`F|endswith: bc`, []string{"abc", "BC"}, []string{"bcx", "c"}},
		{`F|endswith: 'a?'`, []string{"xab", "aa"}, []string{"a", "abc"}},
		{`F|contains: ''`, []string{"", "a"}, nil},
		// Lists, all, neq, null.
		{`F: [a, b]`, []string{"a", "b"}, []string{"c", "ab"}},
		{`F|contains|all: [a, b]`, []string{"ab", "b-a"}, []string{"a", "b", ""}},
		{`F|neq: [a, b]`, []string{"c", ""}, []string{"a", "B"}},
		{`F|contains|neq: a`, []string{"c", ""}, []string{"xax"}},
		{`F|neq: null`, []string{"c"}, []string{""}},
		{`F: null`, []string{""}, []string{"a", "null"}},
		{`F: [null, a]`, []string{"", "a"}, []string{"b"}},
		{`F: ''`, []string{""}, []string{"a", " "}},
		{`F: 12`, []string{"12"}, []string{"012", "0xc", "12.0"}},
		{`F: 0x10`, []string{"16"}, []string{"0x10"}},
		{`F: '0x10'`, []string{"0x10", "0X10"}, []string{"16"}},
		{`F: true`, []string{"true", "True"}, []string{"false", "1"}},
		{`F: -5`, []string{"-5"}, []string{"5"}},
		{`F: 18446744073709551615`, []string{"18446744073709551615"}, []string{"-1"}},
		{`F: 1.50`, []string{"1.50"}, []string{"1.5"}},
		// Case.
		{`F|cased: aB`, []string{"aB"}, []string{"ab", "AB"}},
		{`F|contains|cased: aB`, []string{"xaBx"}, []string{"xabx"}},
		{`F: 'ÄÖß'`, []string{"äöß", "ÄÖẞ"}, []string{"aoss"}},
		{`F: 'σ'`, []string{"Σ", "ς"}, []string{"s"}},
		{`F: k`, []string{"K", "\u212a"}, nil},
		// windash.
		{`F|contains|windash: ' -x '`, []string{" -x ", " /X ", " –x ", " —x ", " ―x "}, []string{"-x", " x "}},
		{`F|windash: 'a-b/c'`, []string{"a-b/c", "a/b-c", "a—b―c"}, []string{"ab"}},
		{`F|windash|cased: '-A'`, []string{"/A", "–A"}, []string{"/a"}},
		{`F|windash|base64: '-a'`, []string{"LWE=", "L2E="}, []string{"-a"}},
		// Encodings: the expected texts are those of coreutils' base64 and iconv.
		{`F|base64: foobar`, []string{"Zm9vYmFy"}, []string{"foobar"}},
		{`F|wide|base64: cmd`, []string{"YwBtAGQA"}, nil},
		{`F|utf16be|base64: cmd`, []string{"AGMAbQBk"}, nil},
		{`F|utf16|base64: cmd`, []string{"//5jAG0AZAA="}, nil},
		{`F|utf16le: ab`, []string{"a\x00b\x00"}, []string{"ab"}},
		{`F|base64offset|contains: foobar`, []string{"Zm9vYmFy", "IGZvb2Jhcg==", "ICBmb29iYXI=", "ICBmb29iYXIg"}, []string{"foobar"}},
		{`F|base64offset|contains: 'http://'`, []string{"eGh0dHA6Ly95", "aHR0cDovL3k="}, []string{"http://"}},
		// Regular expressions.
		{`F|re: '^a.c$'`, []string{"abc", "abc\n"}, []string{"ABC", "xabc", "a\nc", "abc\n\n"}},
		{`F|re: 'b+'`, []string{"abbc"}, []string{"B"}},
		{`F|re|i: 'b+c'`, []string{"ABBC"}, []string{"ac"}},
		{`F|re|m: '^b$'`, []string{"a\nb\nc"}, []string{"ab"}},
		{`F|re|s: 'a.b'`, []string{"a\nb"}, []string{"ab"}},
		{`F|re|i|m|s: '^x.y$'`, []string{"a\nX\nY"}, []string{"xy"}},
		{`F|re: ['a{2}', 'b{2}']`, []string{"aa", "bb"}, []string{"ab"}},
		{`F|re: '\\x\.y'`, []string{`\x.y`}, []string{`\xzy`}},
		// Addresses.
		{`F|cidr: 10.0.0.0/8`, []string{"10.1.2.3", "::ffff:10.1.2.3"}, []string{"11.0.0.1", "-", "", "x.y", "10.1.2"}},
		{`F|cidr: ['fe80::/10', '::1/128']`, []string{"fe80::1", "FE80:0:0:0:0:0:0:1", "fe80::1%12", "0:0:0:0:0:0:0:1"}, []string{"::2", "10.0.0.1"}},
		{`F|cidr: 192.168.1.7`, []string{"192.168.1.7"}, []string{"192.168.1.8"}},
		// Numbers.
		{`F|gt: 5`, []string{"6", "5.5", "0x10"}, []string{"5", "-6", "", "a", "6a"}},
		{`F|gte: 5`, []string{"5", "5.0"}, []string{"4.9"}},
		{`F|lt: 5`, []string{"4", "-6"}, []string{"5", "x"}},
		{`F|lte: -1`, []string{"-1", "-2"}, []string{"0", "-0"}},
		{`F|gt: 18446744073709551614`, []string{"18446744073709551615", "1e30"}, []string{"18446744073709551614"}},
		// Time parts.
		{`F|hour|gte: 22`, []string{"2026-01-02 23:00:01.123", "2026-01-02T22:00:00.1234567Z"}, []string{"2026-01-02 21:59:59.999", "23", ""}},
		{`F|year: 2026`, []string{"2026-01-02"}, []string{"2025-12-31"}},
		{`F|week: 1`, []string{"2026-01-01"}, []string{"2026-01-05"}},
		{`F|minute: [1, 2]`, []string{"2026-01-02 23:01:00", "2026-01-02 23:02:00"}, []string{"2026-01-02 23:03:00"}},
		{`F|day|lt: 2`, []string{"2026-01-01"}, []string{"2026-01-02"}},
		{`F|month: 12`, []string{"2026-12-01"}, []string{"2026-01-12"}},
		// Placeholders.
		{`F|expand: '%servers%'`, []string{"srv", "SRV9", "dc1"}, []string{"dc2", "%servers%"}},
		{`F|contains|expand: 'x\\%servers%'`, []string{`x\srv1`, `ax\dc1b`}, []string{`srv1`}},
		{`F|expand: '\%plain%a%'`, []string{"%plainx"}, []string{"%plain%a%"}},
		{`F|expand: '50%'`, []string{"50%"}, []string{"50"}},
		{`F|expand: '%a%%a%'`, []string{"xx"}, []string{"x"}},
	} {
		s := oneRule(t, "sel:\n  "+c.entry+"\ncondition: sel")
		for _, v := range c.yes {
			if !matches(s, securityEvent("F", v)) {
				t.Errorf("%s does not match %q", c.entry, v)
			}
		}
		for _, v := range c.no {
			if matches(s, securityEvent("F", v)) {
				t.Errorf("%s matches %q", c.entry, v)
			}
		}
	}
}

// TestEvents checks whole detections against events.
func TestEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, detection string
		event           *FieldsEvent
		want            bool
	}{
		{"map is and", "s: {A: 1, B: 2}\ncondition: s", securityEvent("A", "1", "B", "2"), true},
		{"map is and, one lacks", "s: {A: 1, B: 2}\ncondition: s", securityEvent("A", "1"), false},
		{"list of maps is or", "s: [{A: 1}, {B: 2}]\ncondition: s", securityEvent("B", "2"), true},
		{"missing is null", "s: {A: null}\ncondition: s", securityEvent(), true},
		{"missing is not empty", "s: {A: ''}\ncondition: s", securityEvent(), false},
		{"missing is not different", "s: {A|neq: x}\ncondition: s", securityEvent(), false},
		{"exists", "s: {A|exists: true}\ncondition: s", securityEvent("A", ""), true},
		{"exists not", "s: {A|exists: true}\ncondition: s", securityEvent("B", ""), false},
		{"exists false", "s: {A|exists: false}\ncondition: s", securityEvent(), true},
		{"exists false not", "s: {A|exists: false}\ncondition: s", securityEvent("A", ""), false},
		{"exists system", "s: {Level|exists: true}\ncondition: s", securityEvent(), true},
		{"field names are exact", "s: {a: 1}\ncondition: s", securityEvent("A", "1"), false},
		{"spaces fall", "s: {ThreatName: x}\ncondition: s", securityEvent("Threat Name", "x"), true},
		{"spaces kept too", "s: {Threat Name: x}\ncondition: s", securityEvent("Threat Name", "x"), true},
		{"repeated field", "s: {A: 2}\ncondition: s", securityEvent("A", "1", "A", "2"), true},
		{"repeated field, neq", "s: {A|neq: 2}\ncondition: s", securityEvent("A", "1", "A", "2"), false},
		{"repeated field, null", "s: {A: null}\ncondition: s", securityEvent("A", "1", "A", ""), true},
		{"all over repeated", "s: {A|all: [1, 2]}\ncondition: s", securityEvent("A", "1", "A", "2"), true},
		{"fieldref", "s: {A|fieldref: B}\ncondition: s", securityEvent("A", "x", "B", "X"), true},
		{"fieldref cased", "s: {A|fieldref|cased: B}\ncondition: s", securityEvent("A", "x", "B", "X"), false},
		{"fieldref missing", "s: {A|fieldref: B}\ncondition: s", securityEvent("A", ""), false},
		{"fieldref neq", "s: {A|fieldref|neq: B}\ncondition: s", securityEvent("A", "x", "B", "y"), true},
		{"fieldref neq equal", "s: {A|fieldref|neq: B}\ncondition: s", securityEvent("A", "x", "B", "x"), false},
		{"fieldref endswith", "s: {A|fieldref|endswith: B}\ncondition: s", securityEvent("A", "yx", "B", "x"), true},
		{"fieldref startswith", "s: {A|fieldref|startswith: B}\ncondition: s", securityEvent("A", "yx", "B", "x"), false},
		{"fieldref contains system", "s: {A|fieldref|contains: Computer}\ncondition: s", securityEvent("A", "on host.example now"), true},
		{"event id", "s: {EventID: 4688}\ncondition: s", securityEvent(), true},
		{"event id list", "s: {EventID: [1, 4688]}\ncondition: s", securityEvent(), true},
		{"event id other", "s: {EventID: 1}\ncondition: s", securityEvent(), false},
		{"event id or event id", "s1: {EventID: 4688}\ns2: {EventID: 1}\ncondition: 1 of s*", securityEvent(), true},
		{"event id or anything", "s1: {EventID: 1}\ns2: {A: x}\ncondition: 1 of s*", securityEvent("A", "x"), true},
		{"not an event id", "s: {EventID: 1}\ncondition: not s", securityEvent(), true},
		{"event id, leading zero", "s: {EventID: '04688'}\nt: {A: 1}\ncondition: s or t", securityEvent("A", "1"), true},
		{"many event ids", "s: {EventID: [" + manyIDs() + "4688]}\ncondition: s", securityEvent(), true},
		{"event id wild", "s: {EventID: '46*'}\ncondition: s", securityEvent(), true},
		{"event id number", "s: {EventID|gte: 4000}\ncondition: s", securityEvent(), true},
		{"event id not from data", "s: {EventID: 7}\ncondition: s", securityEvent("EventID", "7"), false},
		{"provider", "s: {Provider_Name: microsoft-windows-security-auditing}\ncondition: s", securityEvent(), true},
		{"channel", "s: {Channel: security}\ncondition: s", securityEvent(), true},
		{"data hides channel", "s: {Channel: security}\ncondition: s", securityEvent("Channel", "System"), false},
		{"computer", "s: {Computer|startswith: HOST}\ncondition: s", securityEvent(), true},
		{"unknown system field", "s: {Opcode: 0}\ncondition: s", securityEvent(), false},
		{"keyword", "k: [foo, bar]\ncondition: k", securityEvent("A", "x", "B", "a BAR z"), true},
		{"keyword not", "k: [foo, bar]\ncondition: k", securityEvent("foo", "x"), false},
		{"keyword all", "k: {'|all': [foo, bar]}\ncondition: k", securityEvent("A", "foo", "B", "bar"), true},
		{"keyword all not", "k: {'|all': [foo, bar]}\ncondition: k", securityEvent("A", "foo"), false},
		{"keyword single", "k: foo\ncondition: k", securityEvent("A", "xfoox"), true},
		{"keyword wildcard", "k: ['f*o']\ncondition: k", securityEvent("A", "f--o"), true},
		{"keyword regexp", "k: {'|re': 'f\\d'}\ncondition: k", securityEvent("A", "af1"), true},
		{"keyword computer", "k: [host.example]\ncondition: k", securityEvent(), true},
		{"keyword not the level", "k: ['4']\ns: {Level: 4}\ncondition: s and k", securityEvent(), false},
		{"keywords and maps", "k: [foo, {A: 1}]\ncondition: k", securityEvent("A", "1"), true},
		// Conditions.
		{"and binds tighter", "a: {A: 1}\nb: {B: 1}\nc: {C: 1}\ncondition: a or b and c", securityEvent("A", "1"), true},
		{"parentheses", "a: {A: 1}\nb: {B: 1}\nc: {C: 1}\ncondition: (a or b) and c", securityEvent("A", "1"), false},
		{"not binds tighter", "a: {A: 1}\nb: {B: 1}\ncondition: not a and b", securityEvent("B", "1"), true},
		{"not of", "a1: {A: 1}\na2: {B: 1}\ncondition: not 1 of a*", securityEvent("B", "1"), false},
		{"not all of", "a1: {A: 1}\na2: {B: 1}\ncondition: not all of a*", securityEvent("B", "1"), true},
		{"double not", "a: {A: 1}\ncondition: not not a", securityEvent("A", "1"), true},
		{"1 of them", "a: {A: 1}\nb: {B: 1}\ncondition: 1 of them", securityEvent("B", "1"), true},
		{"any of them", "a: {A: 1}\nb: {B: 1}\ncondition: any of them", securityEvent("B", "1"), true},
		{"all of them", "a: {A: 1}\nb: {B: 1}\ncondition: all of them", securityEvent("B", "1"), false},
		{"underscore is not them", "a: {A: 1}\n_b: {B: 1}\ncondition: all of them", securityEvent("A", "1"), true},
		{"underscore spelt", "_b1: {B: 1}\n_b2: {C: 1}\ncondition: 1 of _b*", securityEvent("C", "1"), true},
		{"stars anywhere", "ax_1: {A: 1}\nay_1: {B: 1}\naz_2: {C: 1}\ncondition: all of a*_1", securityEvent("A", "1", "B", "1"), true},
		{"upper-case words", "a: {A: 1}\nb: {B: 1}\ncondition: a AND NOT b", securityEvent("A", "1"), true},
		{"list of conditions", "a: {A: 1}\nb: {B: 1}\ncondition: [a, b]", securityEvent("B", "1"), true},
		{"name with dash and dot", "a-b.c: {A: 1}\ncondition: a-b.c", securityEvent("A", "1"), true},
		{"brackets touching", "a: {A: 1}\nb: {B: 1}\ncondition: (a)and(not(b))", securityEvent("A", "1"), true},
		{"alias", "a: &x {A: 1}\nb: *x\ncondition: b", securityEvent("A", "1"), true},
		{"placeholder without values", "a: {A: 1}\nf: {B|expand: '%none%'}\ncondition: a and not f", securityEvent("A", "1", "B", "q"), true},
	} {
		if got := matches(oneRule(t, c.detection), c.event); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
