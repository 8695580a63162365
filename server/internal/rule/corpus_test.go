package rule

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpusFile opens a file of the folder that ASSAY_TESTDATA names, and skips
// the test where it is not set.
func corpusFile(tb testing.TB, name string) []byte {
	tb.Helper()
	root := os.Getenv("ASSAY_TESTDATA")
	if root == "" {
		tb.Skip("ASSAY_TESTDATA is not set: the public corpora are not at hand")
	}
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// untar hands each regular file of a tar.gz to keep.
func untar(tb testing.TB, archive []byte, keep func(name string, data []byte)) {
	tb.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		tb.Fatal(err)
	}
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			tb.Fatal(err)
		}
		keep(strings.TrimPrefix(h.Name, "./"), data)
	}
}

// publicRules are all rule files of the public rule set.
func publicRules(tb testing.TB) []Source {
	tb.Helper()
	var out []Source
	untar(tb, corpusFile(tb, "sigma/sigmahq-rules.tar.gz"), func(name string, data []byte) {
		if strings.HasPrefix(name, "rules") && strings.HasSuffix(name, ".yml") {
			out = append(out, Source{Name: name, Data: data})
		}
	})
	return out
}

// publicConfig gives the placeholders of the public rules a value.
func publicConfig() Config {
	return Config{Placeholders: map[string][]string{"known_cdcs": {"dc01"}}}
}

func compilePublic(tb testing.TB) *Set {
	tb.Helper()
	s, _ := Compile(publicRules(tb), publicConfig())
	return s
}
