package framework

import (
	"testing"
	"testing/fstest"
)

// FuzzLoad: whatever a file holds, it is loaded or refused.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"checks/log.stop.yaml", "checks/av.realtime.yaml", "checks/media.known_device.yaml", "packs/hipaa.yaml"} {
		data, err := shipped.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name[0] == 'p', data)
	}
	f.Add(false, []byte("a: &a [*a]"))
	f.Add(false, []byte("id: log.x\nselectors: [{name: x, detection: {? {a: b} : c}}]"))
	f.Fuzz(func(t *testing.T, pack bool, data []byte) {
		name := "checks/log.stop.yaml"
		if pack {
			name = "packs/p.yaml"
		}
		library, err := LoadFS(fstest.MapFS{name: &fstest.MapFile{Data: data}})
		if (err == nil) != (library != nil) {
			t.Errorf("library %v, error %v", library, err)
		}
	})
}
