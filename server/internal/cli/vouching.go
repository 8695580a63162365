package cli

import (
	"fmt"
	"strings"

	"connectrpc.com/connect"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/evidence"
)

// showVouching prints who stands behind the ledger, and that nobody outside does.
func showVouching(e *env, m *consolev1.GetLedgerResponse) {
	fmt.Fprintf(e.stdout, "\ncosigned within the last hour by %d of %d hosts", m.GetCosignedHosts(), m.GetHosts())
	if m.GetCosignedSize() > 0 {
		fmt.Fprintf(e.stdout, ", by half of those up to %d leaves or more", m.GetCosignedSize())
	}
	fmt.Fprintln(e.stdout)
	if !m.GetWitnessed() {
		fmt.Fprintln(e.stdout, "unwitnessed: no outside witness has cosigned it")
	}
	for _, w := range m.GetWitnesses() {
		switch {
		case w.GetSize() == 0:
			fmt.Fprintf(e.stdout, "witness %s has cosigned nothing yet\n", plain(w.GetName()))
		case !w.GetConfigured():
			fmt.Fprintf(e.stdout, "witness %s cosigned %d leaves %s; the server is no longer told to believe it\n", plain(w.GetName()), w.GetSize(), when(w.GetSignedAt()))
		default:
			fmt.Fprintf(e.stdout, "witness %s cosigned %d leaves %s\n", plain(w.GetName()), w.GetSize(), when(w.GetSignedAt()))
		}
	}
	if stamps := m.GetTimeStamps(); len(stamps) > 0 {
		fmt.Fprintf(e.stdout, "time-stamp of %d leaves: %s by %s\n", stamps[0].GetSize(), when(stamps[0].GetStampedAt()), plain(stamps[0].GetAuthority()))
	}
	for _, key := range m.GetKeys() {
		fmt.Fprintf(e.stdout, "key from position %d on: %s\n", key.GetPosition(), plain(key.GetKey()))
		if s, err := evidence.ReadSuccession([]byte(key.GetSuccession())); err == nil {
			fmt.Fprintf(e.stdout, "  with it a ledger began that follows %s after an older backup was restored: of %d leaves %d were kept\n",
				plain(evidence.KeyName(s.Previous)), s.Held.Size, s.Kept.Size)
		}
	}
	showLost(e, m.GetLost())
}

func showLost(e *env, lost []*consolev1.LostRange) {
	for _, l := range lost {
		to := fmt.Sprintf("to %d", l.GetToNumber())
		if l.GetToNumber() == 0 {
			to = "on"
		}
		fmt.Fprintf(e.stdout, "lost: host %s, stream %s, epoch %d, batches from %d %s: acknowledged, and nobody has them\n",
			l.GetHostId(), l.GetStreamId(), l.GetEpoch(), l.GetFromNumber(), to)
	}
}

type ledgerCheckpointsCmd struct {
	Limit  uint32 `help:"How many, newest first." default:"20"`
	Before uint64 `help:"Only those of fewer leaves." placeholder:"SIZE"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run lists checkpoints.
func (c *ledgerCheckpointsCmd) Run(e *env) error {
	client, err := e.client()
	if err != nil {
		return err
	}
	res, err := client.Ledger.ListCheckpoints(e.ctx, connect.NewRequest(&consolev1.ListCheckpointsRequest{Before: c.Before, Limit: c.Limit}))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, res.Msg)
	}
	if len(res.Msg.GetCheckpoints()) == 0 {
		_, err := fmt.Fprintln(e.stdout, "none that anyone vouches for")
		return err
	}
	t := newTable(e.stdout, "LEAVES", "SIGNED", "HOSTS", "WITNESSES", "STAMPED")
	for _, p := range res.Msg.GetCheckpoints() {
		stamped := ""
		if p.GetStampedAt() != nil {
			stamped = when(p.GetStampedAt())
		}
		t.row(fmt.Sprint(p.GetSize()), when(p.GetSignedAt()), fmt.Sprint(p.GetHosts()), plain(strings.Join(p.GetWitnesses(), " ")), stamped)
	}
	return t.flush()
}
