package rule

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// filter is the filter section of a filter document.
type filter struct {
	any   bool
	rules []string
}

// parseFilter reads a filter document. Its condition is and-ed to those of the
// rules it names, so one that shall suppress says `not selection`.
func (c *compiler) parseFilter(d *document) error {
	section := lookup(d.node, "filter")
	if section.Kind != yaml.MappingNode {
		return errAt(section, "filter is not a mapping")
	}
	var err error
	if d.rule.Logsource, err = parseLogsource(d.node); err != nil {
		return err
	}
	f := &filter{}
	if f.rules, err = texts(section, "rules"); err != nil {
		return err
	}
	if len(f.rules) == 0 {
		return errAt(section, "filter names no rules")
	}
	f.any = len(f.rules) == 1 && strings.EqualFold(f.rules[0], "any")
	if d.tree, err = c.parseDetection(section, "rules"); err != nil {
		return err
	}
	d.filter = f
	d.rule.Digest = digestOf(domainRule, d.node)
	return nil
}

// names reports whether a reference means the rule: by id, name or title.
func names(ref string, r *Rule) bool {
	return strings.EqualFold(ref, r.ID) && r.ID != "" || ref == r.Name || ref == r.Title
}

// covers reports whether a rule's logsource is within the filter's.
func (l Logsource) covers(o Logsource) bool {
	return (l.Category == "" || l.Category == o.Category) &&
		(l.Product == "" || l.Product == o.Product) &&
		(l.Service == "" || l.Service == o.Service)
}

// applyFilters changes the trees of the rules that filters name and gives every
// rule its digest.
func (c *compiler) applyFilters() {
	used := map[*document]map[string]bool{}
	for _, d := range c.docs {
		if d.filter != nil {
			used[d] = map[string]bool{}
		}
	}
	for _, d := range c.docs {
		if d.filter != nil {
			continue
		}
		var digests [][32]byte
		for _, f := range c.docs {
			if f.filter == nil || d.tree == nil || !f.rule.Logsource.covers(d.rule.Logsource) {
				continue
			}
			refs := f.filter.named(d.rule)
			if len(refs) == 0 {
				continue
			}
			for _, ref := range refs {
				used[f][ref] = true
			}
			d.tree = &expr{op: opAnd, kids: []*expr{d.tree, f.tree}}
			d.rule.Filters = append(d.rule.Filters, label(f.node))
			digests = append(digests, f.rule.Digest)
		}
		d.rule.Digest = digestOf(domainRule, d.node, digests...)
	}
	c.reportUnusedFilters(used)
}

// named returns the references of the filter that mean the rule.
func (f *filter) named(r *Rule) []string {
	if f.any {
		return f.rules
	}
	var out []string
	for _, ref := range f.rules {
		if names(ref, r) {
			out = append(out, ref)
		}
	}
	return out
}

func (c *compiler) reportUnusedFilters(used map[*document]map[string]bool) {
	for _, d := range c.docs {
		if d.filter == nil {
			continue
		}
		missing := slices.DeleteFunc(slices.Clone(d.filter.rules), func(ref string) bool { return used[d][ref] })
		if len(missing) > 0 {
			c.refuse(d, "filter applies to no rule that is %s within logsource %s", strings.Join(missing, ", "), d.rule.Logsource)
		}
	}
}
