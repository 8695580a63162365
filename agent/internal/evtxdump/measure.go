package evtxdump

import (
	"context"
	"fmt"
	"os"

	"github.com/assay-audit/assay/agent/evtx"
)

// Volume is how much Read has read.
type Volume struct {
	Files   int
	Records int
	Bytes   int64 // of the files
	Damaged int   // files with damage
}

// Read decodes all records of event logs and throws them away: it is what a
// benchmark times, and a check of files without output. It stops at the first
// file that cannot be opened, and when ctx ends.
func Read(ctx context.Context, files []string) (Volume, error) {
	var v Volume
	for _, name := range files {
		if err := v.add(ctx, name); err != nil {
			return v, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	return v, nil
}

func (v *Volume) add(ctx context.Context, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	log, err := evtx.Open(file, info.Size(), evtx.Options{})
	if err != nil {
		return err
	}
	for range log.Records() {
		if v.Records++; v.Records%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	v.Files++
	v.Bytes += info.Size()
	if log.Damaged() {
		v.Damaged++
	}
	return nil
}
