package winevent

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/proto/telemetry"
)

// FuzzNormalise: whatever the fields hold, a record becomes one event that
// encodes, has a row, and holds all fields. Field names come from those that
// mappings look for, so that values reach them.
func FuzzNormalise(f *testing.F) {
	var keys []mappingKey
	for key := range mappings() {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b mappingKey) int {
		if a.provider != b.provider {
			if a.provider < b.provider {
				return -1
			}
			return 1
		}
		return int(a.eventID) - int(b.eventID)
	})
	var names []string
	for _, c := range allCases() {
		for _, field := range c.record(f).Fields() {
			names = append(names, field.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	f.Add(uint16(0), []byte{0, 1, 2}, "0x1", "%%8448", "\\Device\\HarddiskVolume2\\x", int64(0))
	f.Add(uint16(9), []byte{200, 100, 2}, "\x00\xff", "USBSTOR#Disk&Ven_&Prod_#\\&", "TOKEN='", int64(1)<<62)
	f.Fuzz(func(t *testing.T, kind uint16, which []byte, a, b, c string, at int64) {
		key := keys[int(kind)%len(keys)]
		r := &Record{Provider: key.provider, EventID: key.eventID, Time: time.Unix(at%1e11, 0).UTC(), Task: kind}
		values := []string{a, b, c, a + b, "-", ""}
		for i, w := range which[:min(len(which), 60)] {
			field := Field{names[(int(w)+i*7)%len(names)], values[(int(w)+i)%len(values)]}
			if i%3 == 2 {
				if r.UserData == nil {
					r.UserData = &Element{Name: a}
				}
				r.UserData.Children = append(r.UserData.Children, Element{Name: field.Name, Text: field.Value})
				continue
			}
			r.Data = append(r.Data, field)
		}
		ev := testNormaliser.Normalise(r)
		table := telemetry.Of(ev)
		if table == nil {
			t.Fatal("no table")
		}
		if _, err := proto.Marshal(ev); err != nil {
			t.Fatal(err)
		}
		if row := table.Values(telemetry.Placement{}, ev); len(row) != len(table.Columns) {
			t.Fatalf("%d of %d columns", len(row), len(table.Columns))
		}
		back := RecordOf(ev.Raw)
		if len(back.Fields()) != len(r.Fields()) {
			t.Fatalf("%d of %d fields", len(back.Fields()), len(r.Fields()))
		}
		for i, field := range redacted(r).Fields() {
			if got := back.Fields()[i]; got.Name != valid(field.Name) || got.Value != valid(field.Value) {
				t.Fatalf("field %d: %q, want %q", i, got, field)
			}
		}
	})
}
