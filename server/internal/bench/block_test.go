package bench

import (
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

// TestMix keeps the load what it says it is: a figure over another mix of events
// is another figure.
func TestMix(t *testing.T) {
	t.Parallel()
	l, err := makeLoads(2, 10_000, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	share := map[string]float64{}
	for _, d := range l.interleaved() {
		if d.header.Kind == evidence.Bulk && d.events > blockEvents {
			t.Errorf("a block of %d events", d.events)
		}
		if len(d.payload) > 48<<10 {
			t.Errorf("a payload of %d bytes, which no agent sends", len(d.payload))
		}
		events, err := d.decode(decoder)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range events {
			if table := telemetry.Of(ev); table != nil {
				share[table.Name]++
				if ev.GetRaw() == nil {
					t.Fatalf("an event of %s without the record that it was made of", table.Name)
				}
			}
		}
	}
	for table, want := range map[string]float64{
		"win_process_events": 0.25, "win_file_events": 0.23, "win_registry_events": 0.09, "win_image_load_events": 0.07,
		"win_socket_events": 0.19, "win_dns_response_events": 0.08, "win_logon_events": 0.03, "win_log_events": 0.04,
	} {
		if got := share[table] / float64(l.typed); got < want-0.03 || got > want+0.03 {
			t.Errorf("%s has %.2f of all events, want %.2f", table, got, want)
		}
	}
	if l.events-l.typed < 2 {
		t.Error("no host says how its sources are")
	}
}
