//go:build unix

package service

import (
	"errors"
	"log/syslog"
	"time"
)

// alarm writes what an administrator of this host must see even if the server
// hides it: to a file in the agent's folder, and to the system's log where it
// has one.
func alarm(dir string, at time.Time, text string) error {
	kept := keepAlarm(dir, at, text)
	w, err := syslog.New(syslog.LOG_CRIT|syslog.LOG_DAEMON, "assay-agent")
	if err != nil {
		return kept // there is none, as in a container: the file is all there is
	}
	return errors.Join(kept, w.Crit(text), w.Close())
}
