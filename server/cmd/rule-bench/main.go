// Command rule-bench measures the rule engine on recorded events with all public
// Windows rules, beside another Sigma engine for Go on some of the same events in
// the same run. It is a module of its own, so that the product does not depend on
// that engine. The last line of its output is BENCH and a JSON object.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/alecthomas/kong"

	"github.com/assay-audit/assay/server/internal/rule"
)

// options is the command line; its help is the manual.
type options struct {
	TestData string        `name:"testdata" help:"Folder with evtx.tar.gz, otrf and sigma." env:"ASSAY_TESTDATA" required:"" type:"existingdir" placeholder:"DIR"`
	For      time.Duration `help:"How long each set of events is matched in a round." default:"5s"`
	Rounds   int           `help:"Rounds of which the best is printed: another process can only make one slower." default:"3"`
	Sample   int           `help:"Events that the other engine matches." default:"500"`
	Quick    bool          `help:"Only show that everything runs."`
}

const description = `Measures the rule engine on one core with all public Windows rules, and prints beside it what
github.com/bradleyjkemp/sigma-go v0.6.6 does with a sample of the same events and the rules that it can read.

Sets: evtx is every record of evtx.tar.gz, sysmon1 its process creations, otrf the recorded attacks.

Example:
  make bench-rules ASSAY_TESTDATA=/path/to/data`

func main() {
	var o options
	kong.Parse(&o, kong.Name("rule-bench"), kong.Description(description))
	if err := o.run(os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "rule-bench:", err)
		os.Exit(1)
	}
}

// result is what the last line says.
type result struct {
	Rules         int                `json:"rules"`
	CompileS      float64            `json:"compile_s"`
	TableMB       float64            `json:"table_mb"`
	EventsPerS    map[string]float64 `json:"events_per_s"`
	RatioSigmaGo  float64            `json:"ratio_sigma_go"`
	AllocsPerMiss float64            `json:"allocs_per_miss"`
}

func (o *options) run(stdout, stderr io.Writer) error {
	if o.Quick {
		o.For, o.Rounds, o.Sample = 50*time.Millisecond, 1, 5
	}
	runtime.GOMAXPROCS(1)
	fmt.Fprintln(stderr, "reading rules and events")
	sources, err := readRules(o.TestData)
	if err != nil {
		return err
	}
	sets, err := readSets(o.TestData)
	if err != nil {
		return err
	}
	var r result
	var set *rule.Set
	for range o.Rounds {
		began := time.Now()
		set, _ = rule.Compile(sources, placeholders)
		if took := time.Since(began).Seconds(); r.CompileS == 0 || took < r.CompileS {
			r.CompileS = took
		}
	}
	stats := set.Stats()
	r.Rules, r.TableMB, r.EventsPerS = len(set.Rules()), float64(stats.TableBytes)/1e6, map[string]float64{}
	fmt.Fprintf(stdout, "%d rules compiled in %.2f s, tables %.1f MB, %d programs in %d groups, %d without a required literal\n",
		r.Rules, r.CompileS, r.TableMB, stats.Programs, stats.Groups, stats.Unfiltered)
	for _, s := range sets {
		fmt.Fprintf(stderr, "matching %s\n", s.name)
		speed, matches := o.measure(set, s.events)
		r.EventsPerS[s.name] = round(speed)
		fmt.Fprintf(stdout, "%-8s %7d events  %9.0f events/s  %.3f matches an event\n", s.name, len(s.events), speed, matches)
	}
	r.AllocsPerMiss = allocsPerMiss(set, sets[0].events)
	fmt.Fprintf(stdout, "%.4f allocations for an event that matches nothing\n", r.AllocsPerMiss)
	fmt.Fprintln(stderr, "matching the sample with sigma-go")
	if r.RatioSigmaGo, err = o.compare(stdout, set, sources, sample(sets[0].events, o.Sample)); err != nil {
		return err
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "BENCH %s\n", line)
	return err
}

func round(v float64) float64 { return float64(int64(v + 0.5)) }

// measure matches the events again and again, and returns the best round's
// speed and how many matches an event has.
func (o *options) measure(set *rule.Set, events []*event) (perSecond, matches float64) {
	scratch := new(rule.Scratch)
	for range o.Rounds {
		n, found := 0, 0
		began := time.Now()
		took := time.Duration(0)
		for took < o.For {
			for _, ev := range events {
				found += len(set.Match(ev, scratch))
			}
			n += len(events)
			took = time.Since(began)
		}
		perSecond = max(perSecond, float64(n)/took.Seconds())
		matches = float64(found) / float64(n)
	}
	return perSecond, matches
}

// allocsPerMiss counts the allocations of matching events that match nothing.
func allocsPerMiss(set *rule.Set, events []*event) float64 {
	scratch := new(rule.Scratch)
	var misses []*event
	for _, ev := range events {
		if len(set.Match(ev, scratch)) == 0 {
			misses = append(misses, ev)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, ev := range misses {
		set.Match(ev, scratch)
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(len(misses))
}

// sample is n of the events, evenly spread.
func sample(events []*event, n int) []*event {
	n = min(n, len(events))
	picked := make([]*event, n)
	for i := range picked {
		picked[i] = events[i*len(events)/n]
	}
	return picked
}
