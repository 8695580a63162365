package evtx_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Velocidex/ordereddict"
	"github.com/assay-audit/assay/agent/winevent"
	velocidex "www.velocidex.com/golang/evtx"
)

// leaf is one value of the other reader's tree, which keeps Go types.
type leaf struct {
	name  string
	value any
}

// velocidexRecord is one record as the other reader gives it.
type velocidexRecord struct {
	number uint64
	system *ordereddict.Dict
	leaves []leaf
	// rendered says that there is RenderingInfo.
	rendered bool
}

// readVelocidex reads a file with the other reader. It is only fit for files
// that are known to be good: it may not end on others.
func readVelocidex(t *testing.T, data []byte) []velocidexRecord {
	t.Helper()
	chunks, err := velocidex.GetChunks(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var records []velocidexRecord
	for _, chunk := range chunks {
		parsed, err := chunk.Parse(0)
		if err != nil {
			continue // a cut chunk, which it does not read; the counts show it
		}
		for _, p := range parsed {
			r := velocidexRecord{number: p.Header.RecordID}
			event := child(p.Event, "Event")
			r.system, _ = child(event, "System").(*ordereddict.Dict)
			r.rendered = child(event, "RenderingInfo") != nil
			r.leaves = appendEventData(r.leaves, child(event, "EventData"))
			r.leaves = appendLeaves(r.leaves, "", child(event, "UserData"))
			r.leaves = appendLeaves(r.leaves, "", child(event, "ProcessingErrorData"))
			records = append(records, r)
		}
	}
	return records
}

func child(v any, name string) any {
	if d, ok := v.(*ordereddict.Dict); ok {
		found, _ := d.Get(name)
		return found
	}
	return nil
}

// appendEventData undoes the other reader's three shapes of EventData.
func appendEventData(leaves []leaf, v any) []leaf {
	d, ok := v.(*ordereddict.Dict)
	if !ok {
		return leaves
	}
	for _, key := range d.Keys() {
		item, _ := d.Get(key)
		if key == "Data" {
			leaves = appendDataItem(leaves, item)
		} else if _, plain := d.Get("Data"); key == "Name" && plain {
			continue // EventData/@Name
		} else {
			leaves = append(leaves, leaf{key, item})
		}
	}
	return leaves
}

func appendDataItem(leaves []leaf, v any) []leaf {
	switch v := v.(type) {
	case *ordereddict.Dict:
		name, _ := v.GetString("Name")
		value, _ := v.Get("Value")
		return append(leaves, leaf{name, value})
	case []any:
		for _, item := range v {
			leaves = appendDataItem(leaves, item)
		}
		return leaves
	case []string:
		// The terminator of the last member makes one empty string too many.
		for _, item := range v {
			leaves = append(leaves, leaf{"", item})
		}
		return leaves
	}
	return append(leaves, leaf{"", v})
}

func appendLeaves(leaves []leaf, name string, v any) []leaf {
	switch v := v.(type) {
	case nil:
		if name == "" {
			return leaves
		}
	case *ordereddict.Dict:
		if v.Len() == 0 && name != "" {
			return append(leaves, leaf{name, nil})
		}
		for _, key := range v.Keys() {
			item, _ := v.Get(key)
			if key == "Value" {
				key = name
			}
			leaves = appendLeaves(leaves, key, item)
		}
		return leaves
	case []any:
		for _, item := range v {
			leaves = appendLeaves(leaves, name, item)
		}
		return leaves
	}
	return append(leaves, leaf{name, v})
}

// sameValue compares our text with the other reader's typed value, under its
// known losses: hexadecimal integers are plain numbers, GUIDs lack braces,
// times are seconds as float64.
func sameValue(ours string, theirs any) bool {
	switch v := theirs.(type) {
	case nil:
		return ours == ""
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			mine, err := time.Parse(time.RFC3339Nano, ours)
			return err == nil && mine.Equal(t)
		}
		bare := strings.TrimSuffix(strings.TrimPrefix(ours, "{"), "}")
		return ours == v || strings.EqualFold(bare, strings.Trim(v, "{}")) && len(bare) == 36
	case []byte:
		return ours == fmt.Sprintf("%X", v)
	case bool:
		return ours == strconv.FormatBool(v)
	case float64:
		if t, err := time.Parse(time.RFC3339Nano, ours); err == nil {
			seconds := float64(t.Unix()) + float64(t.Nanosecond())/1e9
			return math.Abs(seconds-v) < 1e-5
		}
		f, err := strconv.ParseFloat(ours, 64)
		return err == nil && math.Abs(f-v) <= math.Abs(v)*1e-6
	}
	text := fmt.Sprint(theirs)
	if ours == text {
		return true
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(ours, "0x"), 16, 64)
	return err == nil && strings.HasPrefix(ours, "0x") && strconv.FormatUint(n, 10) == text
}

// systemDifference compares System; it names the first disagreement.
func (v velocidexRecord) systemDifference(ours *winevent.Record) string {
	for _, s := range []struct {
		path []string
		ours string
	}{
		{[]string{"Provider", "Name"}, ours.Provider},
		{[]string{"Provider", "Guid"}, ours.ProviderGUID},
		{[]string{"EventID"}, fmt.Sprint(ours.EventID)},
		{[]string{"EventID", "Qualifiers"}, fmt.Sprint(ours.Qualifiers)},
		{[]string{"Version"}, fmt.Sprint(ours.Version)},
		{[]string{"Level"}, fmt.Sprint(ours.Level)},
		{[]string{"Task"}, fmt.Sprint(ours.Task)},
		{[]string{"Opcode"}, fmt.Sprint(ours.Opcode)},
		{[]string{"Keywords"}, fmt.Sprintf("0x%x", ours.Keywords)},
		{[]string{"TimeCreated", "SystemTime"}, ours.Time.Format("2006-01-02T15:04:05.000000000Z")},
		{[]string{"EventRecordID"}, fmt.Sprint(ours.RecordID)},
		{[]string{"Correlation", "ActivityID"}, ours.ActivityID},
		{[]string{"Correlation", "RelatedActivityID"}, ours.RelatedActivityID},
		{[]string{"Execution", "ProcessID"}, fmt.Sprint(ours.ProcessID)},
		{[]string{"Execution", "ThreadID"}, fmt.Sprint(ours.ThreadID)},
		{[]string{"Channel"}, ours.Channel},
		{[]string{"Computer"}, ours.Computer},
		{[]string{"Security", "UserID"}, ours.UserSID},
	} {
		var theirs any = v.system
		for _, key := range s.path {
			theirs = child(theirs, key)
		}
		if inner := child(theirs, "Value"); inner != nil {
			theirs = inner
		}
		if theirs == nil && s.ours == "0" {
			continue
		}
		if !sameValue(s.ours, theirs) {
			return fmt.Sprintf("%v: %q, other %v (%T)", s.path, s.ours, theirs, theirs)
		}
	}
	return ""
}

// The known losses of the other reader. Each counts how often it explains a
// difference; that ours is right was settled with the third reader, which
// agrees with ours on all these records that it can read, and with the bytes.
const (
	lostChildren  = "keeps one of several Data of one name, and drops Binary and ComplexData beside named Data: a dictionary of names cannot hold them"
	lostDataName  = "gives EventData/@Name as a field where there is no Data"
	lostTokens    = "keeps one of several texts of an element: the value breaks off at an entity"
	lostUserData  = "loses UserData that holds an entity"
	lostEventData = "loses EventData in a record that has RenderingInfo"
	lostInteger   = "gives 8 and 16 bit signed integers as characters"
	lostNamespace = "gives namespace declarations as attributes"
)

// dataDifference compares EventData field by field, in order.
func (v velocidexRecord) dataDifference(ours *winevent.Record, explained map[string]int) string {
	fields, theirs := ours.Data, v.leaves
	if len(theirs) > 0 && theirs[0].name == "Name" && ours.DataName != "" && theirs[0].value == ours.DataName {
		explained[lostDataName]++
		theirs = theirs[1:]
	}
	if len(theirs) == 0 && len(fields) > 0 && v.rendered {
		explained[lostEventData]++
		return ""
	}
	for i, f := range fields {
		switch {
		case len(theirs) > 0 && theirs[0].name == f.Name:
			if d := leafDifference(f, theirs[0], explained); d != "" {
				return fmt.Sprintf("field %d: %s", i, d)
			}
			theirs = theirs[1:]
		case len(v.leaves) < len(fields):
			explained[lostChildren]++
		default:
			return fmt.Sprintf("field %d: %q=%q is not in the other", i, f.Name, f.Value)
		}
	}
	if len(theirs) > 0 {
		return fmt.Sprintf("other has %q=%v as well", theirs[0].name, theirs[0].value)
	}
	return ""
}

func leafDifference(f winevent.Field, l leaf, explained map[string]int) string {
	if sameValue(f.Value, l.value) {
		return ""
	}
	if text, ok := l.value.(string); ok {
		rest, cut := strings.CutPrefix(f.Value, text)
		if cut && strings.ContainsAny(rest[:1], "&<>\"'") {
			explained[lostTokens]++
			return ""
		}
		if n, err := strconv.ParseInt(f.Value, 10, 16); err == nil && text == string(rune(n)) {
			explained[lostInteger]++
			return ""
		}
	}
	return fmt.Sprintf("%q=%q, other %v (%T)", f.Name, f.Value, l.value, l.value)
}

// userDataDifference compares as bags and without empty elements: the other
// reader collects elements of one name, which loses their order.
func (v velocidexRecord) userDataDifference(ours *winevent.Record, explained map[string]int) string {
	if v.brokenOff(ours) {
		explained[lostUserData]++
		return ""
	}
	rest := slices.Clone(v.leaves)
	for _, f := range ours.Fields() {
		i := slices.IndexFunc(rest, func(l leaf) bool {
			return l.name == f.Name && leafDifference(f, l, map[string]int{}) == ""
		})
		if i >= 0 {
			leafDifference(f, rest[i], explained)
			rest = slices.Delete(rest, i, i+1)
		} else if f.Value != "" {
			return fmt.Sprintf("%q=%q is not in the other", f.Name, f.Value)
		}
	}
	for _, l := range rest {
		switch {
		case strings.HasPrefix(l.name, "xmlns"):
			explained[lostNamespace]++
		case l.value != nil && l.value != "":
			return fmt.Sprintf("other has %q=%v (%T)", l.name, l.value, l.value)
		}
	}
	return ""
}

// brokenOff reports whether the other reader lost elements of a UserData that
// holds an entity, and all that it has left is in ours.
func (v velocidexRecord) brokenOff(ours *winevent.Record) bool {
	fields, entity := ours.Fields(), false
	for _, f := range fields {
		entity = entity || strings.ContainsAny(f.Value, "&<>\"'")
	}
	if !entity || len(v.leaves) > 5 || len(fields) < 2*len(v.leaves) {
		return false
	}
	for _, l := range v.leaves {
		if l.name != "" && !slices.ContainsFunc(fields, func(f winevent.Field) bool { return f.Name == l.name && sameValue(f.Value, l.value) }) {
			return false
		}
	}
	return true
}

func (v velocidexRecord) difference(ours *winevent.Record, explained map[string]int) string {
	if d := v.systemDifference(ours); d != "" {
		return d
	}
	if ours.UserData != nil {
		return v.userDataDifference(ours, explained)
	}
	return v.dataDifference(ours, explained)
}
