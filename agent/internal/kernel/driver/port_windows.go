package driver

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/windows"

	"github.com/assay-audit/assay/agent/internal/kernel"
)

// Open opens the driver's device. One program at a time reads it: the driver takes
// the first that does for the agent, and tells of another that does while the device
// is open to that; its reads end with ErrTaken.
func Open() (Port, error) {
	name, err := windows.UTF16PtrFromString(kernel.Device)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", kernel.Device, err)
	}
	handle, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0)
	switch {
	case errors.Is(err, windows.ERROR_FILE_NOT_FOUND), errors.Is(err, windows.ERROR_PATH_NOT_FOUND):
		return nil, ErrAbsent
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return nil, fmt.Errorf("opening %s: %w: it opens to the system and the agent's service alone", kernel.Device, err)
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w", kernel.Device, err)
	}
	p := &port{handle: handle}
	for i := range p.reads {
		r := &p.reads[i]
		r.out = make([]byte, kernel.ReadSize)
		if r.overlapped.HEvent, err = windows.CreateEvent(nil, 1, 0, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("making an event for reads: %w", err), p.Close())
		}
	}
	if p.changed, err = windows.CreateEvent(nil, 0, 0, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("making an event for reads: %w", err), p.Close())
	}
	return p, nil
}

// read is one read that may be under way. The system writes to overlapped and out
// until it is over, so neither moves or is used again before.
type read struct {
	overlapped windows.Overlapped
	in, out    []byte
	pinned     runtime.Pinner
	err        error // of beginning it
	done       uint32
}

type port struct {
	handle  windows.Handle
	changed windows.Handle // a read was begun, or the port closes

	mu        sync.Mutex
	reads     [InFlight]read
	begun     uint64 // reads begun, and answered
	answered  uint64
	closed    bool
	closing   sync.Once
	closeErr  error
	receiving sync.WaitGroup
}

// Control implements Port.
func (p *port) Control(code uint32, in []byte, out int) ([]byte, error) {
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return nil, fmt.Errorf("making an event: %w", err)
	}
	defer func() { _ = windows.CloseHandle(event) }()
	overlapped, answer := &windows.Overlapped{HEvent: event}, make([]byte, out)
	var pinned runtime.Pinner
	pinned.Pin(overlapped)
	defer pinned.Unpin()
	inAt, outAt := first(in, &pinned), first(answer, &pinned)
	var got uint32
	err = windows.DeviceIoControl(p.handle, code, inAt, uint32(len(in)), outAt, uint32(out), &got, overlapped)
	if errors.Is(err, windows.ERROR_IO_PENDING) {
		err = windows.GetOverlappedResult(p.handle, overlapped, &got, true)
	}
	if err != nil {
		return nil, fmt.Errorf("request 0x%x: %w", code, err)
	}
	return answer[:got], nil
}

func first(b []byte, pinned *runtime.Pinner) *byte {
	if len(b) == 0 {
		return nil
	}
	pinned.Pin(&b[0])
	return &b[0]
}

// Submit implements Port.
func (p *port) Submit(request []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return windows.ERROR_INVALID_HANDLE
	}
	if p.begun-p.answered >= InFlight {
		return fmt.Errorf("%d reads are under way already", InFlight)
	}
	r := &p.reads[p.begun%InFlight]
	event := r.overlapped.HEvent
	r.overlapped, r.in, r.err, r.done = windows.Overlapped{HEvent: event}, append(r.in[:0], request...), nil, 0
	r.pinned.Pin(&r.overlapped)
	err := windows.DeviceIoControl(p.handle, kernel.ControlRead, first(r.in, &r.pinned), uint32(len(r.in)), first(r.out, &r.pinned), uint32(len(r.out)), &r.done, &r.overlapped)
	if err != nil && !errors.Is(err, windows.ERROR_IO_PENDING) {
		r.err = fmt.Errorf("beginning a read: %w", err)
		_ = windows.SetEvent(event) // it is over: Next says so in its turn
	}
	p.begun++
	return windows.SetEvent(p.changed)
}

// Next implements Port.
func (p *port) Next() ([]byte, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, windows.ERROR_INVALID_HANDLE
	}
	p.receiving.Add(1)
	p.mu.Unlock()
	defer p.receiving.Done()
	for {
		r, closed := p.oldest()
		switch {
		case r != nil:
			return p.finish(r)
		case closed:
			return nil, windows.ERROR_INVALID_HANDLE
		}
		if _, err := windows.WaitForSingleObject(p.changed, windows.INFINITE); err != nil {
			return nil, fmt.Errorf("waiting for reads: %w", err)
		}
	}
}

func (p *port) oldest() (r *read, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answered == p.begun {
		return nil, p.closed
	}
	return &p.reads[p.answered%InFlight], p.closed
}

// finish waits until a read is over. It is over only here, so its memory is used
// again only after.
func (p *port) finish(r *read) ([]byte, error) {
	var got uint32
	err := r.err
	if err == nil {
		err = windows.GetOverlappedResult(p.handle, &r.overlapped, &got, true)
	}
	r.pinned.Unpin()
	p.mu.Lock()
	p.answered++
	p.mu.Unlock()
	switch {
	case errors.Is(err, windows.ERROR_OPERATION_ABORTED):
		return nil, ErrCancelled
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return nil, ErrTaken
	case err != nil:
		return nil, err
	case int(got) > len(r.out):
		return nil, fmt.Errorf("the driver says %d bytes were read, %d had room", got, len(r.out))
	}
	return r.out[:got], nil
}

// Cancel implements Port.
func (p *port) Cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.answered == p.begun {
		return
	}
	// Not found means that it is over already.
	_ = windows.CancelIoEx(p.handle, &p.reads[p.answered%InFlight].overlapped)
}

// Close implements Port. Reads are ended before the handle is closed: the system's
// own clean-up would do so too, but then their memory could be gone before.
func (p *port) Close() error {
	p.closing.Do(func() { p.closeErr = p.close() })
	return p.closeErr
}

func (p *port) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	var errs []error
	ended := true
	if err := windows.CancelIoEx(p.handle, nil); err != nil && !errors.Is(err, windows.ERROR_NOT_FOUND) {
		// Then closing the handle ends them. Each has an event, by which it is waited
		// for, and not by the handle.
		ended, errs = false, append(errs, fmt.Errorf("ending reads: %w", err), windows.CloseHandle(p.handle))
	}
	if p.changed != 0 {
		_ = windows.SetEvent(p.changed)
	}
	p.receiving.Wait()
	for p.answered != p.begun { // nobody waits for these any more
		_, _ = p.finish(&p.reads[p.answered%InFlight])
	}
	if ended {
		errs = append(errs, windows.CloseHandle(p.handle))
	}
	for i := range p.reads {
		if p.reads[i].overlapped.HEvent != 0 {
			errs = append(errs, windows.CloseHandle(p.reads[i].overlapped.HEvent))
		}
	}
	if p.changed != 0 {
		errs = append(errs, windows.CloseHandle(p.changed))
	}
	return errors.Join(errs...)
}
