package assess

import (
	"slices"
	"strings"
	"time"

	"github.com/assay-audit/assay/server/internal/assay"
	"github.com/assay-audit/assay/server/internal/evaluate"
)

// silentAfter is how long an enrolled host may say nothing, at the watermark.
const silentAfter = 15 * time.Minute

// RequirementStatus is a requirement rolled up over the snapshot's hosts.
type RequirementStatus struct {
	assay.Requirement
	State assay.State
	// Hosts counts hosts by their own state for the requirement.
	Hosts assay.StateCounts
	Grade assay.Grade
}

// FrameworkByID returns a framework, nil if there is none.
func (s *Snapshot) FrameworkByID(id string) *assay.Framework {
	for _, f := range s.Library.Frameworks() {
		if f.ID == id {
			return &f
		}
	}
	return nil
}

// hosted lists the verdicts of each host in the snapshot.
func (s *Snapshot) hosted() [][]assay.Verdict {
	list := make([][]assay.Verdict, len(s.Hosts))
	for i := range s.Hosts {
		list[i] = s.Verdicts[s.Hosts[i].ID]
	}
	return list
}

// Framework rolls every requirement of a framework up over the snapshot's
// hosts, in the standard's order.
func (s *Snapshot) Framework(id string) []RequirementStatus {
	f := s.FrameworkByID(id)
	if f == nil {
		return nil
	}
	hosts := s.hosted()
	list := make([]RequirementStatus, len(f.Requirements))
	for i := range f.Requirements {
		roll := evaluate.RequirementOver(&f.Requirements[i], hosts)
		list[i] = RequirementStatus{Requirement: f.Requirements[i], State: roll.State, Hosts: roll.Counts, Grade: roll.Grade}
	}
	return list
}

// Check counts the hosts by the state of one check.
func (s *Snapshot) Check(id string) assay.StateCounts {
	return evaluate.CheckOver(id, s.hosted()).Counts
}

// HostStates counts the states of one host's checks; checks nil means all.
func (s *Snapshot) HostStates(host assay.HostID, checks []string) assay.StateCounts {
	var counts assay.StateCounts
	for i := range s.Verdicts[host] {
		if v := &s.Verdicts[host][i]; checks == nil || slices.Contains(checks, v.Check) {
			counts.Add(v.State)
		}
	}
	return counts
}

// Only narrows the snapshot to one host; NotFound if it does not hold it.
func (s *Snapshot) Only(id assay.HostID) (*Snapshot, error) {
	for i := range s.Hosts {
		if s.Hosts[i].ID == id {
			narrow := *s
			narrow.Hosts = s.Hosts[i : i+1]
			return &narrow, nil
		}
	}
	return nil, assay.Errorf(assay.NotFound, "there is no host %s at that moment", id)
}

// HostNames maps ids to names.
func (s *Snapshot) HostNames() map[assay.HostID]string {
	names := make(map[assay.HostID]string, len(s.Hosts))
	for i := range s.Hosts {
		names[s.Hosts[i].ID] = s.Hosts[i].Name
	}
	return names
}

// Silent reports whether an enrolled host had not been heard of at the
// watermark. An imported host says nothing by nature.
func (s *Snapshot) Silent(h *assay.Host) bool {
	if h.Kind == assay.ImportedHost || !h.RetiredAt.IsZero() {
		return false
	}
	for i := range s.Verdicts[h.ID] {
		if v := &s.Verdicts[h.ID][i]; v.Check == "agent.alive" && v.State == assay.StateNotApplicable {
			return false // it only imports the logs of others
		}
	}
	judged := s.Watermark
	if s.Instant.Before(judged) {
		judged = s.Instant
	}
	return judged.Sub(s.Heard[h.ID]) > silentAfter
}

// AlsoKnownAs lists hosts that are likely the same machine: a short name and a
// fully qualified one that begins with it.
func (s *Snapshot) AlsoKnownAs(h *assay.Host) []assay.Host {
	var same []assay.Host
	short, _, qualified := strings.Cut(strings.ToLower(h.Name), ".")
	for i := range s.Hosts {
		other := &s.Hosts[i]
		otherShort, _, otherQualified := strings.Cut(strings.ToLower(other.Name), ".")
		if other.ID == h.ID || otherShort != short {
			continue
		}
		// Two different full names are two machines.
		if qualified && otherQualified && !strings.EqualFold(other.Name, h.Name) {
			continue
		}
		same = append(same, *other)
	}
	return same
}
