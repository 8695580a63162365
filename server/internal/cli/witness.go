package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/mod/sumdb/note"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/proto/evidence"
	"github.com/assay-audit/assay/server/internal/witness"
)

type witnessCmd struct {
	Watch  witnessWatchCmd  `cmd:"" default:"withargs" help:"Look at the ledger of the server that you are signed in to; verify, remember, sign."`
	Keygen witnessKeygenCmd `cmd:"" help:"Make a witness's key."`
	Serve  witnessServeCmd  `cmd:"" help:"Be a witness that logs ask (C2SP tlog-witness)."`
}

// witnessFiles are what is the witness's own.
type witnessFiles struct {
	Key    string   `help:"File of the witness's key (assayctl witness keygen)." required:"" type:"path" placeholder:"FILE"`
	State  string   `help:"File that remembers what was signed. Keep it, and back it up: without it a fork would not be seen." required:"" type:"path" placeholder:"FILE"`
	LogKey []string `help:"Key of the ledger (assay-server init prints it), got on a way of its own. May be repeated." required:"" sep:"none" placeholder:"KEY"`
}

func (f *witnessFiles) open(e *env) (*witness.Witness, *witness.State, error) {
	signer, err := witness.ReadKey(f.Key)
	if err != nil {
		return nil, nil, err
	}
	state, err := witness.OpenState(f.State)
	if err != nil {
		return nil, nil, err
	}
	w, err := witness.New(signer, state, e.now, f.LogKey...)
	if err != nil {
		return nil, nil, errors.Join(err, state.Close())
	}
	return w, state, nil
}

type witnessKeygenCmd struct {
	Name string `arg:"" help:"Name of the witness, as a host name: witness.auditor.example."`
	Out  string `help:"File for the secret key; it must not exist." required:"" type:"path" placeholder:"FILE"`
}

// Run makes a key and prints what the server needs of it.
func (c *witnessKeygenCmd) Run(e *env) (err error) {
	secret, public, err := witness.NewKey(c.Name)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(c.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing the witness key: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := fmt.Fprintln(file, secret); err != nil {
		return fmt.Errorf("writing the witness key: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("writing the witness key: %w", err)
	}
	_, err = fmt.Fprintln(e.stdout, public)
	return err
}

type witnessWatchCmd struct {
	witnessFiles
	Every    time.Duration `help:"Look again and again, this far apart; without it once."`
	NoSubmit bool          `help:"Do not bring the signature to the server."`
	JSON     bool          `name:"json" help:"Print JSON, a line for each look."`

	AcceptSuccessor bool `help:"Go over to the ledger that follows, where the ledger says that it ended: its database was restored from an older backup."`
}

// Help adds examples to --help.
func (witnessWatchCmd) Help() string {
	return `Runs on the auditor's own machine. It fetches the newest checkpoint of the ledger, verifies by the ledger's key that it is
signed and by the ledger's tiles that it extends the checkpoint which was signed last, signs it by the witness's key and
brings the signature to the server, which shows it if it was started with --witness KEY.

A ledger that shows two histories is refused: both signed notes are kept in a file beside the state. They are proof.
A ledger whose database was restored from an older backup ends by its own word, and another follows it. That is told, with
what was lost, and looked at no further until --accept-successor, once; what was signed before stays in the state.

Examples:
  assayctl witness keygen witness.auditor.example --out witness.key
  assayctl witness --key witness.key --state witness.json --log-key assay/example+1f2e3d4c+AQ...
  assayctl witness --key witness.key --state witness.json --log-key assay/example+1f2e3d4c+AQ... --every 10m

Exit codes: 0 signed, 1 the ledger contradicts what was signed before, or has ended, 2 it could not be looked at.`
}

// Run watches.
func (c *witnessWatchCmd) Run(e *env) (err error) {
	if len(c.LogKey) != 1 {
		return errors.New("name the one ledger that is watched with --log-key")
	}
	key, err := note.NewVerifier(c.LogKey[0])
	if err != nil {
		return fmt.Errorf("--log-key: %w", err)
	}
	s, err := e.loadSession()
	if err != nil {
		return err
	}
	look, err := newLook(s, key.Name())
	if err != nil {
		return err
	}
	w, state, err := c.open(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if c.AcceptSuccessor {
		if err := look.accept(e, w); err != nil {
			return err
		}
	}
	for {
		err := c.once(e, w, look)
		var fork *witness.ForkError
		var ended *witness.SuccessionError
		switch {
		case errors.As(err, &fork), errors.As(err, &ended):
			e.code = ExitBad
			fmt.Fprintln(e.stderr, "assayctl:", err)
			return nil
		case err != nil && c.Every == 0:
			return err
		case err != nil && e.ctx.Err() == nil:
			fmt.Fprintln(e.stderr, "assayctl:", explain(err))
		}
		if c.Every == 0 {
			return nil
		}
		// Up to a tenth more, so that witnesses do not all come at once.
		timer := time.NewTimer(c.Every + rand.N(c.Every/10+1))
		select {
		case <-timer.C:
		case <-e.ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// look is how one server's ledger is read.
type look struct {
	origin string
	tiles  *witness.Fetcher
	client *Client
}

const (
	fetchWithin     = 30 * time.Second
	watchesStopWith = 5 * time.Second
)

func newLook(s session, origin string) (*look, error) {
	transport, err := newTransport(s.CA)
	if err != nil {
		return nil, err
	}
	tiles := &witness.Fetcher{Base: s.Server, Client: &http.Client{Transport: signing{bearer(s.Token), transport}, Timeout: fetchWithin}}
	client, err := NewClient(s.Server, s.CA, s.Token)
	return &look{origin, tiles, client}, err
}

// accept goes over to the ledger that follows the one that is watched now.
func (l *look) accept(e *env, w *witness.Witness) error {
	changes, err := l.keyChanges(e.ctx)
	if err != nil {
		return err
	}
	s, err := w.Accept(w.Current(l.origin), changes)
	if err == nil {
		fmt.Fprintf(e.stderr, "accepted: %s follows, with %d of %d leaves\n", plain(evidence.KeyName(s.Key)), s.Kept.Size, s.Held.Size)
	}
	return err
}

// keyChanges asks the server for the changes of the ledger's key; each is
// verified by the key before it.
func (l *look) keyChanges(ctx context.Context) ([]string, error) {
	res, err := l.client.Ledger.GetLedger(ctx, connect.NewRequest(&consolev1.GetLedgerRequest{}))
	if err != nil {
		return nil, err
	}
	var changes []string
	for _, key := range res.Msg.GetKeys() {
		changes = append(changes, cmp.Or(key.GetRotation(), key.GetSuccession()))
	}
	return changes, nil
}

func (c *witnessWatchCmd) once(e *env, w *witness.Witness, l *look) error {
	seen, err := w.Watch(e.ctx, l.tiles, l.origin, l.keyChanges)
	if err != nil {
		return err
	}
	brought, why := false, ""
	if !c.NoSubmit {
		_, err := l.client.Ledger.Cosign(e.ctx, connect.NewRequest(&consolev1.CosignRequest{Size: uint64(seen.Size), Lines: seen.Line}))
		if brought = err == nil; err != nil {
			why = explain(err)
		}
	}
	if c.JSON {
		return printValue(e.stdout, map[string]any{
			"origin": seen.Origin, "size": seen.Size, "root": seen.Root.String(), "extends": seen.Extends, "signature": seen.Line, "brought": brought,
		})
	}
	fmt.Fprintf(e.stdout, "%s signed %s at %d leaves, which extends the %d signed before\n", e.now().UTC().Format(time.RFC3339), plain(seen.Origin), seen.Size, seen.Extends)
	if why != "" {
		fmt.Fprintln(e.stderr, "assayctl: it is signed and remembered here, the server did not take the signature:", why)
	}
	return nil
}

type witnessServeCmd struct {
	witnessFiles
	Listen  string `help:"Address to listen on." default:"127.0.0.1:8555"`
	TLSCert string `name:"tls-cert" help:"PEM file with the certificate chain; without it HTTP in clear, as behind a proxy." type:"existingfile" placeholder:"FILE"`
	TLSKey  string `name:"tls-key" help:"PEM file with its key." type:"existingfile" placeholder:"FILE"`
}

// Help adds examples to --help.
func (witnessServeCmd) Help() string {
	return `Answers POST /add-checkpoint as C2SP tlog-witness says, for the ledgers whose keys are named. Any log of that kind may ask.

Examples:
  assayctl witness serve --key witness.key --state witness.json --log-key assay/example+1f2e3d4c+AQ... --listen 0.0.0.0:8555 \
    --tls-cert witness.crt --tls-key witness.pem

and on the server: assay-server serve --witness "https://witness.auditor.example:8555 $(cat witness.pub)"`
}

// Run serves until it is told to end.
func (c *witnessServeCmd) Run(e *env) (err error) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	w, state, err := c.open(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening: %w (choose another address with --listen)", err)
	}
	log := slog.New(slog.NewTextHandler(e.stderr, nil))
	server := &http.Server{Handler: w.Handler(log), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: fetchWithin, WriteTimeout: fetchWithin,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	log.InfoContext(e.ctx, "witnessing", "address", listener.Addr().String(), "key", w.Key())
	ended := make(chan error, 1)
	go func() {
		if c.TLSCert != "" {
			ended <- server.ServeTLS(listener, c.TLSCert, c.TLSKey)
			return
		}
		ended <- server.Serve(listener)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-e.ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), watchesStopWith)
	defer cancel()
	return server.Shutdown(patience)
}
