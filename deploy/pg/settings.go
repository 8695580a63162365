package pg

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	superuser = "postgres"
	// port only names the socket's file: nothing listens on it.
	port = "5432"
)

// defaults are what a small durable server needs. Durability is on unless a
// caller turns it off by name.
func defaults() map[string]string {
	return map[string]string{
		"fsync":              "on",
		"full_page_writes":   "on",
		"synchronous_commit": "on",
		"shared_buffers":     "128MB",
		"max_connections":    "120",
		// Day partitions of wide tables are locked one by one.
		"max_locks_per_transaction": "1024",
		"max_wal_size":              "1GB",
		// Segments of the log are used again rather than removed and made anew: each
		// that is made keeps every commit waiting for as long as 16 MB take to write.
		"min_wal_size":    "1GB",
		"timezone":        "UTC",
		"log_timezone":    "UTC",
		"log_line_prefix": "%m [%p] %d ",
	}
}

// Throwaway are the settings of a server whose data nobody keeps: it never
// waits for the disk, and takes the many sessions of a test run.
func Throwaway() map[string]string {
	return map[string]string{
		"fsync":              "off",
		"full_page_writes":   "off",
		"synchronous_commit": "off",
		"autovacuum":         "off",
		"max_connections":    "300",
		// 300 sessions' worth of the usual 1024 would be a lot of shared memory.
		"max_locks_per_transaction": "512",
	}
}

var settingName = regexp.MustCompile(`^[a-z_][a-z0-9_.]*$`)

func validSettings(settings map[string]string) error {
	for name := range settings {
		if !settingName.MatchString(name) {
			return fmt.Errorf("reading settings: %q is not the name of a server parameter", name)
		}
	}
	return nil
}

// command is the postmaster's command line. What keeps it private cannot be
// overridden: no network but its links, its socket only.
func (s *Server) command(log *os.File) *exec.Cmd {
	settings := defaults()
	maps.Copy(settings, s.cfg.Settings)
	settings["listen_addresses"] = s.listenAddresses()
	settings["hba_file"] = s.accessFile()
	settings["port"] = port
	settings["unix_socket_directories"] = s.socket.path
	settings["unix_socket_permissions"] = "0700"

	args := []string{"-D", s.dataDir()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	cmd := exec.Command(s.prog.postgres, args...)
	cmd.Dir = s.cfg.Dir
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = s.run.attributes()
	return cmd
}

// environment is what Postgres' programs get: nothing of the caller's, whose
// PG variables or locale would change what they do.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func (s *Server) listenAddresses() string {
	addresses := make([]string, len(s.cfg.Links))
	for i, link := range s.cfg.Links {
		addresses[i] = link.Addr().String()
	}
	return strings.Join(addresses, ",")
}

func (s *Server) accessFile() string { return filepath.Join(s.cfg.Dir, "pg_hba.conf") }

// writeAccess says who may connect: the socket's owner, also for base backups, and
// over each link whoever has the password.
func (s *Server) writeAccess() error {
	text := "local all all trust\nlocal replication all trust\n"
	for _, link := range s.cfg.Links {
		text += fmt.Sprintf("host all all %s scram-sha-256\n", link.Masked())
	}
	if err := os.WriteFile(s.accessFile(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing who may connect to postgres: %w", err)
	}
	return s.run.own(s.accessFile())
}

func (s *Server) dataDir() string { return filepath.Join(s.cfg.Dir, "data") }
func (s *Server) pidFile() string { return filepath.Join(s.dataDir(), "postmaster.pid") }
