package kerneldump

import (
	"context"
	"errors"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/agent/internal/kernel/driver"
)

// Live prints the driver's records as they come until ctx is done or count are
// printed (0: no end). Records that were never acknowledged come again first. With
// ack, what was printed is acknowledged, and is then gone for whoever reads next. It
// closes port.
func Live(ctx context.Context, port driver.Port, count int, ack bool, p *Printer) error {
	d, err := driver.Describe(port)
	if err != nil {
		return errors.Join(err, port.Close())
	}
	closed := context.AfterFunc(ctx, func() { _ = port.Close() })
	defer closed()
	l := live{port: port, load: d.Load, count: count, ack: ack, printer: p}
	err = l.run(ctx)
	if ctx.Err() != nil {
		err = nil // Close made the read end
	}
	return errors.Join(err, port.Close())
}

type live struct {
	port           driver.Port
	load           uint64
	count, printed int
	ack, resumed   bool
	through        [kernel.Classes]uint64
	printer        *Printer
}

func (l *live) run(ctx context.Context) error {
	for l.count == 0 || l.printed < l.count {
		if err := l.submit(); err != nil {
			return err
		}
		b, err := l.port.Next()
		if errors.Is(err, driver.ErrCancelled) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		batch, err := kernel.DecodeBatch(b)
		if err != nil {
			return err
		}
		if err := l.print(&batch); err != nil {
			return err
		}
	}
	if !l.ack {
		return nil
	}
	// The last acknowledgement travels with a read that nobody waits for.
	return l.submit()
}

func (l *live) submit() error {
	err := l.port.Submit(kernel.ReadRequest(!l.resumed, l.load, l.through))
	l.resumed = true
	return err
}

func (l *live) print(batch *kernel.Batch) error {
	for i := range batch.Records {
		if l.count > 0 && l.printed == l.count {
			return nil
		}
		r := &batch.Records[i]
		if err := l.printer.Print(r); err != nil {
			return err
		}
		l.printed++
		if l.ack {
			l.through[r.Class] = max(l.through[r.Class], r.N)
		}
	}
	return nil
}
