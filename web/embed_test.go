package web

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestFilesAlwaysHasAnIndex(t *testing.T) {
	t.Parallel()
	files, built := Files()
	page, err := fs.ReadFile(files, "index.html")
	if err != nil {
		t.Fatalf("reading index.html (built=%t): %v", built, err)
	}
	if !strings.Contains(string(page), "<html") {
		t.Errorf("index.html (built=%t) is not a page: %q", built, page)
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	fallback := fstest.MapFS{"index.html": {Data: []byte("fallback")}}
	for name, test := range map[string]struct {
		bundle fstest.MapFS
		built  bool
		want   string
	}{
		"built":                {fstest.MapFS{"index.html": {Data: []byte("console")}}, true, "console"},
		"only the kept folder": {fstest.MapFS{".gitkeep": {}}, false, "fallback"},
		"index is a folder":    {fstest.MapFS{"index.html/x": {}}, false, "fallback"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, built := pick(test.bundle, fallback)
			page, err := fs.ReadFile(files, "index.html")
			if err != nil || built != test.built || string(page) != test.want {
				t.Errorf("got %q, built %t, error %v; want %q, built %t", page, built, err, test.want, test.built)
			}
		})
	}
}
