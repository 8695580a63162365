package rule

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Config is what rules mean besides their own text.
type Config struct {
	// Logsources are further logsource tables, in the form of the built-in one
	// (logsources.yml): entries are added to it, entries of the same name
	// replace its.
	Logsources []Source
	// Placeholders are the values of %name% under the expand modifier. A rule
	// with a placeholder that is not here is refused; an empty list is allowed
	// and matches nothing.
	Placeholders map[string][]string
}

// compiler is the state of one Compile.
type compiler struct {
	cfg       Config
	fold      *folder
	table     logTable
	tableDocs [][32]byte
	problems  []Problem

	docs   []*document
	fields map[string]int32
	// nodes are the bound nodes of the rule at hand and total those of all.
	nodes, total int
	// pairs are the channels with event ids that make a group.
	pairs map[string]struct{}
}

// Compile compiles rules, filters and correlations. What is refused is reported
// with its place and reason and left out; the rest is in the Set, which is
// never nil. The same sources and configuration always make the same Set.
func Compile(sources []Source, cfg Config) (*Set, []Problem) {
	c := &compiler{cfg: cfg, fold: newFolder(), fields: map[string]int32{}, pairs: map[string]struct{}{}}
	if err := c.readTable(builtinTable); err != nil {
		c.problem("logsources.yml", "", err)
	}
	for _, t := range cfg.Logsources {
		if err := c.readTable(t.Data); err != nil {
			c.problem(t.Name, "", err)
		}
	}
	c.readSources(sources)
	c.refuseDuplicates()
	c.applyFilters()
	return c.build(), c.problems
}

func (c *compiler) problem(source, id string, err error) {
	p := Problem{Source: source, RuleID: id, Reason: err.Error()}
	var at *lineError
	if errors.As(err, &at) {
		p.Line = at.line
	}
	c.problems = append(c.problems, p)
}

// refuse reports a document that parsed but cannot be used.
func (c *compiler) refuse(d *document, format string, args ...any) {
	c.problem(d.rule.Source, label(d.node), &lineError{line: d.rule.Line, reason: fmt.Sprintf(format, args...)})
}

func (c *compiler) readSources(sources []Source) {
	total := 0
	for i, s := range sources {
		total += len(s.Data)
		if i >= maxSources || total > maxTotalBytes {
			c.problem(s.Name, "", fmt.Errorf("more than %d files or %d bytes of rules: this file and %d further ones are not read", maxSources, maxTotalBytes, len(sources)-i-1))
			return
		}
		nodes, err := readDocuments(s.Data)
		for _, n := range nodes {
			d, err := c.parseDocument(n, s.Name)
			if err != nil {
				c.problem(s.Name, label(n), err)
				continue
			}
			c.docs = append(c.docs, d)
		}
		if err != nil {
			c.problem(s.Name, "", err)
		}
	}
}

// refuseDuplicates keeps the first document of an id or a name: which one a
// correlation or a filter means must not depend on luck.
func (c *compiler) refuseDuplicates() {
	ids, names := map[string]*document{}, map[string]*document{}
	c.docs = slices.DeleteFunc(c.docs, func(d *document) bool {
		if first := ids[d.rule.ID]; first != nil && d.rule.ID != "" {
			c.refuse(d, "id %s is already that of %s:%d", d.rule.ID, first.rule.Source, first.rule.Line)
			return true
		}
		if first := names[d.rule.Name]; first != nil && d.rule.Name != "" {
			c.refuse(d, "name %s is already that of %s:%d", d.rule.Name, first.rule.Source, first.rule.Line)
			return true
		}
		ids[d.rule.ID], names[d.rule.Name] = d, d
		return false
	})
}

func (c *compiler) foldText(s string) string {
	b, _ := c.fold.append(nil, s)
	return string(b)
}

// fieldID numbers the fields that rules ask for.
func (c *compiler) fieldID(name string) int32 {
	id, ok := c.fields[name]
	if !ok {
		id = int32(len(c.fields))
		c.fields[name] = id
	}
	return id
}

// build binds every rule to its log sources and makes the Set.
func (c *compiler) build() *Set {
	s := &Set{fold: c.fold}
	for _, d := range c.docs {
		if d.filter != nil {
			continue
		}
		if d.rule.Correlation == nil && !c.bind(s, d) {
			continue
		}
		d.rule.index = int32(len(s.rules))
		s.rules = append(s.rules, d.rule)
	}
	s.correlations = c.linkCorrelations(s.rules)
	s.rules = slices.DeleteFunc(s.rules, func(r *Rule) bool {
		return r.Correlation != nil && !slices.Contains(s.correlations, r)
	})
	for i, r := range s.rules {
		r.index = int32(i)
	}
	s.setFields(c.fields)
	s.index()
	s.digest = c.setDigest(s.rules)
	return s
}

// bind makes the rule's variants and reports whether it has any.
func (c *compiler) bind(s *Set, d *document) bool {
	bindings := c.table.resolve(d.rule.Logsource)
	if len(bindings) == 0 {
		c.refuse(d, "logsource %s is not in the table of Windows event logs", d.rule.Logsource)
		c.problems[len(c.problems)-1].Foreign = true
		return false
	}
	var made []*program
	for i := range bindings {
		c.nodes = 0
		p := c.bindOne(d, &bindings[i])
		if c.total += c.nodes; c.nodes > maxProgramNodes || c.total > maxTotalNodes {
			c.refuse(d, "the rule, or all rules together, are too large once selections are expanded")
			return false
		}
		if p != nil {
			made = append(made, p)
		}
	}
	if len(made) == 0 {
		c.refuse(d, "the rule's EventID contradicts its logsource %s: it can never match", d.rule.Logsource)
		return false
	}
	if !c.countGroups(made) {
		c.refuse(d, "the rules name more than %d pairs of channel and event id", maxGroups)
		return false
	}
	s.programs = append(s.programs, made...)
	return true
}

// countGroups notes the groups that programs need and reports whether there is
// room for them.
func (c *compiler) countGroups(programs []*program) bool {
	for _, p := range programs {
		channels := p.channels
		if channels == nil {
			channels = []string{""}
		}
		for _, name := range channels {
			for _, id := range p.ids {
				c.pairs[name+"\x00"+strconv.FormatUint(uint64(id), 10)] = struct{}{}
			}
		}
	}
	return len(c.pairs) <= maxGroups
}

// setDigest covers everything that decides what the Set answers.
func (c *compiler) setDigest(rules []*Rule) [32]byte {
	b := []byte(domainRules)
	digests := make([][32]byte, 0, len(rules))
	for _, r := range rules {
		digests = append(digests, r.Digest)
	}
	slices.SortFunc(digests, func(x, y [32]byte) int { return slices.Compare(x[:], y[:]) })
	for _, list := range [...][][32]byte{digests, c.tableDocs} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, d := range list {
			b = append(b, d[:]...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Placeholders)) {
		b = appendText(b, name)
		values := c.cfg.Placeholders[name]
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, v := range values {
			b = appendText(b, v)
		}
	}
	return sha256.Sum256(b)
}
