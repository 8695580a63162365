package winevent

import "github.com/assay-audit/assay/proto/telemetry"

func allCases() []normaliseCase {
	var all []normaliseCase
	for _, cases := range [][]normaliseCase{logCases, defenderCases, firewallCases, mediaCases, identityCases, serviceCases, processCases, networkCases} {
		all = append(all, cases...)
	}
	return all
}

const (
	defenderProvider = "Microsoft-Windows-Windows Defender"
	subject          = "SubjectUserSid=S-1-5-21-1-2-3-500|SubjectUserName=alice|SubjectDomainName=CORP|SubjectLogonId=0x123550|"
	subjectBody      = `subject_name:"CORP\\alice" subject_sid:"S-1-5-21-1-2-3-500" `
)

var logCases = []normaliseCase{
	{provider: providerEventlog, eventID: 1102,
		fields: "#channel=Security|<LogFileCleared>|" + subject + "ClientProcessId=1234|ClientProcessStartKey=5",
		body:   `log_activity:{action:"cleared" log_name:"Security" ` + subjectBody + `logon_id:"0x123550" pid:1234}`},
	{provider: providerEventlog, eventID: 104,
		fields: `#channel=System|<LogFileCleared>|SubjectUserName=alice|SubjectDomainName=CORP|Channel=Application|BackupPath=C:\b.evtx`,
		body:   `log_activity:{action:"cleared" log_name:"Application" backup_path:"C:\\b.evtx" subject_name:"CORP\\alice"}`},
	{provider: providerEventlog, eventID: 1105,
		fields: `#channel=Security|<AutoBackup>|Channel=Security|BackupPath=C:\Windows\System32\Winevt\Logs\Archive-Security.evtx`,
		body:   `log_activity:{action:"rotated" log_name:"Security" backup_path:"C:\\Windows\\System32\\Winevt\\Logs\\Archive-Security.evtx"}`},
	{provider: providerEventlog, eventID: 1101, synthetic: true,
		fields: "#channel=Security|<AuditEventsDropped>|Reason=0",
		body:   `log_activity:{action:"events_dropped" log_name:"Security" reason:"0"}`},
	{provider: providerEventlog, eventID: 1108, synthetic: true,
		fields: "#channel=Security|<EventProcessingFailure>|ErrorCode=15005|EventID=4624|PublisherID=Microsoft-Windows-Security-Auditing",
		body: `log_activity:{action:"error" log_name:"Security" publisher:"Microsoft-Windows-Security-Auditing"
			lost_event_id:4624 error_code:"0x3a9d"}`},
	{provider: providerSecurity, eventID: 4719,
		fields: subject + "CategoryId=%%8274|SubcategoryId=%%12800|SubcategoryGuid={0CCE921D-69AE-11D9-BED3-505054503030}|AuditPolicyChanges=%%8448, %%8450",
		body: `audit_policy:{action:"changed" category_id:"%%8274" category:"Object Access"
			subcategory_guid:"{0cce921d-69ae-11d9-bed3-505054503030}" subcategory:"File System"
			changes:"success_removed" changes:"failure_removed" ` + subjectBody + `logon_id:"0x123550"}`},
	{provider: providerSecurity, eventID: 4912, synthetic: true,
		fields: subject + "TargetUserSid=S-1-5-21-1-2-3-1001|CategoryId=%%8276|SubcategoryGuid={0cce922b-69ae-11d9-bed3-505054503030}|AuditPolicyChanges=%%8455",
		body: `audit_policy:{action:"user_policy_changed" category_id:"%%8276" category:"Detailed Tracking"
			subcategory_guid:"{0cce922b-69ae-11d9-bed3-505054503030}" subcategory:"Process Creation"
			changes:"exclude_success_added" target_sid:"S-1-5-21-1-2-3-1001" ` + subjectBody + `logon_id:"0x123550"}`},
	{provider: providerSecurity, eventID: 4907,
		fields: subject + `ObjectServer=Security|ObjectType=File|ObjectName=\Device\HarddiskVolume2\a|HandleId=0x1|OldSd=S:|NewSd=S:AI|ProcessId=0x6b4|ProcessName=C:\b.exe`,
		body: `audit_policy:{action:"object_sacl_changed" object_type:"File" object_name:"C:\\a" old_sd:"S:" new_sd:"S:AI" ` +
			subjectBody + `logon_id:"0x123550" pid:1716 process_name:"C:\\b.exe"}`},
	{provider: providerSecurity, eventID: 4906, synthetic: true, fields: "CrashOnAuditFailValue=0",
		body: `audit_policy:{action:"crash_on_audit_fail" value:"0"}`},
	{provider: providerKernelGeneral, eventID: 12,
		fields: "MajorVersion=10|MinorVersion=0|BuildVersion=22631|QfeVersion=4317|ServiceVersion=0|BootMode=0|StartTime=2026-03-01T10:00:00.5000000Z",
		body:   `power:{action:"boot" at:"2026-03-01T10:00:00.5000000Z" os_version:"10.0.22631.4317"}`},
	{provider: providerKernelGeneral, eventID: 13, fields: "StopTime=2026-03-01T10:00:00.5000000Z",
		body: `power:{action:"shutdown" at:"2026-03-01T10:00:00.5000000Z"}`},
	{provider: providerKernelPower, eventID: 41,
		fields: "BugcheckCode=159|BugcheckParameter1=0x3|SleepInProgress=0|PowerButtonTimestamp=132000000000000000",
		body:   `power:{action:"unexpected_shutdown" reason:"power button" bugcheck_code:"0x9f"}`},
	{provider: "User32", eventID: 1074,
		fields: `#user=S-1-5-18|param1=C:\Windows\system32\shutdown.exe (HOST1)|param2=HOST1|param3=No title|param4=0x800000ff|param5=restart|param6=patches|param7=CORP\alice`,
		body: `power:{action:"shutdown_requested" process_name:"C:\\Windows\\system32\\shutdown.exe" reason:"No title"
			reason_code:"0x800000ff" shutdown_type:"restart" comment:"patches" user_name:"CORP\\alice" user_sid:"S-1-5-18"}`},
	{provider: "USER32", eventID: 1074,
		fields: "=wininit.exe (10.0.0.1)|=HOST1|=Planned|=0x84040002|=restart|=|=CORP\\alice|Binary=00",
		body: `power:{action:"shutdown_requested" process_name:"wininit.exe" reason:"Planned" reason_code:"0x84040002"
			shutdown_type:"restart" user_name:"CORP\\alice"}`},
	{provider: providerClassicLog, eventID: 6008,
		fields: "=9:59:13 AM|=4/6/2012|Binary=DC0704000500060009003B000D001D00DC070400050006000D003B000D001D00600900003C00",
		body:   `power:{action:"unexpected_shutdown" at:"2012-04-06T13:59:13.0290000Z"}`},
	{provider: providerClassicLog, eventID: 6008, fields: "=9:59:13 AM|=4/6/2012|Binary=DC07",
		body: `power:{action:"unexpected_shutdown" reason:"9:59:13 AM 4/6/2012"}`},
	{provider: providerClassicLog, eventID: 6009, fields: "=10.00.|=19045|=|=Multiprocessor Free|=0",
		body: `power:{action:"boot" os_version:"10.00.19045"}`},
	{provider: providerSecurity, eventID: 4616,
		fields: subject + `PreviousTime=2026-03-01T10:00:00.3437500Z|NewTime=2026-03-01T09:00:00.1400000Z|ProcessId=0x320|ProcessName=C:\a.exe`,
		body: `clock:{action:"set" previous_time:"2026-03-01T10:00:00.3437500Z" new_time:"2026-03-01T09:00:00.1400000Z"
			delta_ms:-3600203 pid:800 process_name:"C:\\a.exe" user_name:"CORP\\alice" user_sid:"S-1-5-21-1-2-3-500" logon_id:"0x123550"}`},
	{provider: providerKernelGeneral, eventID: 1,
		fields: `NewTime=2026-03-01T10:00:01.0000000Z|OldTime=2026-03-01T10:00:00.0000000Z|Reason=1|ProcessName=\Device\HarddiskVolume2\Windows\System32\svchost.exe|ProcessID=1200`,
		body: `clock:{action:"set" previous_time:"2026-03-01T10:00:00.0000000Z" new_time:"2026-03-01T10:00:01.0000000Z" delta_ms:1000
			reason:"system" pid:1200 process_name:"C:\\Windows\\System32\\svchost.exe"}`},
}

var defenderCases = []normaliseCase{
	{provider: defenderProvider, eventID: 1116,
		fields: `Product Name=Microsoft Defender Antivirus|Product Version=4.18|Detection ID={82C6A580-0C4C-48BD-A0AC-6D3DE58FDABB}|Threat ID=7|` +
			`Threat Name=HackTool:X|Severity ID=4|Severity Name=High|Category ID=34|Category Name=Tool|Source ID=3|Source Name=Real-Time Protection|` +
			`Process Name=C:\e.exe|Detection User=CORP\alice|Path=file:_C:\x.sys|Origin ID=1|Origin Name=Local machine|Execution Name=Suspended|` +
			`Action ID=9|Action Name=Not Applicable|Error Code=0x00000000|Error Description=Fine. |Remediation User=|` +
			`Security intelligence Version=AV: 1.2|Engine Version=AM: 1.1`,
		body: `malware:{action:"detected" product:"Microsoft Defender Antivirus" detection_id:"{82c6a580-0c4c-48bd-a0ac-6d3de58fdabb}"
			threat:"HackTool:X" threat_id:"7" severity:"High" category:"Tool" path:"file:_C:\\x.sys" taken_action:"Not Applicable"
			taken_action_id:9 error_code:"0x0" error_description:"Fine." process_name:"C:\\e.exe" detection_user:"CORP\\alice"
			origin:"Local machine" detection_source:"Real-Time Protection" execution_status:"Suspended" signature_version:"AV: 1.2"
			engine_version:"AM: 1.1"}`},
	{provider: defenderProvider, eventID: 1117,
		fields: `Product Name=Microsoft Defender Antivirus|Detection ID={82C6A580-0C4C-48BD-A0AC-6D3DE58FDABB}|Action ID=2|Action Name=Quarantine|Error Code=0x00000000|Remediation User=NT AUTHORITY\SYSTEM`,
		body: `malware:{action:"acted" product:"Microsoft Defender Antivirus" detection_id:"{82c6a580-0c4c-48bd-a0ac-6d3de58fdabb}"
			taken_action:"Quarantine" taken_action_id:2 error_code:"0x0" resolved:true remediation_user:"NT AUTHORITY\\SYSTEM"}`},
	{provider: defenderProvider, eventID: 1117, synthetic: true,
		fields: `Product Name=P|Detection ID={82C6A580-0C4C-48BD-A0AC-6D3DE58FDABB}|Action Name=Remove|Error Code=0x80508023`,
		body: `malware:{action:"acted" product:"P" detection_id:"{82c6a580-0c4c-48bd-a0ac-6d3de58fdabb}"
			taken_action:"Remove" error_code:"0x80508023" resolved:false}`},
	{provider: defenderProvider, eventID: 1151,
		fields: `Product Name=Microsoft Defender Antivirus|Platform version=4.18.2005.5|Unused=|Engine version=1.1.17100.2|NRI engine version=1|` +
			`AV security intelligence version=1.317.992.0|AS security intelligence version=1|RTP state=Disabled|OA state=Enabled|IOAV state=Enabled|` +
			`BM state=Enabled|Last AV security intelligence age=14|Last AS security intelligence age=15|Last quick scan age=27|` +
			`Last full scan age=4294967295|AV security intelligence creation time=2026-02-09T05:53:46Z|Last quick scan end time=5/26/2020 9:41:24 AM|` +
			`Last full scan end time=1/1/1601 12:00:00 AM|Product status=0x00080080`,
		body: `security_software:{action:"health_report" product:"Microsoft Defender Antivirus" product_version:"4.18.2005.5" state:"off"
			signature_version:"1.317.992.0" signature_created_at:"2026-02-09T05:53:46.0000000Z" signature_age_days:14
			engine_version:"1.1.17100.2" realtime_enabled:false on_access_enabled:true download_scan_enabled:true
			behavior_monitor_enabled:true quick_scan_age_days:27 full_scan_age_days:4294967295
			quick_scan_finished_at:"5/26/2020 9:41:24 AM"}`},
	{provider: defenderProvider, eventID: 1151, // state codes whose meaning is not known say nothing
		fields: `Product Name=%%827|RTP state=%%901|Last AV security intelligence age=1`,
		body:   `security_software:{action:"health_report" product:"Windows Defender" signature_age_days:1}`},
	{provider: defenderProvider, eventID: 2000, synthetic: true,
		fields: `Product Name=P|Product Version=4|Current security intelligence Version=1.2|Previous security intelligence Version=1.1|` +
			`Domain=NT AUTHORITY|User=SYSTEM|SID=S-1-5-18|security intelligence Type=AntiVirus|Update Type=Delta|Current Engine Version=9|Previous Engine Version=8`,
		body: `security_software:{action:"signatures_updated" product:"P" product_version:"4" signature_version:"1.2"
			previous_signature_version:"1.1" engine_version:"9" previous_engine_version:"8" update_type:"AntiVirus"
			user_name:"NT AUTHORITY\\SYSTEM" user_sid:"S-1-5-18"}`},
	{provider: "Microsoft Antimalware", eventID: 2001, synthetic: true,
		fields: `Product Name=P|New Signature Version=|Previous Signature Version=1.1|Update Source=Microsoft Update Server|Error Code=0x80072EE7|Error Description=No name`,
		body: `security_software:{action:"signatures_update_failed" product:"P" previous_signature_version:"1.1"
			update_source:"Microsoft Update Server" error_code:"0x80072ee7" error_description:"No name"}`},
	{provider: defenderProvider, eventID: 3002, synthetic: true,
		fields: `Product Name=P|Feature ID=4|Feature Name=On Access|Error Code=0x80004005|Reason=The filter skipped scanning`,
		body: `security_software:{action:"realtime_feature_failed" product:"P" state:"off" feature:"On Access" reason:"The filter skipped scanning"
			error_code:"0x80004005"}`},
	{provider: defenderProvider, eventID: 5001, synthetic: true, fields: "Product Name=P|Product Version=4",
		body: `security_software:{action:"realtime_off" product:"P" product_version:"4" state:"off"}`},
	{provider: defenderProvider, eventID: 5007, synthetic: true,
		fields: `Product Name=P|Old Value=|New Value=HKLM\SOFTWARE\Microsoft\Windows Defender\Exclusions\Paths\C:\x = 0x0`,
		body: `security_software:{action:"config_changed" product:"P"
			new_value:"HKLM\\SOFTWARE\\Microsoft\\Windows Defender\\Exclusions\\Paths\\C:\\x = 0x0"}`},
	{provider: defenderProvider, eventID: 2041, synthetic: true, body: `security_software:{action:"os_unsupported" product:"Windows Defender"}`},
	{provider: defenderProvider, eventID: 2042, synthetic: true, body: `security_software:{action:"os_unsupported" product:"Windows Defender" state:"off"}`},
	{provider: defenderProvider, eventID: 1121, synthetic: true,
		fields: `Product Name=P|ID=75668C1F-73B5-4CF0-BB93-3ECF5CB7CC84|User=CORP\alice|Path=C:\x.exe|Process Name=C:\w.exe`,
		body: `security_software:{action:"exploit_blocked" product:"P" feature:"attack surface reduction" path:"C:\\x.exe" process_name:"C:\\w.exe"
			rule_id:"75668C1F-73B5-4CF0-BB93-3ECF5CB7CC84" user_name:"CORP\\alice"}`},
	{provider: telemetry.SysmonProvider, eventID: 4, fields: "UtcTime=2026-03-01 10:00:00.000|State=Stopped|Version=15.15|SchemaVersion=4.90",
		body: `security_software:{action:"stopped" product:"Sysmon" product_version:"15.15" state:"off"}`},
	{provider: telemetry.SysmonProvider, eventID: 4, fields: "State=Started", body: `security_software:{action:"started" product:"Sysmon" state:"on"}`},
	{provider: telemetry.SysmonProvider, eventID: 16, fields: `Configuration=C:\s.xml|ConfigurationFileHash=SHA256=AB`,
		body: `security_software:{action:"config_changed" product:"Sysmon" path:"C:\\s.xml" hash:"SHA256=AB"}`},
}

var firewallCases = []normaliseCase{
	{provider: providerFirewall, eventID: 2003, synthetic: true,
		fields: `Profiles=4|SettingType=1|SettingValueSize=4|SettingValue=00000000|Origin=1|ModifyingUser=S-1-5-21-1-2-3-500|ModifyingApplication=C:\mmc.exe`,
		body: `firewall:{action:"profile_changed" profiles:"public" enabled:false setting:"enable_firewall" value:"00000000" policy_origin:"1"
			user_sid:"S-1-5-21-1-2-3-500" process_name:"C:\\mmc.exe"}`},
	{provider: providerFirewall, eventID: 2082, synthetic: true,
		fields: `Profiles=2147483647|SettingType=1|SettingValueSize=4|SettingValue=01000000|SettingValueDisplay=Yes|ModifyingUser=S-1-5-18`,
		body: `firewall:{action:"profile_changed" profiles:"domain" profiles:"private" profiles:"public" enabled:true
			setting:"enable_firewall" value:"Yes" user_sid:"S-1-5-18"}`},
	{provider: providerFirewall, eventID: 2082, synthetic: true, fields: `Profiles=1|SettingType=4|SettingValue=00000000`,
		body: `firewall:{action:"profile_changed" profiles:"domain" setting:"4" value:"00000000"}`},
	{provider: providerFirewall, eventID: 2004,
		fields: `RuleId={94e28d60-6722-4133-b7a0-0a6456b70829}|RuleName=R|Origin=1|ApplicationPath=C:\i.exe|ServiceName=|Direction=2|Protocol=6|LocalPorts=*|RemotePorts=443|Action=2|Profiles=3|LocalAddresses=*|RemoteAddresses=10.0.0.1|Active=1|ModifyingUser=S-1-5-18|ModifyingApplication=C:\w.exe`,
		body: `firewall:{action:"rule_added" profiles:"domain" profiles:"private" rule_id:"{94e28d60-6722-4133-b7a0-0a6456b70829}" rule_title:"R"
			rule_action:"block" rule_enabled:true direction:"out" protocol:6 local_ports:"*" remote_ports:"443" local_addresses:"*"
			remote_addresses:"10.0.0.1" application_path:"C:\\i.exe" policy_origin:"1" user_sid:"S-1-5-18" process_name:"C:\\w.exe"}`},
	{provider: providerSecurity, eventID: 4950, synthetic: true,
		fields: "ProfileChanged=Public|SettingType=Enable Windows Defender Firewall|SettingValue=No",
		body:   `firewall:{action:"profile_changed" profiles:"public" enabled:false setting:"Enable Windows Defender Firewall" value:"No"}`},
	{provider: providerSecurity, eventID: 4950, synthetic: true,
		fields: "ProfileChanged=Domain, Private|SettingType=Default Outbound Action|SettingValue=Block",
		body:   `firewall:{action:"profile_changed" profiles:"domain" profiles:"private" setting:"Default Outbound Action" value:"Block"}`},
	{provider: providerSecurity, eventID: 4946, fields: "ProfileChanged=All|RuleId={F7259D6F-D580-4DF1-8371-60520B42164D}|RuleName=R",
		body: `firewall:{action:"rule_added" profiles:"domain" profiles:"private" profiles:"public"
			rule_id:"{F7259D6F-D580-4DF1-8371-60520B42164D}" rule_title:"R"}`},
	{provider: providerSecurity, eventID: 4957, fields: "RuleId=X|RuleName=R|RuleAttr=Local Port",
		body: `firewall:{action:"rule_ignored" setting:"Local Port" rule_id:"X" rule_title:"R"}`},
	{provider: providerSecurity, eventID: 5025, synthetic: true, body: `firewall:{action:"service_stopped"}`},
	{provider: providerSecurity, eventID: 5031, fields: `Profiles=Domain|Application=C:\x.exe`,
		body: `firewall:{action:"app_blocked" profiles:"domain" application_path:"C:\\x.exe"}`},
}

var mediaCases = []normaliseCase{
	{provider: providerSecurity, eventID: 6416, synthetic: true,
		fields: subject + `DeviceId=USBSTOR\Disk&Ven_SanDisk&Prod_Ultra_Fit&Rev_1.00\4C530001230814&0|DeviceDescription=SanDisk Ultra Fit USB Device|` +
			"ClassId={4D36E967-E325-11CE-BFC1-08002BE10318}|ClassName=DiskDrive|VendorIds=\r\n\t\tUSBSTOR\\DiskSanDisk_Ultra_Fit\r\n\t\tUSBSTOR\\GenDisk\r\n\t\t\r\n\t\t|" +
			"CompatibleIds=\r\n\t\tUSBSTOR\\Disk\r\n\t\t|LocationInformation=-",
		body: `removable_media:{action:"MEDIA_INSERT" kind:"disk" bus:"USBSTOR"
			device_id:"USBSTOR\\Disk&Ven_SanDisk&Prod_Ultra_Fit&Rev_1.00\\4C530001230814&0" vendor:"SanDisk" product:"Ultra Fit" revision:"1.00"
			serial:"4C530001230814" description:"SanDisk Ultra Fit USB Device" class_name:"DiskDrive"
			class_guid:"{4d36e967-e325-11ce-bfc1-08002be10318}" hardware_ids:"USBSTOR\\DiskSanDisk_Ultra_Fit" hardware_ids:"USBSTOR\\GenDisk"
			compatible_ids:"USBSTOR\\Disk" uid:"CORP\\alice" user_sid:"S-1-5-21-1-2-3-500"}`},
	{provider: providerSecurity, eventID: 6416,
		fields: `DeviceId=SWD\PRINTENUM\{F98719DA-2EAC-4BAB-B347-A1C4BA29442C}|DeviceDescription=Printer|ClassId={1ed2bbf9-11f0-4084-b21f-ad83a8e6dcdc}|ClassName=PrintQueue`,
		body: `removable_media:{action:"MEDIA_RECOGNISED" kind:"other" bus:"SWD" device_id:"SWD\\PRINTENUM\\{F98719DA-2EAC-4BAB-B347-A1C4BA29442C}"
			description:"Printer" class_name:"PrintQueue" class_guid:"{1ed2bbf9-11f0-4084-b21f-ad83a8e6dcdc}"}`},
	{provider: providerSecurity, eventID: 6416, synthetic: true,
		fields: `DeviceId=SWD\WPDBUSENUM\_??_USBSTOR#Disk&Ven_A&Prod_B&Rev_1#S123&0#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}|ClassId={eec5ad98-8080-425f-922a-dabf3de3f69a}|ClassName=WPD`,
		body: `removable_media:{action:"MEDIA_INSERT" kind:"portable_device" bus:"WPDBUSENUM"
			device_id:"SWD\\WPDBUSENUM\\_??_USBSTOR#Disk&Ven_A&Prod_B&Rev_1#S123&0#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}"
			vendor:"A" product:"B" revision:"1" serial:"S123" class_name:"WPD" class_guid:"{eec5ad98-8080-425f-922a-dabf3de3f69a}"}`},
	{provider: providerUserPnp, eventID: 20001,
		fields: `<InstallDeviceID>|DriverName=disk.inf|DeviceInstanceID=USBSTOR\DISK&VEN_GENERIC&PROD_FLASH&REV_8.07\6&1C2D&0&A&0|SetupClass={4D36E967-E325-11CE-BFC1-08002BE10318}|InstallStatus=0x00000000|DriverDescription=Disk drive`,
		body: `removable_media:{action:"MEDIA_DRIVER_INSTALLED" kind:"disk" bus:"USBSTOR"
			device_id:"USBSTOR\\DISK&VEN_GENERIC&PROD_FLASH&REV_8.07\\6&1C2D&0&A&0" vendor:"GENERIC" product:"FLASH" revision:"8.07"
			description:"Disk drive" class_guid:"{4d36e967-e325-11ce-bfc1-08002be10318}" driver:"disk.inf" status:"0x0"}`},
	{provider: providerUserPnp, eventID: 20003,
		fields: `<AddServiceID>|ServiceName=USBSTOR|DriverFileName=\SystemRoot\system32\DRIVERS\USBSTOR.SYS|DeviceInstanceID=USB\VID_0781&PID_5581\4C530001|AddServiceStatus=0`,
		body: `removable_media:{action:"MEDIA_SERVICE_ADDED" kind:"usb" bus:"USB" device_id:"USB\\VID_0781&PID_5581\\4C530001" vendor:"VID_0781"
			product:"PID_5581" serial:"4C530001" driver:"\\SystemRoot\\system32\\DRIVERS\\USBSTOR.SYS" service:"USBSTOR" status:"0x0"}`},
	{provider: providerUMDF, eventID: 2003, synthetic: true,
		fields: `<UMDFHostDeviceArrivalBegin>|@lifetime={AA}|@instance=WPDBUSENUMROOT\UMB\2&37c186b&0&STORAGE#VOLUME#_??_USBSTOR#DISK&VEN_A&PROD_B&REV_1#S1&0#|InstanceId=|LifetimeId=`,
		body: `removable_media:{action:"MEDIA_INSERT" kind:"portable_device" bus:"WPDBUSENUM"
			device_id:"WPDBUSENUMROOT\\UMB\\2&37c186b&0&STORAGE#VOLUME#_??_USBSTOR#DISK&VEN_A&PROD_B&REV_1#S1&0#" vendor:"A" product:"B" revision:"1"
			serial:"S1" lifetime_id:"{AA}"}`},
	{provider: providerUMDF, eventID: 2100, synthetic: true,
		fields: `<UMDFHostDeviceRequest>|@major=27|@minor=23|InstanceId=USB\VID_1&PID_2\S|LifetimeId={AA}`,
		body: `removable_media:{action:"MEDIA_REMOVE" kind:"usb" bus:"USB" device_id:"USB\\VID_1&PID_2\\S" vendor:"VID_1" product:"PID_2" serial:"S"
			lifetime_id:"{AA}"}`},
	{provider: providerUMDF, eventID: 2100, synthetic: true, // a power request is no removal
		fields: `<UMDFHostDeviceRequest>|@major=22|@minor=2|InstanceId=X`,
		body:   `log_record:{level:0 task:0 opcode:0 keywords:"0x0" fields:"major=22\nminor=2\nInstanceId=X"}`},
	{provider: providerUMDF, eventID: 10100,
		fields: `<UMDFDriverManagerHostStart>|Status=0`,
		body:   `log_record:{level:0 task:0 opcode:0 keywords:"0x0" fields:"Status=0"}`},
	{provider: providerPartition, eventID: 1006, synthetic: true,
		fields: `DiskNumber=1|Capacity=15376318464|BusType=7|Manufacturer=SanDisk|Model=Ultra Fit|Revision=1.00|SerialNumber=4C53|Location=|ParentId=USB\VID_0781&PID_5581\4C530001|DiskId=D123D2E0-C7AE-CA57-9A75-E091CF1E55B6|UserRemovalPolicy=True`,
		body: `removable_media:{action:"MEDIA_INSERT" kind:"disk" bus:"USB" device_id:"USB\\VID_0781&PID_5581\\4C530001" vendor:"SanDisk"
			product:"Ultra Fit" revision:"1.00" serial:"4C53" volume:"{d123d2e0-c7ae-ca57-9a75-e091cf1e55b6}"
			parent_id:"USB\\VID_0781&PID_5581\\4C530001" capacity_bytes:15376318464}`},
	{provider: providerPartition, eventID: 1006, synthetic: true, fields: "Capacity=0|BusType=7|Model=Ultra Fit|Manufacturer=NULL",
		body: `removable_media:{action:"MEDIA_REMOVE" kind:"disk" bus:"USB" product:"Ultra Fit" capacity_bytes:0}`},
	{provider: providerPartition, eventID: 1006, synthetic: true, fields: "Capacity=600|BusType=11|Model=WDC|UserRemovalPolicy=False",
		body: `removable_media:{action:"MEDIA_RECOGNISED" kind:"disk" bus:"SATA" product:"WDC" capacity_bytes:600}`},
}
