package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// alarmFile is in the agent's folder. It holds a line for each alarm; there are
// as many as times that a ledger contradicted itself, which ends deletion for good.
const alarmFile = "alarm.log"

// keepAlarm appends a line to the file of alarms and returns once it is on disk.
func keepAlarm(dir string, at time.Time, text string) (err error) {
	file, err := os.OpenFile(filepath.Join(dir, alarmFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keeping alarm: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := fmt.Fprintf(file, "%s %s\n", at.UTC().Format(time.RFC3339), strings.ReplaceAll(text, "\n", " ")); err != nil {
		return fmt.Errorf("keeping alarm: %w", err)
	}
	return file.Sync()
}
