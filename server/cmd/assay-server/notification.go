package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-audit/assay/server/internal/notify"
	"github.com/assay-audit/assay/server/internal/postgres"
)

// buildNotifier builds what tells others of alerts, and the queue it works from.
func (s *server) buildNotifier(registry prometheus.Registerer) error {
	cfg := s.cfg
	key, err := s.authority.SecretKey("notification-secret")
	if err != nil {
		return err
	}
	sealer, err := notify.NewSealer(key)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("reading this machine's name: %w", err)
	}
	s.notifier = notify.New(notify.Config{
		Store: cfg.db.Store, Sealer: sealer, Networks: notify.Networks{Only: cfg.NotifyNetwork}, Version: version, Host: host, Now: cfg.now, Logger: cfg.log, Metrics: registry,
		Console: strings.TrimSuffix(cmp.Or(cfg.ConsoleURL, "https://"+reachedBy(cfg.Host, s.console.Addr())), "/"),
	})
	s.queue, err = cfg.db.NewQueue(postgres.QueueConfig{
		Deliver: s.notifier.Deliver, Workers: notify.Workers, Timeout: s.notifier.JobTime(), RescueAfter: s.notifier.RescueAfter(), Log: cfg.log,
	})
	return err
}
