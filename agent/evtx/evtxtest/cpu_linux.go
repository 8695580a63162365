package evtxtest

import (
	"syscall"
	"time"
)

// rusageThread asks for the calling thread's own use.
const rusageThread = 1

// CPUTime is the processor time that the calling thread has used: a bound on work
// that does not depend on what else the machine does. The caller must have locked
// its goroutine to the thread.
func CPUTime() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &use); err != nil {
		panic("evtxtest: reading the thread's time: " + err.Error()) // it has no other way to fail than a wrong call
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
