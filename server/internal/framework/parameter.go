package framework

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
)

// Values are the parameters of a check, by name: a time.Duration, int64,
// float64 (percent: 0 to 100), string or []string each, as the type says.
type Values map[string]any

// parameter is a setting with its parsed default; value is nil where the
// organisation must set it.
type parameter struct {
	assay.Parameter
	value any
}

var parameterTypes = []string{"duration", "int", "percent", "string", "strings"}

// maxListed bounds the entries of a "strings" parameter.
const maxListed = 1000

// ParseParameter reads a value of the named type. Strings are separated by
// newlines or commas. Durations take the units of Go and d for days.
func ParseParameter(kind, text string) (any, error) {
	switch kind {
	case "duration":
		return parseDuration(text)
	case "int":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		return n, nil
	case "percent":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= 0 && n <= 100) {
			return nil, fmt.Errorf("%q is not a percentage", text)
		}
		return n, nil
	case "string":
		return text, nil
	case "strings":
		var list []string
		for _, item := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ',' }) {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		if len(list) > maxListed {
			return nil, fmt.Errorf("has more than %d entries", maxListed)
		}
		return list, nil
	}
	return nil, fmt.Errorf("type %q is none of %s", kind, strings.Join(parameterTypes, ", "))
}

// parseDuration reads a positive duration; "3d" is 72 hours.
func parseDuration(text string) (time.Duration, error) {
	if days, found := strings.CutSuffix(text, "d"); found {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 5m, 24h or 3d", text)
	}
	return d, nil
}

// Resolve returns the check's parameters with the overrides, given as text,
// in place of defaults. missing names those that have neither.
func (c *Check) Resolve(overrides map[string]string) (values Values, missing []string, err error) {
	if len(overrides) == 0 {
		return c.defaults, c.unset, nil
	}
	values = make(Values, len(c.parameters))
	for _, p := range c.parameters {
		value := p.value
		if text, given := overrides[p.Name]; given && text != "" {
			if value, err = ParseParameter(p.Type, text); err != nil {
				return nil, nil, fmt.Errorf("reading parameter %s of %s: %w", p.Name, c.ID, err)
			}
		}
		if isUnset(value) {
			missing = append(missing, p.Name)
		}
		values[p.Name] = zeroOf(p.Type, value)
	}
	for name := range overrides {
		if !slices.ContainsFunc(c.parameters, func(p parameter) bool { return p.Name == name }) {
			return nil, nil, fmt.Errorf("reading parameters of %s: it has no parameter %q", c.ID, name)
		}
	}
	return values, missing, nil
}

func isUnset(value any) bool {
	list, isList := value.([]string)
	return value == nil || isList && len(list) == 0
}

// zeroOf keeps the row of parameters complete, so that a predicate never meets
// a missing key.
func zeroOf(kind string, value any) any {
	if value != nil {
		return value
	}
	switch kind {
	case "duration":
		return time.Duration(0)
	case "int":
		return int64(0)
	case "percent":
		return float64(0)
	case "strings":
		return []string{}
	}
	return ""
}

// Duration returns a duration of the values, 0 if there is none.
func (v Values) Duration(name string) time.Duration {
	d, _ := v[name].(time.Duration)
	return d
}

// Int returns a whole number of the values, 0 if there is none.
func (v Values) Int(name string) int64 {
	n, _ := v[name].(int64)
	return n
}

// Percent returns a percentage of the values, 0 if there is none.
func (v Values) Percent(name string) float64 {
	n, _ := v[name].(float64)
	return n
}
