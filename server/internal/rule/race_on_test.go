//go:build race

package rule

// raceEnabled: under the race detector sync.Pool drops at random what package
// regexp keeps in it.
const raceEnabled = true
