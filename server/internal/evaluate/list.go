package evaluate

import (
	"strings"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/framework"
)

// list looks each value up in the organisation's list as it stood then. A
// value that is put on the list afterwards resolves the finding.
func (r *run) list(l *framework.List) {
	list, given := r.in.Lists[l.List]
	if !given || list.Position >= r.size || list.ValidFrom.After(r.instant) {
		r.doubt(assay.ReasonParam, "The organisation has no list "+l.List+".", time.Time{})
		return
	}
	for i := range l.Items {
		item := &l.Items[i]
		for _, h := range r.signal(&item.Signal) {
			value, err := item.Value.Text(r.row(h.Fields))
			if err != nil {
				if r.err == nil {
					r.err = err
				}
				continue
			}
			r.listed(l, &list, h, value)
		}
	}
}

func (r *run) listed(l *framework.List, list *List, h *assay.Hit, value string) {
	var approved time.Time
	for i := range list.Entries {
		e := &list.Entries[i]
		if !matchesEntry(e.Value, value) || e.From.After(r.instant) {
			continue
		}
		holds := !h.BookedAt.Before(e.From) && (e.To.IsZero() || h.BookedAt.Before(e.To))
		if holds {
			r.support(h)
			return
		}
		if e.From.After(h.BookedAt) && (approved.IsZero() || e.From.Before(approved)) {
			approved = e.From
		}
	}
	r.violations = append(r.violations, violation{
		key: keyOf(value, day(h.BookedAt)), title: expand(l.Title, h.Fields, "value", value),
		from: h.BookedAt, to: approved, momentary: true, hits: []*assay.Hit{h}, fields: h.Fields,
	})
}

// matchesEntry compares without case; * in the entry stands for any run of
// characters. It is linear in the value for each star.
func matchesEntry(entry, value string) bool {
	entry, value = strings.ToLower(entry), strings.ToLower(value)
	parts := strings.Split(entry, "*")
	if len(parts) == 1 {
		return entry == value
	}
	if !strings.HasPrefix(value, parts[0]) {
		return false
	}
	value = value[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(value, part)
		if i < 0 {
			return false
		}
		value = value[i+len(part):]
	}
	return strings.HasSuffix(value, last)
}
