package cli

import (
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
)

type ledgerCmd struct {
	Show   ledgerShowCmd   `cmd:"" default:"withargs" help:"Show the ledger's size and newest checkpoint."`
	Verify ledgerVerifyCmd `cmd:"" help:"Verify every payload, header, chain, leaf, root and checkpoint."`

	Checkpoints ledgerCheckpointsCmd `cmd:"" help:"List the checkpoints that hosts, witnesses or a time-stamp vouch for."`
}

type ledgerShowCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run shows the ledger.
func (c *ledgerShowCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Ledger.GetLedger(e.ctx, connect.NewRequest(&consolev1.GetLedgerRequest{}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	m := res.Msg
	fmt.Fprintf(e.stdout, "%d leaves, checkpoint of %d signed %s\n\n%s", m.GetSize(), m.GetCheckpointSize(), when(m.GetCheckpointAt()), m.GetCheckpoint())
	showVouching(e, m)
	if v := m.GetLastVerification(); v != nil {
		fmt.Fprintf(e.stdout, "last verified %s up to %d: %s\n", when(v.GetFinishedAt()), v.GetSize(), outcomeOf(v))
	}
	return nil
}

func outcomeOf(v *consolev1.Verification) string {
	if v.GetGood() {
		return "good"
	}
	return fmt.Sprintf("%d problems", len(v.GetProblems()))
}

type ledgerVerifyCmd struct {
	FromStart bool `help:"Do not go on with a verification that was cut short, but verify everything."`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Help adds examples to --help.
func (ledgerVerifyCmd) Help() string {
	return `Everything that the server stores is held to the ledger: payloads, headers, commitments, chains, certificates, leaves, the
tree and its checkpoints, and the rows of findings, runs, transitions, decisions and deeds. Progress is told on
standard error. One that was cut short, here or on the server, is gone on with for a day.

Examples:
  assayctl ledger verify
  assayctl ledger verify --from-start --json

Exit codes: 0 good, 1 something is not what was recorded, 2 it could not be verified.`
}

const progressEvery = time.Second

// Run verifies the ledger; bad news is exit code 1.
func (c *ledgerVerifyCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	stream, err := client.Ledger.Verify(e.ctx, connect.NewRequest(&consolev1.VerifyRequest{FromStart: c.FromStart}))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // the report is read or its error told
	started := e.now()
	shown := started // a short walk says nothing on the way
	var report *consolev1.Verification
	begun := uint64(0)
	for stream.Receive() {
		m := stream.Msg()
		if now := e.now(); now.Sub(shown) >= progressEvery && m.GetSize() > 0 && m.GetReport() == nil {
			shown = now
			if begun == 0 {
				begun = m.GetChecked() // it may go on far from the start
			}
			fmt.Fprintf(e.stderr, "verified %d of %d leaves, %.0f %% (%s)\n", m.GetChecked(), m.GetSize(), 100*float64(m.GetChecked())/float64(m.GetSize()),
				remaining(now.Sub(started), m.GetChecked()-begun, m.GetSize()-begun))
		}
		if m.GetReport() != nil {
			report = m.GetReport()
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	if report == nil {
		return errors.New("the server ended without a report: try again")
	}
	if !report.GetGood() {
		e.code = ExitBad
	}
	if c.JSON {
		return printJSON(e.stdout, report)
	}
	if report.GetGood() {
		if n := report.GetAbsent(); n > 0 {
			fmt.Fprintf(e.stdout, "%d batches have no payload any more: it was erased or deleted, and a leaf says so\n", n)
		}
		_, err := fmt.Fprintf(e.stdout, "good: %d leaves, %d batches, %d events verified in %s\n", report.GetSize(), report.GetBatches(), report.GetEvents(),
			report.GetFinishedAt().AsTime().Sub(report.GetStartedAt().AsTime()).Round(time.Millisecond))
		return err
	}
	fmt.Fprintf(e.stdout, "BAD: %d problems in %d leaves\n", len(report.GetProblems()), report.GetSize())
	for _, p := range report.GetProblems() {
		fmt.Fprintln(e.stdout, "  "+plain(p))
	}
	return nil
}

func remaining(elapsed time.Duration, done, all uint64) string {
	if done == 0 {
		return "just begun"
	}
	left := time.Duration(float64(elapsed) / float64(done) * float64(all-done))
	return "about " + left.Round(time.Second).String() + " left"
}
