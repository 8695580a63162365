// Package web owns the console's built user interface: it embeds what the
// bundler wrote to dist. It never builds, templates or serves anything.
package web

import (
	"embed"
	"io/fs"
)

// dist is what the bundler wrote. A checkout in which it has not run holds only
// the committed .gitkeep there, so the Go side builds without Node.
//
//go:embed all:dist
var dist embed.FS

// placeholder is the one page shown instead of a console that was not built.
//
//go:embed placeholder
var placeholder embed.FS

// Files returns the user interface as a file system with index.html at its
// root. built is false when the bundler had not run before the Go build: the
// file system then holds one index.html that says how to build the console.
func Files() (files fs.FS, built bool) {
	return pick(sub(dist, "dist"), sub(placeholder, "placeholder"))
}

// pick chooses the bundler's tree when it has an index.html.
func pick(bundle, fallback fs.FS) (files fs.FS, built bool) {
	if info, err := fs.Stat(bundle, "index.html"); err == nil && info.Mode().IsRegular() {
		return bundle, true
	}
	return fallback, false
}

// sub is fs.Sub for a constant path, which cannot fail.
func sub(tree fs.FS, dir string) fs.FS {
	inner, err := fs.Sub(tree, dir)
	if err != nil {
		panic(err)
	}
	return inner
}
