// Package pg owns a private Postgres: a cluster in a folder of its own, reached
// through a unix socket only, for demonstrations, drills and tests. It never
// touches a cluster of the system's, never listens on a network and holds no
// knowledge of any schema.
package pg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Config says where a private Postgres lives and how it runs.
type Config struct {
	// Dir holds everything of this Postgres. It is made when absent; started
	// again on the same folder, the server goes on with the data in it.
	Dir string
	// Settings are server parameters, laid over the defaults of this package.
	// They hold for this start only.
	Settings map[string]string
	// Links are prefixes, such as 192.0.2.1/30, of links to network namespaces of
	// the caller's own: the server also listens on each one's address, for whoever
	// comes from within the prefix and knows the superuser's password, which is the
	// caller's to set. They are for drills that cut networks; nil: no network.
	Links []netip.Prefix
	// Logger is told of starts, recoveries and stops. Nil is silence.
	Logger *slog.Logger
}

// Server is one running private Postgres. Its methods may be called from any
// goroutine.
type Server struct {
	cfg    Config
	prog   programs
	run    runAs
	lock   *os.File // held for as long as this Server may run a postmaster
	socket socketDir

	mu   sync.Mutex // guards proc, and makes starts and stops exclude each other
	proc *process   // nil when stopped
}

// stopGrace is how long a fast shutdown may take before Stop becomes rude.
const stopGrace = 30 * time.Second

// Start runs Postgres on cfg.Dir and returns when it accepts connections. ctx
// bounds the start alone. The server ends with this process at the latest.
//
// ErrNotInstalled tells that the machine has no Postgres, ErrInUse that another
// process runs one on the same folder.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := validSettings(cfg.Settings); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("resolving folder %s: %w", cfg.Dir, err)
	}
	cfg.Dir = dir
	prog, err := findPrograms()
	if err != nil {
		return nil, err
	}
	run, err := chooseUser()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, prog: prog, run: run}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	if err := s.launch(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// DSN is the connection string of a database of this server, as its superuser.
func (s *Server) DSN(database string) string {
	return (&url.URL{
		Scheme: "postgres",
		User:   url.User(superuser),
		Path:   "/" + database,
		RawQuery: url.Values{
			"host":    {s.socket.path},
			"port":    {port},
			"sslmode": {"disable"},
		}.Encode(),
	}).String()
}

// LinkDSN is DSN over one of the links, for whoever has the password.
func (s *Server) LinkDSN(link netip.Prefix, database, password string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, password), Host: net.JoinHostPort(link.Addr().String(), port),
		Path: "/" + database, RawQuery: url.Values{"sslmode": {"disable"}}.Encode(),
	}).String()
}

// Programs is the folder of the programs of this Postgres.
func (s *Server) Programs() string { return filepath.Dir(s.prog.postgres) }

// LogFile is where the server writes its own log.
func (s *Server) LogFile() string { return filepath.Join(s.cfg.Dir, "postgres.log") }

// Stop ends the server as a fast shutdown does: sessions are cut, everything is
// written. When ctx ends first, or after half a minute, it is killed instead,
// which costs a recovery at the next start and no data. The folder stays.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.stopLocked(ctx), s.release())
}

// Kill ends the postmaster and all its processes at once with SIGKILL, as a
// power cut would, and returns when they are gone. Restart brings it back.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	err := s.proc.kill()
	s.proc = nil
	s.cfg.Logger.Info("postgres killed", "dir", s.cfg.Dir)
	return err
}

// Restart stops the server if it runs and starts it with the same settings, at
// the same DSN. It is an error after Stop.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return fmt.Errorf("restarting postgres in %s: it was stopped for good", s.cfg.Dir)
	}
	if err := s.stopLocked(ctx); err != nil {
		return err
	}
	return s.launchLocked(ctx)
}

func (s *Server) launch(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.launchLocked(ctx)
}

func (s *Server) launchLocked(ctx context.Context) error {
	start := time.Now()
	if err := s.clearStale(ctx); err != nil {
		return err
	}
	if err := s.writeAccess(); err != nil {
		return err
	}
	log, err := s.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	proc, err := startProcess(s.command(log))
	if err != nil {
		return fmt.Errorf("starting postgres in %s: %w", s.cfg.Dir, err)
	}
	if err := proc.awaitReady(ctx, s.pidFile()); err != nil {
		return errors.Join(fmt.Errorf("starting postgres in %s: %w%s", s.cfg.Dir, err, s.logTail()), proc.kill())
	}
	s.proc = proc
	s.cfg.Logger.Info("postgres started", "dir", s.cfg.Dir, "pid", proc.pid(), "took", time.Since(start))
	return nil
}

func (s *Server) stopLocked(ctx context.Context) error {
	if s.proc == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	err := s.proc.stop(ctx)
	s.proc = nil
	s.cfg.Logger.Info("postgres stopped", "dir", s.cfg.Dir)
	return err
}

// release lets go of what outlives the postmaster; it may be called again.
func (s *Server) release() error {
	err := s.socket.remove()
	if s.lock != nil {
		// Closing is not enough: a child that this process forks at this moment for
		// something else has the file too, until it has become its own program.
		err = errors.Join(err, syscall.Flock(int(s.lock.Fd()), syscall.LOCK_UN), s.lock.Close())
		s.lock = nil
	}
	return err
}
