package driver

import (
	"errors"
	"testing"

	"golang.org/x/sys/windows"
)

// TestCloseWithoutCancel: where reads cannot be ended, a close says so, closes all the
// same, and whoever waits for an answer is not left waiting.
func TestCloseWithoutCancel(t *testing.T) {
	t.Parallel()
	changed, err := windows.CreateEvent(nil, 0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &port{handle: 0x7FFFFFF0, changed: changed} // of nothing that is open
	ended := make(chan error)
	go func() {
		_, err := p.Next()
		ended <- err
	}()
	if err := p.Close(); err == nil {
		t.Error("the close says nothing")
	}
	if err := <-ended; !errors.Is(err, windows.ERROR_INVALID_HANDLE) {
		t.Errorf("the wait ended with %v", err)
	}
	if err := windows.SetEvent(changed); err == nil {
		t.Error("its event is still open")
	}
}
