package witness

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

const (
	// maxTile bounds a bundle of entries: 256 of at most 64 KiB.
	maxTile      = torchwood.TileWidth * (64<<10 + 2)
	fetchAtOnce  = 4
	maxFetchText = 300 // bytes of an error's answer
)

// Fetcher reads a log over HTTP (C2SP tlog-tiles). It implements
// torchwood.TileReader; it tries once, for whoever watches comes again.
type Fetcher struct {
	// Base is the log's prefix, without a slash at its end.
	Base   string
	Client *http.Client
}

// StatusError is an answer that was none.
type StatusError struct {
	Path, Status, Text string
	Code               int
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Path, e.Status, e.Text) }

// ReadEndpoint fetches a path.
func (f *Fetcher) ReadEndpoint(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.Base+"/"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", path, err)
	}
	res, err := f.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", path, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxFetchText)) // the status says enough
		return nil, &StatusError{Path: path, Status: res.Status, Text: oneLine(text), Code: res.StatusCode}
	}
	content, err := io.ReadAll(io.LimitReader(res.Body, maxTile+1))
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", path, err)
	}
	if len(content) > maxTile {
		return nil, fmt.Errorf("fetching %s: more than %d bytes", path, maxTile)
	}
	return content, nil
}

// ReadTiles fetches tiles, some at a time.
func (f *Fetcher) ReadTiles(ctx context.Context, tiles []tlog.Tile) ([][]byte, error) {
	content := make([][]byte, len(tiles))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchAtOnce)
	for i, tile := range tiles {
		group.Go(func() (err error) {
			content[i], err = f.ReadEndpoint(ctx, torchwood.TilePath(tile))
			return err
		})
	}
	return content, group.Wait()
}

// SaveTiles keeps nothing.
func (f *Fetcher) SaveTiles([]tlog.Tile, [][]byte) {}
