package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/agentapi"
	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/ca"
	"github.com/assay-audit/assay/server/internal/ledger"
	"github.com/assay-audit/assay/server/internal/postgres"
)

type recoverCmd struct {
	keysFolder
	database
	Host       []string      `help:"Names and addresses that agents reach this server by." default:"localhost,127.0.0.1" env:"ASSAY_HOST"`
	Agents     string        `help:"Address for agents." default:":8444" env:"ASSAY_AGENTS"`
	Wait       time.Duration `help:"How long to listen to what agents hold; it ends sooner when all hosts have been heard. 0: do not listen." default:"0s"`
	Checkpoint []string      `help:"File with a signed checkpoint that somebody else holds: an auditor, a witness. May be repeated." type:"existingfile" placeholder:"FILE"`
	Open       bool          `help:"Begin the successor ledger."`
	Kept       int64         `help:"How many leaves the backup had signed, where a server ran on it after the restore and signed more (the report says so)." placeholder:"SIZE"`
	Origin     string        `help:"Name of the successor ledger (default: the ledger's name with the next number behind it)." placeholder:"NAME"`
	JSON       bool          `name:"json" help:"Print JSON."`
}

// Help is the command's long help.
func (recoverCmd) Help() string {
	return `For a database that was restored from an older backup, with the same keys. Stop all servers first.

Agents, witnesses and auditors may hold checkpoints that are newer than the backup: of leaves that are gone. To sign other
leaves in their place would be a forgery, so the ledger ends there and another follows it: its first leaf, which both keys
sign, says how many leaves anyone held and how many were kept. Agents follow it by that word and send again what they still
keep; what they had deleted already is recorded as lost.

Without --open it only tells what is held. It listens at the address of agents for --wait; each that connects says what it
holds and is asked to come back later. What was heard stays in the database, so that it can be done in parts.

Examples:
  assay-server recover --keys /etc/assay/keys --database $URL --host assay.example --wait 15m
  assay-server recover --keys /etc/assay/keys --database $URL --checkpoint auditor.txt
  assay-server recover --keys /etc/assay/keys --database $URL --open`
}

// Run tells what is held of the ledger, and begins its successor if asked to.
func (c *recoverCmd) Run(e *env) error {
	authority, err := ca.Load(c.Keys, e.now)
	if err != nil {
		return err
	}
	db, err := c.database.open(e)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.CheckSchema(e.ctx); err != nil {
		return err
	}
	if err := refuseAtWork(e.ctx, db.Store); err != nil {
		return err
	}
	r := &recovery{cmd: c, env: e, store: db.Store, authority: authority, held: ledger.Held{Store: db.Store, Keys: authority}}
	if done, err := r.finish(); done || err != nil {
		return err
	}
	if err := r.recordKey(); err != nil {
		return err
	}
	for _, file := range c.Checkpoint {
		if err := r.readFile(file); err != nil {
			return err
		}
	}
	if c.Wait > 0 {
		if err := r.listen(); err != nil {
			return err
		}
	}
	found, err := r.find()
	if err != nil {
		return err
	}
	if c.Open {
		return r.open(found)
	}
	return r.report(found)
}

// refuseAtWork keeps servers and a recovery apart.
func refuseAtWork(ctx context.Context, store *postgres.Store) error {
	servers, err := store.ServersAtWork(ctx)
	if err == nil && len(servers) > 0 {
		err = fmt.Errorf("servers are at work on this database: %s. Stop them; ten seconds later they count as stopped", strings.Join(servers, ", "))
	}
	return err
}

// recovery is one run of the command.
type recovery struct {
	cmd       *recoverCmd
	env       *env
	store     *postgres.Store
	authority *ca.Authority
	held      ledger.Held

	mu      sync.Mutex
	shown   map[assay.AgentID]shownBy // under mu
	largest int64                     // under mu: of what is missing
}

// shownBy is what is known of an agent that was heard.
type shownBy struct{ missing, unknown bool }

// finish ends a recovery that was cut short when the ledger had its successor
// already and the folder of the keys had not.
func (r *recovery) finish() (done bool, err error) {
	next, err := r.authority.UnfinishedLedgerKey()
	if err != nil || next == "" {
		return false, err
	}
	keys, err := r.store.LedgerKeys(r.env.ctx)
	if err != nil || len(keys) == 0 {
		return false, err
	}
	newest := keys[len(keys)-1]
	if newest.Key != next || newest.Action != evidence.KeySucceeded {
		return false, nil
	}
	return true, r.take(newest.Position, newest.Succession)
}

// recordKey puts the ledger's key on record where the backup is from before that,
// as when the key was rotated since.
func (r *recovery) recordKey() error {
	keys, err := r.store.LedgerKeys(r.env.ctx)
	if err != nil {
		return err
	}
	ours := r.authority.LedgerKey()
	if len(keys) > 0 && keys[len(keys)-1].Key != ours {
		newest := keys[len(keys)-1].Key
		record, ok, err := r.authority.RotationFrom(newest)
		if err != nil {
			return err
		}
		if ok {
			return r.store.RotateLedgerKey(r.env.ctx, record, newest, operator)
		}
	}
	return r.store.EnsureLedgerKey(r.env.ctx, ours)
}

// readFile takes a checkpoint that somebody holds.
func (r *recovery) readFile(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading a checkpoint: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	signed, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return fmt.Errorf("reading a checkpoint: %w", err)
	}
	standing, err := r.examine(r.env.ctx, signed, "file "+file, assay.AgentID{})
	if err == nil && standing == ledger.Foreign {
		err = fmt.Errorf("%s is no checkpoint that a key of this ledger signed", file)
	}
	return err
}

// examine keeps a checkpoint that the ledger does not have.
func (r *recovery) examine(ctx context.Context, signed []byte, holder string, agent assay.AgentID) (ledger.Standing, error) {
	c, standing, err := r.held.Examine(ctx, signed)
	if err != nil || standing != ledger.Missing {
		return standing, err
	}
	r.mu.Lock()
	r.largest = max(r.largest, c.Size)
	r.mu.Unlock()
	_, err = r.store.KeepHeld(ctx, &postgres.HeldCheckpoint{Tree: postgres.Tree{Size: c.Size, Root: c.Root}, Note: signed, Holder: holder, Agent: agent})
	return standing, err
}

// maxShown bounds the agents that are remembered.
const maxShown = 1 << 20

// listen hears what agents hold until all hosts were heard or the time is up.
func (r *recovery) listen() error {
	hosts, err := r.store.Speaking(r.env.ctx)
	if err != nil {
		return err
	}
	certificate, err := r.authority.NewServer(r.cmd.Host)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", r.cmd.Agents)
	if err != nil {
		return fmt.Errorf("listening for agents: %w (choose another address with --agents)", err)
	}
	fmt.Fprintf(r.env.stderr, "listening for agents of %d hosts at %s for %s\n", hosts, listener.Addr(), r.cmd.Wait)
	r.shown = map[assay.AgentID]shownBy{}
	ctx, stop := context.WithTimeout(r.env.ctx, r.cmd.Wait)
	defer stop()
	group, running := errgroup.WithContext(ctx)
	collector := agentapi.NewCollector(agentapi.CollectorConfig{Certificate: certificate, Log: r.env.log, Shown: func(ctx context.Context, s agentapi.Showing) error {
		err := r.hear(ctx, s)
		if n, _, _ := r.heard(); n >= hosts {
			stop()
		}
		return err
	}})
	group.Go(func() error { return collector.Run(running, listener) })
	group.Go(func() error {
		r.tell(running, hosts)
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return r.env.ctx.Err()
}

func (r *recovery) hear(ctx context.Context, s agentapi.Showing) error {
	standing, err := r.examine(ctx, s.Checkpoint, "agent "+s.Agent.String(), s.Agent)
	if err != nil {
		return err
	}
	unknown, err := r.store.UnknownAmong(ctx, []assay.AgentID{s.Agent})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.shown[s.Agent]; known || len(r.shown) < maxShown {
		r.shown[s.Agent] = shownBy{missing: standing == ledger.Missing, unknown: len(unknown) > 0}
	}
	return nil
}

func (r *recovery) heard() (agents, missing, largest int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, by := range r.shown {
		if !by.unknown {
			agents++
		}
		if by.missing {
			missing++
		}
	}
	return agents, missing, r.largest
}

// tell shows how far the listening is.
func (r *recovery) tell(ctx context.Context, hosts int64) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			agents, missing, largest := r.heard()
			fmt.Fprintf(r.env.stderr, "heard %d agents of %d hosts; %d hold what is missing here, up to %d leaves\n", agents, hosts, missing, largest)
		}
	}
}

// open begins the successor ledger.
func (r *recovery) open(f *recoveryFindings) error {
	if f.Held == nil {
		return errors.New("nobody was found to hold a checkpoint that the ledger does not have: there is nothing to recover. Start the servers")
	}
	kept, err := r.keptTree(f)
	if err != nil {
		return err
	}
	held := f.Held.tree
	if held.Size < f.Tree.Size {
		held = f.Tree.tree // what a server signed after the restore is held as well
	}
	origin := cmp.Or(r.cmd.Origin, nextOrigin(r.authority.Origin()))
	record, previous, err := r.authority.SuccessorKey(origin, evidence.TreeHead(held), evidence.TreeHead(kept))
	if err != nil {
		return err
	}
	position, err := r.store.SucceedLedger(r.env.ctx, &postgres.Succession{Record: record, Previous: previous, Held: held, By: operator})
	if err != nil {
		return err
	}
	return r.take(position, record.Succession)
}

// keptTree is the tree that the ledger had before anything was lost.
func (r *recovery) keptTree(f *recoveryFindings) (postgres.Tree, error) {
	kept := f.Tree.tree
	switch {
	case r.cmd.Kept > f.Tree.Size || r.cmd.Kept < 0:
		return kept, fmt.Errorf("--kept %d: the ledger has %d leaves signed", r.cmd.Kept, f.Tree.Size)
	case r.cmd.Kept > 0:
		kept.Size = r.cmd.Kept
	case f.Contradicted > 0:
		return kept, fmt.Errorf("somebody holds another tree of %d leaves than this ledger has: a server ran after the restore and signed more. Give the size that the backup had signed with --kept (its newest checkpoint: SELECT max(size) FROM checkpoint WHERE signed_at < the time of the restore)", f.Contradicted)
	}
	if f.Contradicted > 0 && kept.Size >= f.Contradicted {
		return kept, fmt.Errorf("--kept %d: somebody holds another tree of %d leaves already", kept.Size, f.Contradicted)
	}
	root, err := (&ledger.Prover{Store: r.store}).RootOf(r.env.ctx, kept.Size)
	kept.Root = root
	return kept, err
}

// take gives the successor's key its place and says what there is now.
func (r *recovery) take(position int64, succession string) error {
	if err := r.authority.TakeNextLedgerKey(false); err != nil {
		return err
	}
	key := r.authority.LedgerKey()
	if r.cmd.JSON {
		return json.NewEncoder(r.env.stdout).Encode(map[string]any{"position": position, "key": key, "succession": succession})
	}
	_, err := fmt.Fprintf(r.env.stdout, "The ledger %s begins with the leaf at position %d.\nLedger key (auditors verify with it): %s\nWhat both keys sign, for auditors and witnesses:\n\n%s\nStart the servers.\n", r.authority.Origin(), position, key, succession)
	return err
}

var numbered = regexp.MustCompile(`^(.+)/([1-9][0-9]{0,8})$`)

// nextOrigin is the name of the ledger that follows: assay/x, assay/x/2, assay/x/3.
func nextOrigin(origin string) string {
	if m := numbered.FindStringSubmatch(origin); m != nil {
		if n, err := strconv.Atoi(m[2]); err == nil && n > 1 {
			return m[1] + "/" + strconv.Itoa(n+1)
		}
	}
	return origin + "/2"
}
