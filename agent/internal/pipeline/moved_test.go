package pipeline

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assay-audit/assay/agent/internal/spool"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// TestMoved: a source hears when its last event is durable, also where an event of
// its other stream was stored after it and nothing follows. An agent that may import
// has a third stream, which says nothing of either.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control, bulk := newMemoryStore(), newMemoryStore()
		p, err := New(Config{
			Stores: map[evidence.StreamKind]Store{evidence.Control: control, evidence.Bulk: bulk, evidence.Import: newMemoryStore()},
			Log:    slog.New(slog.DiscardHandler), Now: time.Now, Linger: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Close(t.Context()) }()
		bulk.setErr(spool.ErrFull)
		defer bulk.setErr(nil) // or a failed test would wait for room
		file := &telemetryv1.Event{Body: &telemetryv1.Event_File{File: &telemetryv1.FileEvent{Action: "FILE_WRITE"}}}
		gap := &telemetryv1.Event{Body: &telemetryv1.Event_Gap{Gap: &telemetryv1.Gap{Source: "kernel"}}}
		for i, ev := range []*telemetryv1.Event{file, gap} {
			if err := p.Emit(t.Context(), Item{Event: ev, Key: "ring", Position: []byte{byte(i + 1)}}); err != nil {
				t.Fatal(err)
			}
		}
		moved := p.Moved()
		<-moved // the gap is stored, the file's event before it is not
		synctest.Wait()
		if position := p.Position("ring"); position != nil {
			t.Fatalf("durable up to %v while the bulk stream is full", position)
		}
		moved = p.Moved()
		bulk.setErr(nil)
		<-moved
		synctest.Wait()
		if position := p.Position("ring"); len(position) != 1 || position[0] != 2 {
			t.Errorf("durable up to %v", position)
		}
	})
}
