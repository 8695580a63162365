package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage reads what this process and a postmaster's processes have spent.
type usage struct {
	postmaster int
}

// clockTick is the unit of times in /proc: 100 a second on every Linux that Go
// runs on (USER_HZ).
const clockTick = 100

// spent is resources used so far, or between two moments.
type spent struct {
	at       time.Time
	took     time.Duration // between two moments
	process  float64       // CPU seconds of this process
	postgres float64       // CPU seconds of the postmaster and all its children, past ones too
	wal      int64         // bytes written to the log
	disk     int64         // bytes of the database
}

func (s spent) since(before spent) spent {
	return spent{took: s.at.Sub(before.at), process: s.process - before.process, postgres: s.postgres - before.postgres, wal: s.wal - before.wal, disk: s.disk - before.disk}
}

func (u *usage) read(ctx context.Context, db *database) (spent, error) {
	s := spent{at: time.Now()}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return s, fmt.Errorf("reading our CPU time: %w", err)
	}
	s.process = seconds(self.Utime) + seconds(self.Stime)
	var err error
	if s.postgres, err = u.cluster(); err != nil {
		return s, err
	}
	err = db.pool.QueryRow(ctx, `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, pg_database_size(current_database())`).Scan(&s.wal, &s.disk)
	if err != nil {
		return s, fmt.Errorf("reading sizes: %w", err)
	}
	return s, nil
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// cluster sums the postmaster, its living children and those it has waited for.
func (u *usage) cluster() (float64, error) {
	own, _, ok := stat(u.postmaster)
	if !ok {
		return 0, fmt.Errorf("reading CPU time of process %d: it is not there", u.postmaster)
	}
	total := own[0] + own[1] + own[2] + own[3]
	list, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, fmt.Errorf("listing processes: %w", err)
	}
	for _, at := range list {
		pid, err := strconv.Atoi(filepath.Base(at))
		if err != nil {
			continue
		}
		if times, parent, ok := stat(pid); ok && parent == u.postmaster {
			total += times[0] + times[1]
		}
	}
	return float64(total) / clockTick, nil
}

// stat returns utime, stime, cutime and cstime of a process, and its parent;
// not ok for one that has gone.
func stat(pid int) (times [4]int64, parent int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return times, 0, false
	}
	// The name in parentheses may hold anything.
	_, rest, found := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	parts := strings.Fields(rest)
	if !found || len(parts) < 15 {
		return times, 0, false
	}
	if parent, err = strconv.Atoi(parts[1]); err != nil {
		return times, 0, false
	}
	for i := range times {
		if times[i], err = strconv.ParseInt(parts[11+i], 10, 64); err != nil {
			return times, 0, false
		}
	}
	return times, parent, true
}
