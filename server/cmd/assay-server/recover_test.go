package main

import "testing"

func TestNextOrigin(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		"assay/x": "assay/x/2", "assay/x/2": "assay/x/3", "assay/x/99": "assay/x/100", "assay/x/1": "assay/x/1/2", "assay/x/02": "assay/x/02/2",
		"7": "7/2", "assay/x/9999999999": "assay/x/9999999999/2",
	} {
		if got := nextOrigin(origin); got != want {
			t.Errorf("what follows %s is called %s, want %s", origin, got, want)
		}
	}
}
