package rule

import "testing"

// TestOneRuleForAllSources shows one rule three records of one deed: as Sysmon,
// the Windows audit log and the kernel driver tell it.
func TestOneRuleForAllSources(t *testing.T) {
	t.Parallel()
	s, problems := Compile([]Source{{Name: "test.yml", Data: []byte(`
title: Test
logsource: {product: windows, category: process_creation}
detection:
    selection:
        Image|endswith: '\whoami.exe'
        CommandLine|contains: ' /priv'
    condition: selection
`)}}, Config{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	const image, command = `C:\Windows\System32\whoami.exe`, `whoami /priv`
	for name, ev := range map[string]*FieldsEvent{
		"sysmon": {ProviderName: "Microsoft-Windows-Sysmon", ChannelName: "Microsoft-Windows-Sysmon/Operational", ID: 1,
			Data: []Field{{"Image", image}, {"CommandLine", command}}},
		"audit": {ProviderName: "Microsoft-Windows-Security-Auditing", ChannelName: "Security", ID: 4688,
			Data: []Field{{"NewProcessName", image}, {"CommandLine", command}}},
		"kernel": {ProviderName: "Assay-Kernel", ChannelName: "Assay-Kernel/Operational", ID: 1,
			Data: []Field{{"Image", image}, {"CommandLine", command}}},
	} {
		if got := s.Match(ev, new(Scratch)); len(got) != 1 {
			t.Errorf("%s: %d matches", name, len(got))
		}
	}
	other := &FieldsEvent{ProviderName: "Other", ChannelName: "Application", ID: 1, Data: []Field{{"Image", image}, {"CommandLine", command}}}
	if got := s.Match(other, new(Scratch)); len(got) != 0 {
		t.Errorf("an event of another log matches %d times", len(got))
	}
}

// TestChannelsShareTables: what two channels have in common is compiled once.
func TestChannelsShareTables(t *testing.T) {
	t.Parallel()
	s, problems := Compile([]Source{{Name: "test.yml", Data: []byte(`
title: Test
logsource: {product: windows, service: sysmon}
detection: {selection: {Image|endswith: '\whoami.exe'}, condition: selection}
`)}}, Config{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if a, b := s.channels["microsoft-windows-sysmon/operational"], s.channels["assay-kernel/operational"]; a == nil || a != b {
		t.Errorf("the channels have tables of their own: %p, %p", a, b)
	}
}
