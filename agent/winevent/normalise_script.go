package winevent

import (
	"strings"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

const (
	providerPowerShell        = "Microsoft-Windows-PowerShell"
	providerPowerShellCore    = "PowerShellCore"
	providerClassicPowerShell = "PowerShell"
)

// scriptRows: script text that was run, and the engine's starts and ends.
func scriptRows() []row {
	var rows []row
	for _, provider := range []string{providerPowerShell, providerPowerShellCore} {
		rows = append(rows,
			row{provider, []uint32{4103}, scriptPipeline},
			row{provider, []uint32{4104}, scriptBlock},
			row{provider, []uint32{4105}, scriptBlockRun("block_started")},
			row{provider, []uint32{4106}, scriptBlockRun("block_ended")},
		)
	}
	return append(rows,
		row{providerClassicPowerShell, []uint32{400}, scriptEngine("engine_started")},
		row{providerClassicPowerShell, []uint32{403}, scriptEngine("engine_stopped")},
		row{providerClassicPowerShell, []uint32{600}, scriptEngine("provider_started")},
		row{providerClassicPowerShell, []uint32{800}, scriptEngine("pipeline")},
	)
}

func (m *mapper) script(action string) *telemetryv1.ScriptEvent {
	e := &telemetryv1.ScriptEvent{Action: action, UserSid: valid(m.record.UserSID)}
	if m.record.ProcessID != 0 {
		e.Pid = proto.Uint32(m.record.ProcessID)
	}
	m.event.Body = &telemetryv1.Event_Script{Script: e}
	return e
}

func scriptBlock(m *mapper) {
	const warning = 3
	e := m.script("script_block")
	e.ScriptBlockId = m.text("ScriptBlockId")
	e.Part, e.Parts = m.u32("MessageNumber"), m.u32("MessageTotal")
	e.ScriptText = m.text("ScriptBlockText")
	e.ScriptPath = m.path("Path")
	e.Suspicious = proto.Bool(m.record.Level == warning)
}

func scriptBlockRun(action string) mapping {
	return func(m *mapper) {
		e := m.script(action)
		e.ScriptBlockId, e.RunspaceId = m.text("ScriptBlockId"), m.text("RunspaceId")
	}
}

// scriptPipeline: ContextInfo is lines of "Host Name = ConsoleHost".
func scriptPipeline(m *mapper) {
	e := m.script("pipeline")
	e.Payload = m.text("Payload")
	describeScript(e, settings(m.text("ContextInfo")))
}

// scriptEngine: the classic log writes lines of "HostName=ConsoleHost" into one
// of its nameless values.
func scriptEngine(action string) mapping {
	return func(m *mapper) {
		e := m.script(action)
		var all strings.Builder
		for i := range m.record.Data {
			all.WriteString(m.at(i) + "\n")
		}
		describeScript(e, settings(all.String()))
		switch action {
		case "provider_started":
			if e.ProviderName == "" {
				e.ProviderName = m.at(0)
			}
		case "pipeline":
			if e.ScriptText == "" {
				e.ScriptText = m.at(0)
			}
			e.Payload = m.at(2)
		}
	}
}

// settings reads lines of "name = value" into lower-case names without spaces.
// The first of a name holds, so that what a script prints after them does not
// count.
func settings(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		name = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(name), " ", ""))
		if _, twice := found[name]; !twice {
			found[name] = strings.TrimSpace(value)
		}
	}
	return found
}

func describeScript(e *telemetryv1.ScriptEvent, s map[string]string) {
	e.HostName, e.HostVersion, e.HostApplication = s["hostname"], s["hostversion"], s["hostapplication"]
	e.EngineVersion, e.RunspaceId, e.PipelineId = s["engineversion"], s["runspaceid"], s["pipelineid"]
	e.CommandName, e.CommandType, e.UserName = s["commandname"], s["commandtype"], s["user"]
	e.ProviderName = s["providername"]
	e.ScriptPath = s["scriptname"]
	e.ScriptText = s["commandline"]
	if e.UserName == "" {
		e.UserName = s["userid"]
	}
	if n, ok := number(s["sequencenumber"]); ok && n <= 1<<32-1 {
		e.SequenceNumber = proto.Uint32(uint32(n))
	}
}
