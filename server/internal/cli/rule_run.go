package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/winevent"
	"github.com/assay-audit/assay/server/internal/rule"
)

type rulesTestCmd struct {
	ruleMeaning
	Rules  []string `help:"Files, folders and gzipped tars of Sigma YAML." required:"" type:"existingpath" placeholder:"PATH"`
	EVTX   []string `name:"evtx" help:"Exported event logs, folders of them, and gzipped tars." required:"" type:"existingpath" placeholder:"PATH"`
	Expect string   `help:"Compare with this list: file, record number and rule id on each line, parted by tabs; # begins a comment." type:"existingfile" placeholder:"FILE"`
	JSON   bool     `name:"json" help:"Print each match as a JSON object on a line."`
}

// Help adds examples to --help.
func (rulesTestCmd) Help() string {
	return `Matches are printed in the order of the files and their records; the number is that of the record in its file. A
correlation is printed after them, at the record by which it came to hold.

Examples:
  assayctl rules test --rules own.yml --evtx Security.evtx
  assayctl rules test --rules sigma/rules/windows --evtx logs/ --json > matches.jsonl
  assayctl rules test --rules rules.tar.gz --evtx evtx.tar.gz --expect expected.tsv

Exit codes: 0 done (with --expect: all as expected), 1 differences from what is expected, 2 the call was wrong or a
log could not be read. Rules that are refused are told on standard error; see assayctl rules check.`
}

// ruleMatch is a match as --json prints it.
type ruleMatch struct {
	File         string            `json:"file"`
	RecordNumber uint64            `json:"record_number"`
	RecordID     uint64            `json:"record_id"`
	RuleID       string            `json:"rule_id"`
	RuleTitle    string            `json:"rule_title"`
	Level        string            `json:"level"`
	Fields       map[string]string `json:"fields"`
}

// Run runs rules over logs.
func (c *rulesTestCmd) Run(e *env) error {
	expected, err := readExpected(c.Expect)
	if err != nil {
		return err
	}
	set, err := c.compile(e)
	if err != nil {
		return err
	}
	run := &ruleRun{env: e, set: set, json: c.JSON, quiet: c.Expect != "", expected: expected, began: e.now()}
	if err := readLogs(c.EVTX, run.log); err != nil {
		return err
	}
	if err := run.correlate(); err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "%d files, %d records, %d matches, %.1f s\n", run.files, run.records, run.matches, e.now().Sub(run.began).Seconds())
	if run.files == 0 {
		return fmt.Errorf("there is no event log in %s", strings.Join(c.EVTX, ", "))
	}
	if c.Expect != "" {
		return run.compare()
	}
	return nil
}

func (c *rulesTestCmd) compile(e *env) (*rule.Set, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	sources, err := readSources(c.Rules)
	if err != nil {
		return nil, err
	}
	set, problems := rule.Compile(sources, cfg)
	foreign := 0
	for _, p := range problems {
		if p.Foreign {
			foreign++
			continue
		}
		fmt.Fprintf(e.stderr, "refused: %s\n", plain(p.String()))
	}
	fmt.Fprintf(e.stderr, "%d rules of %d files; %d are for logs of other systems\n", len(set.Rules()), len(sources), foreign)
	if len(set.Rules()) == 0 {
		return nil, errors.New("there is no rule left to run")
	}
	return set, nil
}

// ruleRun is one run over logs.
type ruleRun struct {
	env      *env
	set      *rule.Set
	scratch  rule.Scratch
	json     bool
	quiet    bool // matches are compared, not printed
	expected *expectation

	files, records, matches int
	began, told             time.Time
	// observed are the records that feed correlations.
	observed []observedRecord
}

// observedRecord is a record with its matches, kept for the correlations.
type observedRecord struct {
	rule.Observation
	file     string
	number   uint64
	recordID uint64
}

// maxObserved bounds the records that are kept for correlations.
const maxObserved = 1_000_000

// log runs the rules over one log.
func (r *ruleRun) log(name string, file *evtx.File) error {
	r.files++
	for {
		record, position, err := file.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		r.records++
		event := &recordEvent{record: record, fields: record.Fields()}
		matches := r.set.Match(event, &r.scratch)
		for i := range matches {
			if !matches[i].Rule.Standalone {
				continue
			}
			if err := r.match(name, position.RecordNumber, record.RecordID, matches[i].Rule, fieldsOf(matches[i].Fields)); err != nil {
				return err
			}
		}
		if len(matches) > 0 && len(r.observed) < maxObserved {
			r.observed = append(r.observed, observedRecord{rule.Observation{Time: record.Time, Event: event, Matches: matches}, name, position.RecordNumber, record.RecordID})
		}
		if now := r.env.now(); now.Sub(r.told) >= progressEvery {
			r.told = now
			fmt.Fprintf(r.env.stderr, "%d files, %d records, %d matches so far\n", r.files, r.records, r.matches)
		}
	}
	if file.Damaged() {
		fmt.Fprintf(r.env.stderr, "%s is damaged; what could be read was (assay-agent evtx dump names what could not)\n", plain(name))
	}
	return nil
}

func fieldsOf(matched []rule.MatchedField) map[string]string {
	fields := make(map[string]string, len(matched))
	for _, f := range matched {
		name := f.Field
		if name == "" {
			name = "keyword"
		}
		if _, have := fields[name]; !have {
			fields[name] = f.Value
		}
	}
	return fields
}

// match tells, or ticks off, one match.
func (r *ruleRun) match(file string, number, recordID uint64, of *rule.Rule, fields map[string]string) error {
	r.matches++
	if r.quiet {
		r.expected.found(expectedMatch{file, number, of.ID})
		return nil
	}
	if r.json {
		line, err := json.Marshal(ruleMatch{file, number, recordID, of.ID, of.Title, string(of.Level), fields})
		if err != nil {
			return fmt.Errorf("encoding match: %w", err)
		}
		_, err = fmt.Fprintf(r.env.stdout, "%s\n", line)
		return err
	}
	names := make([]string, 0, len(fields))
	for name, value := range fields {
		names = append(names, name+"="+shorten(value, 60))
	}
	slices.Sort(names)
	_, err := fmt.Fprintf(r.env.stdout, "%s #%d  %s  %s  (%s)  %s\n", plain(file), number, orDash(string(of.Level)), plain(of.Title), of.ID, plain(strings.Join(names, "  ")))
	return err
}

// correlate feeds the correlations in the order of event time.
func (r *ruleRun) correlate() error {
	slices.SortStableFunc(r.observed, func(a, b observedRecord) int { return a.Time.Compare(b.Time) })
	correlator := r.set.NewCorrelator(rule.CorrelatorConfig{})
	for i := range r.observed {
		o := &r.observed[i]
		for _, held := range correlator.Observe(o.Observation) {
			if !held.Rule.Standalone {
				continue
			}
			fields := map[string]string{"count": strconv.Itoa(held.Count)}
			for _, f := range held.Group {
				fields[f.Name] = f.Value
			}
			if err := r.match(o.file, o.number, o.recordID, held.Rule, fields); err != nil {
				return err
			}
		}
	}
	if s := correlator.Stats(); s.EvictedGroups+s.DroppedEntries > 0 || len(r.observed) == maxObserved {
		fmt.Fprintf(r.env.stderr, "correlations may be missing: %d groups and %d matches were forgotten for want of room\n", s.EvictedGroups, s.DroppedEntries)
	}
	return nil
}

// recordEvent shows a record to the rules.
type recordEvent struct {
	record *winevent.Record
	fields []winevent.Field
}

// Provider implements rule.Event.
func (e *recordEvent) Provider() string { return e.record.Provider }

// Channel implements rule.Event.
func (e *recordEvent) Channel() string { return e.record.Channel }

// EventID implements rule.Event.
func (e *recordEvent) EventID() uint32 { return e.record.EventID }

// Fields implements rule.Event.
func (e *recordEvent) Fields(yield func(name, value string) bool) {
	for i := range e.fields {
		if !yield(e.fields[i].Name, e.fields[i].Value) {
			return
		}
	}
}

// SystemField implements rule.Event.
func (e *recordEvent) SystemField(name string) (string, bool) {
	r := e.record
	present := func(text string) (string, bool) { return text, text != "" }
	switch name {
	case "Computer":
		return r.Computer, true
	case "Channel":
		return r.Channel, true
	case "Provider_Guid":
		return present(r.ProviderGUID)
	case "Provider_EventSourceName":
		return present(r.EventSourceName)
	case "Security_UserID":
		return present(r.UserSID)
	case "Correlation_ActivityID":
		return present(r.ActivityID)
	case "Correlation_RelatedActivityID":
		return present(r.RelatedActivityID)
	case "Keywords":
		return "0x" + strconv.FormatUint(r.Keywords, 16), true
	case "TimeCreated_SystemTime":
		return r.Time.UTC().Format("2006-01-02T15:04:05.0000000Z"), !r.Time.IsZero()
	}
	for _, n := range [...]struct {
		name  string
		value uint64
	}{
		{"Level", uint64(r.Level)}, {"Task", uint64(r.Task)}, {"Opcode", uint64(r.Opcode)}, {"Version", uint64(r.Version)}, {"Qualifiers", uint64(r.Qualifiers)},
		{"EventID_Qualifiers", uint64(r.Qualifiers)}, {"EventRecordID", r.RecordID}, {"Execution_ProcessID", uint64(r.ProcessID)}, {"Execution_ThreadID", uint64(r.ThreadID)},
	} {
		if n.name == name {
			return strconv.FormatUint(n.value, 10), true
		}
	}
	return "", false
}
