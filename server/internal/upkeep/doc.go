// Package upkeep owns the periodic jobs of the server, one file per job. Each
// has a Run(ctx) that returns when ctx ends and a single step that tests call.
package upkeep
