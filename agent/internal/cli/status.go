package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/assay-audit/assay/agent/internal/enrol"
	"github.com/assay-audit/assay/agent/internal/service"
	"github.com/assay-audit/assay/agent/internal/spool"
	"github.com/assay-audit/assay/agent/internal/uplink"
	"github.com/assay-audit/assay/proto/evidence"
)

type statusCommand struct {
	state
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is the command's long help.
func (statusCommand) Help() string {
	return `May be asked while the agent runs; spool and acknowledgements are then up to some seconds old.

Examples:
  assay-agent status
  assay-agent status --dir ./state --json`
}

type statusReport struct {
	AgentID          string    `json:"agent_id"`
	HostID           string    `json:"host_id"`
	Server           string    `json:"server"`
	Rights           []string  `json:"rights"`
	CertificateUntil time.Time `json:"certificate_until"`
	RenewFrom        time.Time `json:"renew_from"`
	// Problem says what keeps the agent from working, "" for nothing.
	Problem    string         `json:"problem,omitempty"`
	Running    string         `json:"running,omitempty"` // who holds the directory
	Streams    []streamReport `json:"streams"`
	Checkpoint int64          `json:"checkpoint_size"`
	CheckedAt  time.Time      `json:"checkpoint_at,omitzero"`
	LedgerFork string         `json:"ledger_fork,omitempty"`
}

type streamReport struct {
	Kind      string    `json:"kind"`
	Stream    string    `json:"stream,omitempty"`
	Epoch     uint32    `json:"epoch"`
	Head      uint64    `json:"head"`
	Hash      string    `json:"hash"`
	Committed uint64    `json:"committed"`
	Unsent    uint64    `json:"unsent"`
	Safe      uint64    `json:"safe"`
	Covered   uint64    `json:"covered"`
	LastAck   time.Time `json:"last_ack,omitzero"`
	Bytes     int64     `json:"bytes"`
	Segments  int       `json:"segments"`
	Losses    int       `json:"losses"`
}

func (c *statusCommand) Run(e *env) error {
	report, err := c.gather(e)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	return report.print(e.stdout)
}

func (c *statusCommand) gather(e *env) (*statusReport, error) {
	identity, err := enrol.Load(c.Dir, e.now)
	if err != nil {
		return nil, err
	}
	info := identity.Info()
	r := &statusReport{
		AgentID: info.AgentID.String(), HostID: info.HostID.String(), Server: info.Server, Rights: info.Rights,
		CertificateUntil: info.NotAfter.UTC(), RenewFrom: identity.Due().UTC(),
	}
	if err := identity.Usable(); err != nil {
		r.Problem = err.Error()
	}
	link, err := uplink.ReadState(service.UplinkFile(c.Dir))
	if err != nil {
		return nil, err
	}
	r.Checkpoint, r.CheckedAt, r.LedgerFork = link.Size, link.At, link.Fork
	for _, kind := range []evidence.StreamKind{evidence.Control, evidence.Bulk, evidence.Import} {
		stats, err := spool.Inspect(spool.Disk{}, service.SpoolDir(c.Dir, kind), kind)
		if errors.Is(err, fs.ErrNotExist) {
			continue // never begun
		}
		if err != nil {
			return nil, err
		}
		r.Streams = append(r.Streams, newStreamReport(kind, &stats))
	}
	r.Running, err = spool.Holder(c.Dir)
	return r, err
}

func newStreamReport(kind evidence.StreamKind, s *spool.Stats) streamReport {
	r := streamReport{
		Kind: kind.String(), Head: s.Number, Hash: s.Hash.String(), Committed: s.Committed,
		Unsent: s.Unsent, Safe: s.Safe, Covered: s.Covered, LastAck: s.CommittedAt, Bytes: s.Bytes, Segments: s.Segments, Losses: s.Losses,
	}
	if s.Granted {
		r.Epoch = s.Epoch
		r.Stream = evidence.ID(s.Stream).String()
	}
	return r
}

func (r *statusReport) print(w io.Writer) error {
	running := r.Running
	if running == "" {
		running = "nothing"
	}
	_, _ = fmt.Fprintf(w, "agent        %s\nserver       %s\nrunning      %s\ncertificate  until %s, renewed from %s\n",
		r.AgentID, r.Server, running, r.CertificateUntil.Format(time.RFC3339), r.RenewFrom.Format(time.RFC3339))
	if r.Problem != "" {
		_, _ = fmt.Fprintf(w, "problem      %s\n", r.Problem)
	}
	if r.LedgerFork != "" {
		_, _ = fmt.Fprintf(w, "LEDGER FORK  %s\n", r.LedgerFork)
	}
	if r.Checkpoint > 0 {
		_, _ = fmt.Fprintf(w, "checkpoint   %d leaves, verified %s\n", r.Checkpoint, r.CheckedAt.UTC().Format(time.RFC3339))
	}
	_, err := fmt.Fprintf(w, "%-8s %5s %10s %10s %8s %10s %12s  %s\n", "stream", "epoch", "head", "committed", "unsent", "safe", "bytes", "last ack")
	for _, s := range r.Streams {
		last := "never"
		if !s.LastAck.IsZero() {
			last = s.LastAck.UTC().Format(time.RFC3339)
		}
		_, err = fmt.Fprintf(w, "%-8s %5d %10d %10d %8d %10d %12d  %s\n", s.Kind, s.Epoch, s.Head, s.Committed, s.Unsent, s.Safe, s.Bytes, last)
	}
	return err
}
