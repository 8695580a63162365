package bench

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"iter"
	"math"
	"runtime"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/assay-audit/assay/agent/winevent"
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/proto/telemetry"
)

// A block is what an agent's pipeline packs: so many events, with one health
// statement to so many blocks of the bulk stream.
const (
	blockEvents  = 300
	healthBlocks = 8
)

// draft is a packed block that has no place in a chain yet.
type draft struct {
	agent   int
	header  evidence.Header // without stream, epoch, number, sequence and previous
	payload []byte
	// Of its events, how many there are and how many have a table. They are not
	// kept: collecting garbage around them would be counted as the server's work.
	events, typed int
}

// load is what one agent sends, in order.
type load struct {
	number int
	drafts []draft
}

// loads are made once and replayed in every round.
type loads struct {
	agents               []load
	events, typed        int
	batches              int
	rawBytes, wirePacked int64
}

// makeLoads writes, normalises and packs the records of n hosts.
func makeLoads(n, events int, now time.Time) (*loads, error) {
	all := &loads{agents: make([]load, n)}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range all.agents {
		group.Go(func() (err error) {
			all.agents[i], err = makeLoad(i, max(1, events/n), now)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := range all.agents {
		all.count(&all.agents[i])
	}
	return all, nil
}

// interleaved yields all drafts as agents that send at one pace would mix them.
func (l *loads) interleaved() iter.Seq2[int, *draft] {
	return func(yield func(int, *draft) bool) {
		n := 0
		for i, more := 0, true; more; i++ {
			more = false
			for a := range l.agents {
				if i >= len(l.agents[a].drafts) {
					continue
				}
				more = true
				if !yield(n, &l.agents[a].drafts[i]) {
					return
				}
				n++
			}
		}
	}
}

func (l *loads) count(one *load) {
	for i := range one.drafts {
		d := &one.drafts[i]
		l.batches++
		l.events += d.events
		l.typed += d.typed
		l.rawBytes += int64(d.header.RawSize)
		l.wirePacked += int64(d.header.PayloadSize)
	}
}

func makeLoad(number, events int, now time.Time) (load, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithEncoderCRC(false))
	if err != nil {
		return load{}, fmt.Errorf("making compressor: %w", err)
	}
	defer encoder.Close()
	// What is sent happened within the last minutes, as it does.
	h := newHost(number, now.Add(-10*time.Minute))
	var normaliser winevent.Normaliser
	made := load{number: number}
	for sent := 0; sent < events; {
		block := make([]*telemetryv1.Event, 0, blockEvents)
		for len(block) < min(blockEvents, events-sent) {
			block = append(block, normaliser.Normalise(h.next()))
		}
		sent += len(block)
		if err := made.pack(encoder, evidence.Bulk, block); err != nil {
			return load{}, err
		}
		if (len(made.drafts)-1)%healthBlocks == 0 {
			if err := made.pack(encoder, evidence.Control, []*telemetryv1.Event{h.health()}); err != nil {
				return load{}, err
			}
		}
	}
	return made, nil
}

// decode returns the events of a draft.
func (d *draft) decode(decoder *zstd.Decoder) ([]*telemetryv1.Event, error) {
	raw, err := decoder.DecodeAll(d.payload, nil)
	if err != nil {
		return nil, fmt.Errorf("decompressing block: %w", err)
	}
	block := new(telemetryv1.Block)
	if err := proto.Unmarshal(raw, block); err != nil {
		return nil, fmt.Errorf("decoding block: %w", err)
	}
	events := make([]*telemetryv1.Event, len(block.GetEvents()))
	for i, encoded := range block.GetEvents() {
		events[i] = new(telemetryv1.Event)
		if err := proto.Unmarshal(encoded, events[i]); err != nil {
			return nil, fmt.Errorf("decoding event: %w", err)
		}
	}
	return events, nil
}

func (l *load) pack(encoder *zstd.Encoder, kind evidence.StreamKind, events []*telemetryv1.Event) error {
	block := &telemetryv1.Block{Seed: make([]byte, evidence.SeedSize)}
	if _, err := rand.Read(block.Seed); err != nil {
		return fmt.Errorf("seeding block: %w", err)
	}
	header := evidence.Header{Kind: kind, EventCount: uint32(len(events)), ObservedFrom: math.MaxInt64, ObservedTo: math.MinInt64}
	typed := 0
	for _, ev := range events {
		if telemetry.Of(ev) != nil {
			typed++
		}
		encoded, err := proto.Marshal(ev)
		if err != nil {
			return fmt.Errorf("encoding event: %w", err)
		}
		block.Events = append(block.Events, encoded)
		header.ObservedFrom, header.ObservedTo = min(header.ObservedFrom, ev.GetObservedAt()), max(header.ObservedTo, ev.GetObservedAt())
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		return fmt.Errorf("encoding block: %w", err)
	}
	payload := encoder.EncodeAll(raw, nil)
	header.PayloadSHA256, header.PayloadSize, header.RawSize = sha256.Sum256(payload), uint32(len(payload)), uint32(len(raw))
	header.Commitments = evidence.CommitmentRoot(evidence.Commitments(block.GetSeed(), block.GetEvents()))
	l.drafts = append(l.drafts, draft{agent: l.number, header: header, payload: payload, events: len(events), typed: typed})
	return nil
}

// health is what the agent says of its sources each minute.
func (h *host) health() *telemetryv1.Event {
	h.tick()
	source := func(name, channel string, capabilities ...string) *telemetryv1.SourceState {
		n := h.records[channel]
		return &telemetryv1.SourceState{Source: name, Channel: channel, Running: true, Capabilities: capabilities, Position: 4_000_000 + n, Seen: n}
	}
	return &telemetryv1.Event{
		ObservedAt: evidence.Ticks(h.at), BootId: "boot", Subject: &telemetryv1.Subject{Kind: telemetryv1.SubjectKind_SUBJECT_KIND_SELF},
		Source: telemetryv1.Source_SOURCE_AGENT, Mode: telemetryv1.Mode_MODE_LIVE,
		Body: &telemetryv1.Event_SourceHealth{SourceHealth: &telemetryv1.SourceHealth{
			AgentVersion: "1.0.0", StartedAt: evidence.Ticks(h.at.Truncate(24 * time.Hour)), SpoolLimitBytes: 1 << 30,
			Sources: []*telemetryv1.SourceState{
				source("event_log", securityChannel, "log.security", "audit.policy_change", "audit.security_state_change"),
				source("sysmon", sysmonChannel, "process.start", "file.change", "network.connect", "dns.query"),
			},
		}},
	}
}
