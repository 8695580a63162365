package evtxdump

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/agent/evtx/evtxtest"
)

func TestRead(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	events := make([]evtxtest.Event, 300)
	for i := range events {
		events[i] = event(uint64(i + 1))
	}
	log := evtxtest.Log(evtxtest.Options{}, events...)
	good, cut := write("good.evtx", log), write("cut.evtx", log[:evtxtest.FileHeaderSize+evtxtest.ChunkSize])
	v, err := Read(t.Context(), []string{good, cut})
	if err != nil || v.Files != 2 || v.Records <= 300 || v.Bytes != int64(2*len(log))-int64(len(log)-evtxtest.FileHeaderSize-evtxtest.ChunkSize) || v.Damaged != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := Read(t.Context(), []string{good, write("none", []byte("x"))}); !errors.Is(err, evtx.ErrNotEVTX) {
		t.Error(err)
	}
	if _, err := Read(t.Context(), []string{filepath.Join(folder, "nothing")}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := Read(ctx, []string{good}); !errors.Is(err, context.Canceled) || v.Records != checkEvery {
		t.Errorf("%+v, %v", v, err)
	}
}
