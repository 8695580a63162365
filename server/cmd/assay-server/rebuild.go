package main

import (
	"fmt"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/project"
)

// days rebuilds the event tables of some received days, or goes on with that.
func (c *projectRebuildCmd) days(e *env) (err error) {
	to := e.now().UTC().Truncate(24 * time.Hour)
	from, err := parseDay("--from", c.From, to)
	if err == nil && c.To != "" {
		if to, err = parseDay("--to", c.To, to); err == nil {
			to = to.AddDate(0, 0, 1)
		}
	}
	if err != nil {
		return err
	}
	rest, err := c.storage.open(e)
	if err != nil {
		return err
	}
	defer func() { err = rest.closeWith(err) }()
	db, err := rest.connect(e, c.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.CheckSchema(e.ctx); err != nil {
		return err
	}
	r, err := db.UnfinishedRebuild(e.ctx)
	switch {
	case assay.KindOf(err) == assay.NotFound:
		r, err = db.CreateRebuild(e.ctx, from, to, e.now().Add(c.Keep), operator)
	case err == nil && (!r.From.Equal(assay.Monday(from)) || !r.To.Equal(to)):
		return fmt.Errorf("the rebuild of %s to %s is not finished: go on with it first (--from %s --to %s)",
			r.From.Format(time.DateOnly), last(&r), r.From.Format(time.DateOnly), last(&r))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "rebuilding what was received from %s to %s\n", r.From.Format(time.DateOnly), last(&r))
	if next := r.To; !next.Equal(assay.Monday(next)) {
		fmt.Fprintln(e.stderr, "tables that are kept by the week are left as they are for the last, unfinished week")
	}
	err = project.Rebuild(e.ctx, project.RebuildConfig{Store: db.Store, EventsPerSecond: c.Rate, Progress: rebuildProgress(e)}, &r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "%d events from %s to %s\n", r.Events, r.From.Format(time.DateOnly), last(&r))
	return err
}

func last(r *assay.Rebuild) string { return r.To.AddDate(0, 0, -1).Format(time.DateOnly) }

func parseDay(flag, text string, or time.Time) (time.Time, error) {
	if text == "" {
		return or, fmt.Errorf("%s is missing: write a day, as in %s 2026-01-05", flag, flag)
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return or, fmt.Errorf("%s: %q is no day: write 2026-01-05", flag, text)
	}
	return day, nil
}

// rebuildProgress tells at most once a second how far it is.
func rebuildProgress(e *env) func(*assay.Rebuild) {
	var told time.Time
	return func(r *assay.Rebuild) {
		if now := e.now(); now.Sub(told) >= time.Second {
			told = now
			fmt.Fprintf(e.stderr, "week of %s: at position %d of %d, %d events so far\n", r.Week.Format(time.DateOnly), r.Position, r.End, r.Events)
		}
	}
}
