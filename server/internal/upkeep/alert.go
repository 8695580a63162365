package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/postgres"
	"github.com/assay-audit/assay/server/internal/project"
)

// AlertConfig is what NewAlert needs.
type AlertConfig struct {
	Store *postgres.Store
	Now   func() time.Time
	// Interval is how often it looks for what is new; 0 means one second.
	Interval time.Duration
	Logger   *slog.Logger
	Metrics  prometheus.Registerer // nil: none
}

// Alert makes alerts of detections and of the findings that say that a control
// failed, and notes which have run past their clocks. Any number of servers may
// run it: each step moves a cursor by comparing.
type Alert struct {
	cfg  AlertConfig
	open *prometheus.GaugeVec
	lag  prometheus.Gauge
	late *prometheus.GaugeVec
}

// Cursors of what makes alerts: AlertsPass is that of detections.
const (
	AlertsPass        = "alerts"
	alertFindingsPass = "alert-findings"
	alertsVersion     = 1
)

// detectionsAtOnce bounds the detections of one transaction.
const detectionsAtOnce = 500

// alertingChecks are the checks of which a finding is a failure of a control
// that somebody must see to at once.
var alertingChecks = []postgres.AlertingCheck{
	{Check: "agent.alive", Level: assay.High}, {Check: "av.realtime", Level: assay.High}, {Check: "fw.change", Level: assay.High},
	{Check: "log.chain", Level: assay.Critical}, {Check: "log.gap", Level: assay.High},
	{Check: "log.stop", Level: assay.High},
}

// NewAlert returns the job.
func NewAlert(cfg AlertConfig) *Alert {
	if cfg.Interval == 0 {
		cfg.Interval = time.Second
	}
	a := &Alert{
		cfg:  cfg,
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "assay_alerts_open", Help: "Alerts that are not closed, by level."}, []string{"level"}),
		late: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "assay_alerts_overdue", Help: "Alerts past a clock, by clock."}, []string{"clock"}),
		lag:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "assay_alert_backlog_positions", Help: "Ledger positions of which detections were not yet made alerts."}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(a.open, a.late, a.lag)
	}
	return a
}

// Run works until ctx ends. Errors are logged and the next turn tries again.
func (a *Alert) Run(ctx context.Context) error {
	ticker := time.NewTicker(a.cfg.Interval)
	defer ticker.Stop()
	for turn := 0; ; turn++ {
		err := a.Once(ctx)
		if err == nil && turn%15 == 0 {
			err = a.count(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, postgres.ErrCursorMoved):
			a.cfg.Logger.DebugContext(ctx, "another server makes alerts")
		case err != nil:
			a.cfg.Logger.ErrorContext(ctx, "making alerts failed, will retry", "error", assay.Cause(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Once makes alerts of all that is new.
func (a *Alert) Once(ctx context.Context) error {
	if err := a.findings(ctx); err != nil {
		return err
	}
	for more := true; more; {
		var err error
		if more, err = a.detections(ctx); err != nil {
			return err
		}
	}
	_, err := a.cfg.Store.NoteOverdue(ctx)
	return err
}

// detections takes one step; more says that there is another.
func (a *Alert) detections(ctx context.Context) (more bool, err error) {
	store := a.cfg.Store
	// What counts correlations is behind the lanes, and nothing is found any more
	// at positions that it has passed.
	until, err := store.LowestCursor(ctx, project.CorrelationsPass, 1)
	if err != nil {
		return false, err
	}
	cursor, err := store.Cursor(ctx, AlertsPass, 0, alertsVersion)
	if err != nil {
		return false, err
	}
	a.lag.Set(max(0, float64(until)-float64(cursor.Position)))
	if cursor.Position >= until {
		return false, nil // nothing is new, or what was found is being rebuilt
	}
	detections, err := store.DetectionsIn(ctx, cursor.Position, until, detectionsAtOnce)
	if err != nil {
		return false, err
	}
	to := until
	if len(detections) >= detectionsAtOnce {
		to = detections[len(detections)-1].Ref.Position + 1
	}
	return to < until, store.ConsumeDetections(ctx, cursor, to, detections)
}

func (a *Alert) findings(ctx context.Context) error {
	store := a.cfg.Store
	size, err := store.LedgerSize(ctx)
	if err != nil {
		return err
	}
	cursor, err := store.Cursor(ctx, alertFindingsPass, 0, alertsVersion)
	if err != nil || cursor.Position >= size {
		return err
	}
	return store.ConsumeFindings(ctx, cursor, size, alertingChecks)
}

// count sets the gauges.
func (a *Alert) count(ctx context.Context) error {
	n, err := a.cfg.Store.CountAlerts(ctx, &postgres.AlertQuery{At: a.cfg.Now()})
	if err != nil {
		return err
	}
	for level, count := range n.Levels {
		if level := assay.Level(level); level != assay.NoLevel {
			a.open.WithLabelValues(level.String()).Set(float64(count))
		}
	}
	a.late.WithLabelValues("acknowledge").Set(float64(n.OverdueAcknowledge))
	a.late.WithLabelValues("close").Set(float64(n.OverdueClose))
	return nil
}
