package winevent

import telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"

// identify fills the identities of the processes in the body. Without a table
// of processes, or where it does not know one, the identity is unresolved; where
// the record names no process it stays empty.
func (m *mapper) identify() {
	switch body := m.event.Body.(type) {
	case *telemetryv1.Event_Process:
		b := body.Process
		b.ProcessUid, b.Identity = m.resolve(b.Pid)
		b.ParentProcessUid, _ = m.resolve(b.ParentPid)
		b.CreatorProcessUid, _ = m.resolve(b.CreatorPid)
	case *telemetryv1.Event_ProcessOpen:
		b := body.ProcessOpen
		b.SrcProcessUid, b.SrcIdentity = m.resolve(b.SrcPid)
		b.TargetProcessUid, _ = m.resolve(b.TargetPid)
	case *telemetryv1.Event_RemoteThread:
		b := body.RemoteThread
		b.SrcProcessUid, b.SrcIdentity = m.resolve(b.SrcPid)
		b.TargetProcessUid, _ = m.resolve(b.TargetPid)
	case *telemetryv1.Event_ImageLoad:
		body.ImageLoad.ProcessUid, body.ImageLoad.Identity = m.resolve(body.ImageLoad.Pid)
	case *telemetryv1.Event_File:
		body.File.ProcessUid, body.File.Identity = m.resolve(body.File.Pid)
	case *telemetryv1.Event_FileTimestomp:
		body.FileTimestomp.ProcessUid, body.FileTimestomp.Identity = m.resolve(body.FileTimestomp.Pid)
	case *telemetryv1.Event_Registry:
		body.Registry.ProcessUid, body.Registry.Identity = m.resolve(body.Registry.Pid)
	case *telemetryv1.Event_Pipe:
		body.Pipe.ProcessUid, body.Pipe.Identity = m.resolve(body.Pipe.Pid)
	case *telemetryv1.Event_Socket:
		body.Socket.ProcessUid, body.Socket.Identity = m.resolve(body.Socket.Pid)
	case *telemetryv1.Event_Dns:
		body.Dns.ProcessUid, body.Dns.Identity = m.resolve(body.Dns.Pid)
	case *telemetryv1.Event_DnsResponse:
		body.DnsResponse.ProcessUid, body.DnsResponse.Identity = m.resolve(body.DnsResponse.Pid)
	case *telemetryv1.Event_Http:
		body.Http.ProcessUid, body.Http.Identity = m.resolve(body.Http.Pid)
	}
}

func (m *mapper) resolve(pid *uint32) (uid, identity string) {
	if pid == nil {
		return "", ""
	}
	// A process of another host, or of another time, is in no table here.
	if table := m.normaliser.Processes; table != nil && m.event.Subject.GetKind() == telemetryv1.SubjectKind_SUBJECT_KIND_SELF {
		if uid, identity = table.Resolve(*pid, m.record.Time); uid != "" {
			return uid, identity
		}
	}
	return "", "unresolved"
}
