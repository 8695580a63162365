package driver

import (
	"fmt"
	"strings"

	"github.com/assay-audit/assay/agent/internal/kernel"
	"github.com/assay-audit/assay/proto/telemetry"
)

// classSources are the driver's sources that a class's records come from, by their
// place in a description, and what the class then sees. What is recorded in part
// only (handles to some processes, images outside of the system's folder, the first
// request of a connection) is no capability.
var classSources = [kernel.Classes]struct {
	sources      []int
	capabilities []capability
}{
	kernel.ClassControl:  {[]int{6}, []capability{{telemetry.CapMediaInsert, kernel.KindVolumeArrived}}},
	kernel.ClassProcess:  {[]int{0}, []capability{{telemetry.CapProcessStart, kernel.KindProcessCreated}, {telemetry.CapProcessCommandLine, kernel.KindProcessCreated}, {telemetry.CapProcessStop, kernel.KindProcessExited}}},
	kernel.ClassImage:    {[]int{1}, []capability{{telemetry.CapDriverLoad, kernel.KindImageLoaded}}},
	kernel.ClassObject:   {[]int{2, 3}, nil},
	kernel.ClassRegistry: {[]int{4}, []capability{{telemetry.CapRegistryChange, kernel.KindKeySet}}},
	kernel.ClassFile:     {[]int{5}, []capability{{telemetry.CapFileChange, kernel.KindFileWritten}}},
	kernel.ClassNetwork:  {[]int{7}, []capability{{telemetry.CapNetworkConnect, kernel.KindFlowConnected}, {telemetry.CapNetworkListen, kernel.KindFlowListening}}},
	kernel.ClassPayload:  {[]int{8}, []capability{{telemetry.CapDNSQuery, kernel.KindPayloadCopied}, {telemetry.CapDNSAnswer, kernel.KindPayloadCopied}}},
}

// capability is seen while records of a kind are made.
type capability struct {
	name string
	kind kernel.Kind
}

// standing is how one class stands by the driver's own description.
type standing struct {
	running      bool
	reason       string
	capabilities []string
}

// standingOf judges a class. filters is the set that this agent put in force, nil
// for none. Under a set of somebody else's nobody knows what is left out.
func standingOf(class kernel.Class, d *kernel.Description, filters *kernel.FilterBlob) standing {
	if d.Passive {
		return standing{reason: "the driver is passive: " + d.WhyPassive()}
	}
	var s standing
	var failed []string
	for _, i := range classSources[class].sources {
		if status := d.Sources[i].Status; status != 0 {
			failed = append(failed, fmt.Sprintf("%s: %s", kernel.SourceName(i), kernel.StatusText(status)))
		} else {
			s.running = true
		}
	}
	s.reason = strings.Join(failed, "; ")
	if !s.running || d.FiltersGeneration != 0 && (filters == nil || filters.Generation != d.FiltersGeneration) {
		return s
	}
	for _, c := range classSources[class].capabilities {
		if filters == nil || d.FiltersGeneration == 0 || filters.Records(c.kind) && (class != kernel.ClassPayload || filters.Payload) {
			s.capabilities = append(s.capabilities, c.name)
		}
	}
	return s
}

// filterDigest names the filters in force.
func filterDigest(d *kernel.Description, filters *kernel.FilterBlob) string {
	switch {
	case d.FiltersGeneration == 0:
		return "built-in"
	case filters != nil && filters.Generation == d.FiltersGeneration:
		return filters.Digest
	}
	return fmt.Sprintf("generation %x, not this agent's", d.FiltersGeneration)
}
