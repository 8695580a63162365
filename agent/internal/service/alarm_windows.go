package service

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/windows/svc/eventlog"
)

const (
	alarmSource = "Assay Agent"
	// alarmEvent is the id of a ledger fork in the Application log.
	alarmEvent = 900
)

// alarm writes what an administrator of this host must see even if the server
// hides it: to a file in the agent's folder and to the Application event log.
func alarm(dir string, at time.Time, text string) error {
	kept := keepAlarm(dir, at, text)
	// Registering needs rights that a service has; without them events are still
	// written, only less prettily shown. One that is there already is an error too.
	_ = eventlog.InstallAsEventCreate(alarmSource, eventlog.Error|eventlog.Warning|eventlog.Info)
	log, err := eventlog.Open(alarmSource)
	if err != nil {
		return errors.Join(kept, fmt.Errorf("opening the event log: %w", err))
	}
	return errors.Join(kept, log.Error(alarmEvent, text), log.Close())
}
