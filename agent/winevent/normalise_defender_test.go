package winevent

import "testing"

// BenchmarkDefender measures the health report, which is asked for the most labels.
func BenchmarkDefender(b *testing.B) {
	r := &Record{Provider: "Microsoft-Windows-Windows Defender", EventID: 1151}
	for _, name := range []string{
		"Product Name", "Platform version", "Engine version", "AV security intelligence version", "Last AV security intelligence age",
		"RTP state", "OA state", "IOAV state", "BM state", "Last quick scan age", "Last full scan age", "Product status", "Latest engine version",
		"NRI engine version", "NRI security intelligence version", "AS security intelligence version", "Last AS security intelligence age",
	} {
		r.Data = append(r.Data, Field{Name: name, Value: "1"})
	}
	var n Normaliser
	for b.Loop() {
		n.Normalise(r)
	}
}
