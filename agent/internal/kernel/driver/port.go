package driver

import (
	"errors"
	"fmt"

	"github.com/assay-audit/assay/agent/internal/kernel"
)

// Port is the open device of a driver.
type Port interface {
	// Control asks for something and waits for the answer of at most out bytes.
	Control(code uint32, in []byte, out int) ([]byte, error)
	// Submit begins a read, of which at most InFlight may be under way. Reads are
	// answered in the order in which they were begun.
	Submit(request []byte) error
	// Next waits for the answer to the oldest read. The bytes are the port's own
	// until InFlight further reads were begun. ErrCancelled: that read is over without an
	// answer. Any other error ends the port.
	Next() ([]byte, error)
	// Cancel ends the oldest read if it still waits. It may be answered all the same.
	Cancel()
	// Close ends all reads and makes Next return.
	Close() error
}

// InFlight is how many reads are kept under way: one is filled while another is
// taken up and a third waits.
const InFlight = 3

var (
	// ErrAbsent: there is no driver.
	ErrAbsent = errors.New("the driver is not loaded")
	// ErrCancelled: a read ended without an answer because it was asked to.
	ErrCancelled = errors.New("the read was cancelled")
	// ErrTaken is of a read while another program, the agent, has the device open.
	ErrTaken = errors.New("another program reads the driver")
	// ErrUnsupported: this system has no such driver.
	ErrUnsupported = errors.New("the driver is for Windows")
)

// Describe asks a driver for its self-description.
func Describe(port Port) (kernel.Description, error) {
	b, err := port.Control(kernel.ControlDescribe, nil, kernel.DescriptionSize)
	if err != nil {
		return kernel.Description{}, err
	}
	return kernel.DecodeDescription(b)
}

// AllowUnload lets the driver that is loaded now be stopped; until it is told, it
// refuses, and records that it was asked.
func AllowUnload(port Port) error {
	d, err := Describe(port)
	if err != nil {
		return err
	}
	if _, err := port.Control(kernel.ControlUnload, kernel.LoadRequest(d.Load), 0); err != nil {
		return fmt.Errorf("asking the driver to let itself be stopped: %w", err)
	}
	return nil
}
