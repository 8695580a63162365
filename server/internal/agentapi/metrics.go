package agentapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/server/internal/assay"
)

type metrics struct {
	batches    *prometheus.CounterVec
	events     prometheus.Counter
	bytes      prometheus.Counter
	refusals   *prometheus.CounterVec
	commits    *prometheus.CounterVec
	perCommit  prometheus.Histogram
	ackLatency prometheus.Histogram
	streams    prometheus.Gauge
	queued     prometheus.Gauge
	enrolled   prometheus.Counter
	renewed    prometheus.Counter
	revoked    prometheus.Counter

	cosignatures prometheus.Counter
	missing      prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		batches:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "assay_ingest_batches_total", Help: "Batches by what became of them."}, []string{"outcome"}),
		events:   prometheus.NewCounter(prometheus.CounterOpts{Name: "assay_ingest_events_total", Help: "Events in committed batches."}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "assay_ingest_payload_bytes_total", Help: "Compressed bytes of committed payloads."}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "assay_ingest_refusals_total", Help: "What agents sent that was not taken, by reason."}, []string{"reason"}),
		commits:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "assay_ingest_commits_total", Help: "Write transactions by outcome."}, []string{"outcome"}),
		perCommit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "assay_ingest_commit_batches", Help: "Batches in one write transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9)}),
		ackLatency: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "assay_ingest_ack_seconds", Help: "Time from a batch's receipt to its ack.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}),
		streams:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_agent_streams", Help: "Agents connected now."}),
		queued:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_ingest_queued_bytes", Help: "Bytes of batches received and not yet settled."}),
		enrolled: prometheus.NewCounter(prometheus.CounterOpts{Name: "assay_agent_enrolments_total", Help: "Agents enrolled."}),
		renewed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "assay_agent_renewals_total", Help: "Certificates renewed."}),
		revoked:  prometheus.NewCounter(prometheus.CounterOpts{Name: "assay_agent_streams_revoked_total", Help: "Open streams ended because their agent was revoked."}),

		cosignatures: prometheus.NewCounter(prometheus.CounterOpts{Name: "assay_ledger_cosignatures_total", Help: "Checkpoints that agents verified and signed."}),
		missing:      prometheus.NewCounter(prometheus.CounterOpts{Name: "assay_ledger_missing_total", Help: "Checkpoints of this ledger that agents hold and that it does not have: it was restored."}),
	}
	for _, c := range []prometheus.Collector{m.batches, m.events, m.bytes, m.refusals, m.commits, m.perCommit, m.ackLatency, m.streams, m.queued, m.enrolled, m.renewed, m.revoked, m.cosignatures, m.missing} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

func (m *metrics) settled(b *assay.Batch, outcome assay.Outcome, took time.Duration) {
	m.batches.WithLabelValues(outcome.String()).Inc()
	if outcome == assay.Committed {
		m.events.Add(float64(b.Header.EventCount))
		m.bytes.Add(float64(len(b.Payload)))
		m.ackLatency.Observe(took.Seconds())
	}
}
