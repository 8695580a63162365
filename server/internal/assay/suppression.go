package assay

import (
	"strings"
	"time"
)

// SuppressionID names a suppression.
type SuppressionID [16]byte

func (id SuppressionID) String() string { return formatID(id) }

// ParseSuppressionID reads a UUID.
func ParseSuppressionID(text string) (SuppressionID, error) {
	id, err := parseID(text)
	return SuppressionID(id), err
}

// Suppression keeps detections that somebody accepts from alerting, for a time.
// They stay listed, and are counted.
type Suppression struct {
	ID          SuppressionID
	Scope       SuppressionScope
	Owner       string
	Reason      string
	CreatedBy   string
	CreatedAt   time.Time
	ExpiresAt   time.Time
	EndedAt     time.Time // zero unless a person ended it
	EndedBy     string
	EndedReason string
	Count       uint64
	LastAt      time.Time
	Position    uint64
}

// SuppressionScope says which detections. All that is set must hold.
type SuppressionScope struct {
	Rule       RuleID // empty: any
	Host       HostID // zero: any
	Tag        string // of the host
	Conditions []NamedText
}

// Bounds on a suppression.
const (
	MaxSuppression           = 366 * 24 * time.Hour
	maxSuppressionConditions = 16
)

// Active reports whether it holds at a moment.
func (s *Suppression) Active(at time.Time) bool {
	return !at.Before(s.CreatedAt) && at.Before(s.ExpiresAt) && (s.EndedAt.IsZero() || at.Before(s.EndedAt))
}

// Validate is Invalid for one that is incomplete or too wide.
func (s *Suppression) Validate(now time.Time) error {
	for _, part := range []struct{ name, text string }{{"owner", s.Owner}, {"reason", s.Reason}} {
		if strings.TrimSpace(part.text) == "" {
			return Errorf(Invalid, "a suppression needs an %s", part.name)
		}
	}
	if err := CheckText("owner", s.Owner, MaxUserName); err != nil {
		return err
	}
	if len(s.Reason) > MaxNote {
		return Errorf(Invalid, "the reason has %d bytes, at most %d", len(s.Reason), MaxNote)
	}
	if !s.ExpiresAt.After(now) || s.ExpiresAt.Sub(now) > MaxSuppression {
		return Errorf(Invalid, "a suppression needs an end, after now and at most %d days ahead", MaxSuppression/(24*time.Hour))
	}
	scope := &s.Scope
	if scope.Rule.ID == "" && len(scope.Conditions) == 0 {
		return Errorf(Invalid, "a suppression needs a rule or a condition: it must not silence all rules at once")
	}
	if scope.Rule.ID != "" && scope.Rule.Pack == "" {
		return Errorf(Invalid, "name the pack of rule %s", scope.Rule.ID)
	}
	if len(scope.Conditions) > maxSuppressionConditions {
		return Errorf(Invalid, "%d conditions, at most %d", len(scope.Conditions), maxSuppressionConditions)
	}
	for _, c := range scope.Conditions {
		if c.Name == "" || strings.Trim(c.Value, "*") == "" {
			return Errorf(Invalid, "a condition needs a field and a value that is more than *")
		}
		if len(c.Name) > 128 || len(c.Value) > MaxMatchedValue {
			return Errorf(Invalid, "the condition on %q is too long", c.Name)
		}
	}
	return CheckText("tag", scope.Tag, 128)
}

// Covers reports whether the scope holds for a detection on a host with tags.
func (s *SuppressionScope) Covers(d *Detection, tags []string) bool {
	if s.Rule.Pack != "" && s.Rule.Pack != d.Rule.Pack || s.Rule.ID != "" && s.Rule.ID != d.Rule.ID {
		return false
	}
	if s.Host != (HostID{}) && s.Host != d.Host {
		return false
	}
	if s.Tag != "" {
		found := false
		for _, tag := range tags {
			found = found || tag == s.Tag
		}
		if !found {
			return false
		}
	}
	for _, c := range s.Conditions {
		if !d.has(c) {
			return false
		}
	}
	return true
}

// has reports whether a field that matched, or that alerts are told apart by,
// has the value.
func (d *Detection) has(c NamedText) bool {
	for _, m := range d.Matched {
		if m.Field == c.Name && wild(c.Value, m.Value) {
			return true
		}
	}
	for _, list := range [...][]NamedText{d.Key, d.Group} {
		for _, k := range list {
			if k.Name == c.Name && wild(c.Value, k.Value) {
				return true
			}
		}
	}
	return false
}

// wild compares without case; * in the pattern is any run of characters. It
// takes time in proportion to the product of both at worst, and both are short.
func wild(pattern, text string) bool {
	pattern, text = strings.ToLower(pattern), strings.ToLower(text)
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return strings.HasSuffix(text, last)
}
