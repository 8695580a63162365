// Package migrations owns the database schema: forward-only SQL files named
// NNNN_what.sql, each beginning with `-- +goose Up`. It never runs them; that
// is postgres.Migrate's.
package migrations

import "embed"

// FS holds every migration at its root, to be applied in order of number.
//
//go:embed *.sql
var FS embed.FS
