package rule

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// find returns the patterns that an automaton reports in a text.
func (a *automaton) find(text string) []int32 {
	var out []int32
	s := int32(0)
	for i := range len(text) {
		s = a.next(s, text[i])
		for o := a.out[s]; o != 0; o = a.out[a.fail[o]] {
			if p := a.ends[o] - 1; !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestAutomaton compares with looking for each pattern in turn, over patterns
// that are parts of each other and states with few and many children.
func TestAutomaton(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	word := func(letters, most int) string {
		b := make([]byte, 1+random.IntN(most))
		for i := range b {
			b[i] = byte('a' + random.IntN(letters))
		}
		return string(b)
	}
	for round := range 200 {
		letters := 2 + round%12
		var patterns []string
		for range 1 + random.IntN(40)*random.IntN(20) {
			patterns = append(patterns, word(letters, 4))
		}
		patterns = sortedTexts(patterns)
		a := newAutomaton(patterns)
		for range 10 {
			text := word(letters, 40)
			var want []int32
			for i, p := range patterns {
				if strings.Contains(text, p) {
					want = append(want, int32(i))
				}
			}
			if got := a.find(text); !slices.Equal(got, want) {
				t.Fatalf("in %q of %q: got %v, want %v", text, patterns, got, want)
			}
		}
	}
}

// TestOnlyCandidatesAreEvaluated checks that a rule is evaluated only where all
// of the texts it needs were seen, in their fields.
func TestOnlyCandidatesAreEvaluated(t *testing.T) {
	t.Parallel()
	s := oneRule(t, "a: {A|endswith: '\\powershell.exe', B|contains|all: [frombase64, ' -enc']}\nn: {C: x}\ncondition: a and not n")
	sc := new(Scratch)
	for _, c := range []struct {
		event     *FieldsEvent
		evaluated int
		matches   bool
	}{
		{securityEvent("A", `C:\PowerShell.exe`, "B", "x -Enc FromBase64"), 1, true},
		{securityEvent("A", `C:\PowerShell.exe.bak`, "B", "x -enc frombase64"), 1, false},
		{securityEvent("A", `C:\powershell.exe`, "B", "x frombase64"), 0, false},
		{securityEvent("B", `C:\powershell.exe`, "A", "x -enc frombase64"), 0, false},
		{securityEvent(), 0, false},
	} {
		got := len(s.Match(c.event, sc)) > 0
		if len(sc.picked) != c.evaluated || got != c.matches {
			t.Errorf("%v: %d evaluated, matches %v; want %d, %v", c.event.Data, len(sc.picked), got, c.evaluated, c.matches)
		}
	}
}

// TestScratchServesManySets checks that a Scratch may be handed from one Set to
// another and keeps nothing of an event.
func TestScratchServesManySets(t *testing.T) {
	t.Parallel()
	one, two := oneRule(t, "s: {A: 1, B: null}\ncondition: s"), oneRule(t, "s: {B: 2}\nk: [zq]\ncondition: s or k")
	sc := new(Scratch)
	for range 3 {
		if len(one.Match(securityEvent("A", "1"), sc)) != 1 || len(two.Match(securityEvent("B", "2"), sc)) != 1 ||
			len(one.Match(securityEvent("B", "1"), sc)) != 0 || len(two.Match(securityEvent("K", "zq"), sc)) != 1 ||
			len(two.Match(securityEvent(), sc)) != 0 {
			t.Fatal("an event sees another's fields")
		}
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	s := oneRule(t, "s: {EventID: [1, 2], A: abc}\ncondition: s")
	st := s.Stats()
	if st.Programs != 1 || st.Groups != 2 || st.Patterns != 2 || st.Unfiltered != 0 || st.States != 8 || st.TableBytes == 0 {
		t.Errorf("%+v", st)
	}
	if st := oneRule(t, "s: {A: null}\ncondition: s").Stats(); st.Unfiltered != 1 || st.Groups != 1 {
		t.Errorf("%+v", st)
	}
}

// TestSetIsShared matches from several goroutines at once; the race detector
// judges.
func TestSetIsShared(t *testing.T) {
	t.Parallel()
	s := oneRule(t, "s: {A|contains: [abc, xyz], B|re: 'q+'}\nk: [word]\ncondition: s or k")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			sc := new(Scratch)
			for i := range 200 {
				want := (g+i)%2 == 0
				b := "r"
				if want {
					b = "qq"
				}
				if got := len(s.Match(securityEvent("A", "XYZ", "B", b), sc)) > 0; got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			}
		})
	}
	wg.Wait()
}
