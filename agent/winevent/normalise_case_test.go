package winevent

import "github.com/assay-audit/assay/proto/telemetry"

const (
	auditSuccess = "#keywords=0x8020000000000000|"
	auditFailure = "#keywords=0x8010000000000000|"
)

var identityCases = []normaliseCase{
	{provider: providerSecurity, eventID: 4624,
		fields: auditSuccess + "SubjectUserSid=S-1-0-0|SubjectUserName=-|SubjectDomainName=-|SubjectLogonId=0x0|TargetUserSid=S-1-5-21-1-2-3-500|TargetUserName=alice|" +
			"TargetDomainName=CORP|TargetLogonId=0x1375fbd|LogonType=3|LogonProcessName=Kerberos|AuthenticationPackageName=Kerberos|WorkstationName=-|" +
			"LogonGuid={B8C3A477-69DB-D96F-F0C0-889CCECB69EE}|LmPackageName=-|KeyLength=0|ProcessId=0x0|ProcessName=-|IpAddress=::ffff:10.0.0.2|IpPort=56661|" +
			"ImpersonationLevel=%%1833|RestrictedAdminMode=-|TargetLinkedLogonId=0x0|ElevatedToken=%%1842",
		body: `logon:{action:"logon" outcome:"success" user_name:"CORP\\alice" user_sid:"S-1-5-21-1-2-3-500" logon_id:"0x1375fbd"
			logon_guid:"{b8c3a477-69db-d96f-f0c0-889ccecb69ee}" logon_type:3 ip:"10.0.0.2" port:56661 authentication_package:"Kerberos" key_length:0
			logon_process:"Kerberos" elevated:true impersonation:"impersonation"}`},
	{provider: providerSecurity, eventID: 4625,
		fields: auditFailure + subject + "TargetUserSid=S-1-0-0|TargetUserName=bob|TargetDomainName=HOST1|Status=0xC000006D|FailureReason=%%2313|SubStatus=0xc000006a|LogonType=2|IpAddress=-|IpPort=-",
		body: `logon:{action:"logon_failed" outcome:"failure" user_name:"HOST1\\bob" logon_type:2 ` + subjectBody + `subject_logon_id:"0x123550"
			status:"0xc000006d" sub_status:"0xc000006a" failure_reason:"bad_password"}`},
	{provider: providerSecurity, eventID: 4672, fields: auditSuccess + subject + "PrivilegeList=SeSecurityPrivilege\r\n\t\t\tSeDebugPrivilege",
		body: `logon:{action:"special_privileges" outcome:"success" user_name:"CORP\\alice" user_sid:"S-1-5-21-1-2-3-500" logon_id:"0x123550" ` +
			subjectBody + `subject_logon_id:"0x123550" privileges:"SeSecurityPrivilege" privileges:"SeDebugPrivilege"}`},
	{provider: providerSecurity, eventID: 4776, fields: "PackageName=MICROSOFT_AUTHENTICATION_PACKAGE_V1_0|TargetUserName=x|Workstation=FS01|Status=0xc0000064",
		body: `logon:{action:"credentials_validated" outcome:"failure" user_name:"x" workstation:"FS01"
			authentication_package:"MICROSOFT_AUTHENTICATION_PACKAGE_V1_0" status:"0xc0000064" failure_reason:"bad_user"}`},
	{provider: providerSecurity, eventID: 4771, fields: auditFailure + "TargetUserName=x|TargetSid=S-1-5-21-1-2-3-9|ServiceName=krbtgt/CORP|TicketOptions=0x40810010|Status=0x18|PreAuthType=2|IpAddress=::ffff:10.0.0.3|IpPort=0",
		body: `logon:{action:"authentication_failed" outcome:"failure" user_name:"x" user_sid:"S-1-5-21-1-2-3-9" ip:"10.0.0.3" service_name:"krbtgt/CORP"
			status:"0x18" failure_reason:"bad_password" ticket_options:"0x40810010" pre_authentication:2}`},
	{provider: providerSecurity, eventID: 4779, fields: "AccountName=alice|AccountDomain=CORP|LogonID=0x6a423|SessionName=RDP-Tcp#5|ClientName=JUMP|ClientAddress=10.0.0.9",
		body: `logon:{action:"disconnected" user_name:"CORP\\alice" logon_id:"0x6a423" ip:"10.0.0.9" workstation:"JUMP" session_name:"RDP-Tcp#5"}`},
	{provider: providerSecurity, eventID: 4801, fields: auditSuccess + "TargetUserSid=S-1-5-21-1-2-3-500|TargetUserName=alice|TargetDomainName=CORP|TargetLogonId=0x10ac67|SessionId=2",
		body: `logon:{action:"unlocked" outcome:"success" user_name:"CORP\\alice" user_sid:"S-1-5-21-1-2-3-500" logon_id:"0x10ac67" session_id:2}`},
	{provider: providerSecurity, eventID: 4964, fields: "TargetUserName=alice|TargetDomainName=CORP|TargetLogonId=0x1|SidList=\r\n\t\t%{S-1-5-21-1-2-3-1613}",
		body: `logon:{action:"special_groups" user_name:"CORP\\alice" logon_id:"0x1" groups:"S-1-5-21-1-2-3-1613"}`},
	{provider: providerSecurity, eventID: 4720,
		fields: auditSuccess + "TargetUserName=eve|TargetDomainName=HOST1|TargetSid=S-1-5-21-4-5-6-1001|" + subject + "PrivilegeList=-|SamAccountName=eve|DisplayName=%%1793|" +
			"UserPrincipalName=-|PasswordLastSet=%%1794|AccountExpires=%%1794|OldUacValue=0x0|NewUacValue=0x15|UserAccountControl=\r\n\t\t%%2080\r\n\t\t%%2082\r\n\t\t%%2084",
		body: `account:{action:"created" outcome:"success" user_name:"HOST1\\eve" user_sid:"S-1-5-21-4-5-6-1001" ` + subjectBody + `subject_logon_id:"0x123550"
			old_uac:"0x0" new_uac:"0x15" uac_changes:"account_disabled" uac_changes:"password_not_required_on" uac_changes:"normal_account_on"
			sam_account_name:"eve" password_last_set:"never" account_expires:"never"}`},
	{provider: providerSecurity, eventID: 4740, synthetic: true, fields: auditSuccess + `TargetUserName=bob|TargetDomainName=WKS7|TargetSid=S-1-5-21-4-5-6-7|` + subject,
		body: `account:{action:"locked_out" outcome:"success" user_name:"bob" user_sid:"S-1-5-21-4-5-6-7" caller_computer:"WKS7" ` + subjectBody +
			`subject_logon_id:"0x123550"}`},
	{provider: providerSecurity, eventID: 4781, fields: "OldTargetUserName=a|NewTargetUserName=b|TargetDomainName=HOST1|TargetSid=S-1-5-21-4-5-6-7|" + subject,
		body: `account:{action:"renamed" user_name:"HOST1\\b" user_sid:"S-1-5-21-4-5-6-7" old_user_name:"HOST1\\a" ` + subjectBody + `subject_logon_id:"0x123550"}`},
	{provider: providerSecurity, eventID: 4732, fields: "MemberName=-|MemberSid=S-1-5-21-4-5-6-1001|TargetUserName=Administrators|TargetDomainName=Builtin|TargetSid=S-1-5-32-544|" + subject,
		body: `group:{action:"member_added" group_name:"Builtin\\Administrators" group_sid:"S-1-5-32-544" scope:"local" kind:"security"
			member_sid:"S-1-5-21-4-5-6-1001" ` + subjectBody + `subject_logon_id:"0x123550"}`},
	{provider: providerSecurity, eventID: 4798, fields: `TargetUserName=bob|TargetDomainName=HOST1|TargetSid=S-1-5-21-4-5-6-500|CallerProcessId=0xcb8|CallerProcessName=C:\a.exe|` + subject,
		body: `group:{action:"membership_enumerated" scope:"local" kind:"security" member_name:"HOST1\\bob" member_sid:"S-1-5-21-4-5-6-500" ` + subjectBody +
			`subject_logon_id:"0x123550" pid:3256 process_name:"C:\\a.exe"}`},
	{provider: providerSecurity, eventID: 4799, fields: "TargetUserName=Administrators|TargetDomainName=Builtin|TargetSid=S-1-5-32-544|CallerProcessId=0x0|CallerProcessName=-",
		body: `group:{action:"membership_enumerated" group_name:"Builtin\\Administrators" group_sid:"S-1-5-32-544" scope:"local" kind:"security"}`},
}

var serviceCases = []normaliseCase{
	// "EventLog/1" and "BITS/4" in UTF-16, beside names in another language
	{provider: providerSCM, eventID: 7036, fields: "param1=Windows-Ereignisprotokoll|param2=beendet|Binary=4500760065006E0074004C006F0067002F0031000000",
		body: `service:{action:"stopped" name:"EventLog" display_name:"Windows-Ereignisprotokoll" state:"beendet"}`},
	{provider: providerSCM, eventID: 7036, fields: "param1=BITS|param2=running|Binary=42004900540053002F0034000000",
		body: `service:{action:"started" name:"BITS" display_name:"BITS" state:"running"}`},
	{provider: providerSCM, eventID: 7036, fields: "param1=BITS|param2=paused", body: `service:{action:"state_changed" display_name:"BITS" state:"paused"}`},
	{provider: providerSCM, eventID: 7040, fields: "#user=S-1-5-18|param1=Windows Event Log|param2=auto start|param3=disabled|param4=EventLog",
		body: `service:{action:"start_type_changed" name:"EventLog" display_name:"Windows Event Log" start_type:"disabled" old_start_type:"auto start"
			subject_sid:"S-1-5-18"}`},
	{provider: providerSCM, eventID: 7045, fields: "#user=S-1-5-21-1-2-3-500|ServiceName=s|ImagePath=C:\\s.exe|ServiceType=user mode service|StartType=demand start|AccountName=LocalSystem",
		body: `service:{action:"installed" name:"s" image_path:"C:\\s.exe" service_type:"user mode service" start_type:"demand start" account:"LocalSystem"
			subject_sid:"S-1-5-21-1-2-3-500"}`},
	{provider: providerSecurity, eventID: 4697, fields: subject + "ServiceName=s|ServiceFileName=C:\\s.exe|ServiceType=0x10|ServiceStartType=3|ServiceAccount=LocalSystem",
		body: `service:{action:"installed" name:"s" image_path:"C:\\s.exe" service_type:"0x10" start_type:"3" account:"LocalSystem" ` + subjectBody +
			`logon_id:"0x123550"}`},
	{provider: providerSCM, eventID: 7009, fields: "param1=30000|param2=My Service|Binary=73000000", body: `service:{action:"start_failed" name:"s" display_name:"My Service" error:"timeout"}`},
	{provider: providerSCM, eventID: 7023, fields: "param1=Spooler|param2=%%2147942414", body: `service:{action:"terminated" display_name:"Spooler" error:"0x8007000e"}`},
	{provider: providerSCM, eventID: 7031, synthetic: true, fields: "param1=Sysmon64|param2=2|param3=60000|param4=1|param5=Restart the service",
		body: `service:{action:"terminated" display_name:"Sysmon64" failures:2}`},
	{provider: providerSecurity, eventID: 4698,
		fields: subject + `TaskName=\t|TaskContent=<?xml version="1.0"?><Task><Principals><Principal id="a"><UserId>S-1-5-18</UserId></Principal></Principals>` +
			`<Settings><Hidden>true</Hidden></Settings><Actions><Exec><Command>C:\a &amp; b.exe</Command><Arguments>-x</Arguments></Exec></Actions></Task>`,
		body: `task:{action:"created" task_name:"\\t" user_name:"CORP\\alice" user_sid:"S-1-5-21-1-2-3-500" logon_id:"0x123550" command:"C:\\a & b.exe"
			arguments:"-x" run_as:"S-1-5-18" hidden:true content:"<?xml version=\"1.0\"?><Task><Principals><Principal id=\"a\"><UserId>S-1-5-18</UserId></Principal></Principals><Settings><Hidden>true</Hidden></Settings><Actions><Exec><Command>C:\\a &amp; b.exe</Command><Arguments>-x</Arguments></Exec></Actions></Task>"}`},
	{provider: providerTaskScheduler, eventID: 106, fields: `TaskName=\t|UserContext=S-1-5-18`, body: `task:{action:"created" task_name:"\\t" user_sid:"S-1-5-18"}`},
	{provider: providerTaskScheduler, eventID: 201, fields: `TaskName=\t|TaskInstanceId={0503AC85-E5DB-4E1A-8659-3DC76A5C89CA}|ActionName=C:\a.exe|ResultCode=2147942402|EnginePID=1532`,
		body: `task:{action:"action_completed" task_name:"\\t" command:"C:\\a.exe" instance_id:"{0503ac85-e5db-4e1a-8659-3dc76a5c89ca}" result:"0x80070002" pid:1532}`},
	{provider: providerPowerShell, eventID: 4104, fields: `#level=3|#pid=44|#user=S-1-5-18|MessageNumber=1|MessageTotal=2|ScriptBlockText=iex x|ScriptBlockId=743d|Path=C:\a.ps1`,
		body: `script:{action:"script_block" script_block_id:"743d" part:1 parts:2 script_text:"iex x" script_path:"C:\\a.ps1" suspicious:true user_sid:"S-1-5-18" pid:44}`},
	{provider: providerPowerShell, eventID: 4103,
		fields: "ContextInfo=        Severity = Informational\r\n        Host Name = ConsoleHost\r\n        Host Application = powershell.exe -c a=b\r\n        Engine Version = 5.1\r\n        Command Name = Get-Item\r\n        Sequence Number = 16\r\n        User = CORP\\alice\r\n|Payload=CommandInvocation(Get-Item)",
		body: `script:{action:"pipeline" payload:"CommandInvocation(Get-Item)" command_name:"Get-Item" host_name:"ConsoleHost"
			host_application:"powershell.exe -c a=b" engine_version:"5.1" sequence_number:16 user_name:"CORP\\alice"}`},
	{provider: providerClassicPowerShell, eventID: 400,
		fields: "=Available|=None|=\tNewEngineState=Available\r\n\tSequenceNumber=13\r\n\tHostName=ConsoleHost\r\n\tEngineVersion=2.0\r\n\tHostApplication=powershell -v 2",
		body:   `script:{action:"engine_started" host_name:"ConsoleHost" host_application:"powershell -v 2" engine_version:"2.0" sequence_number:13}`},
}

var processCases = []normaliseCase{
	{provider: telemetry.SysmonProvider, eventID: 1,
		fields: `RuleName=-|UtcTime=2026-03-01 10:00:00.000|ProcessGuid={A57649D1-1271-61F1-315A-8E1500000000}|ProcessId=1524|Image=C:\r.exe|FileVersion=10|CommandLine=r a|` +
			`CurrentDirectory=C:\|User=CORP\alice|LogonGuid={00000000-0000-0000-0000-000000000000}|LogonId=0x1586d8b2|TerminalSessionId=0|IntegrityLevel=High|` +
			`Hashes=SHA1=AA01,MD5=BB02,SHA256=CC03,IMPHASH=00000000000000000000000000000000|ParentProcessGuid={A57649D1-124E-61F1-503D-8E1500000000}|ParentProcessId=4|ParentImage=System|ParentCommandLine=-`,
		body: `process:{action:"PROC_CREATE" pid:1524 process_guid:"{a57649d1-1271-61f1-315a-8e1500000000}" identity:"unresolved" path:"C:\\r.exe" cmdline:"r a"
			current_directory:"C:\\" parent_pid:4 parent_process_guid:"{a57649d1-124e-61f1-503d-8e1500000000}" parent_path:"System" owner_uid:"CORP\\alice"
			logon_id:"0x1586d8b2" session_id:0 integrity_level:"high" md5:"bb02" sha1:"aa01" sha256:"cc03" file_version:"10"}`},
	{provider: providerSecurity, eventID: 4688,
		fields: subject + `NewProcessId=0x1490|NewProcessName=C:\sc.exe|TokenElevationType=%%1937|ProcessId=0xbc0|CommandLine=sc x|TargetUserSid=S-1-0-0|TargetUserName=-|` +
			`TargetDomainName=-|TargetLogonId=0x0|ParentProcessName=C:\cmd.exe|MandatoryLabel=S-1-16-12288`,
		body: `process:{action:"PROC_CREATE" pid:5264 identity:"unresolved" path:"C:\\sc.exe" cmdline:"sc x" parent_pid:3008 parent_path:"C:\\cmd.exe"
			owner_uid:"CORP\\alice" owner_sid:"S-1-5-21-1-2-3-500" logon_id:"0x123550" integrity_level:"high" elevation:"full"}`},
	{provider: providerSecurity, eventID: 4688,
		fields: subject + `NewProcessId=0x10|NewProcessName=C:\a.exe|ProcessId=0x20|TargetUserSid=S-1-5-18|TargetUserName=HOST1$|TargetDomainName=CORP|TargetLogonId=0x3e7`,
		body: `process:{action:"PROC_CREATE" pid:16 identity:"unresolved" path:"C:\\a.exe" parent_pid:32 owner_uid:"CORP\\HOST1$" owner_sid:"S-1-5-18"
			creator_uid:"CORP\\alice" creator_sid:"S-1-5-21-1-2-3-500" logon_id:"0x3e7"}`},
	{provider: providerSecurity, eventID: 4689, fields: subject + `Status=0xC0000005|ProcessId=0x10|ProcessName=C:\a.exe`,
		body: `process:{action:"PROC_TERMINATE" pid:16 identity:"unresolved" path:"C:\\a.exe" exit_code:"0xc0000005" owner_uid:"CORP\\alice"
			owner_sid:"S-1-5-21-1-2-3-500" logon_id:"0x123550"}`},
	{provider: telemetry.SysmonProvider, eventID: 10,
		fields: `SourceProcessGUID={A57649D1-1271-61F1-315A-8E1500000000}|SourceProcessId=1|SourceThreadId=2|SourceImage=C:\m.exe|TargetProcessGUID=-|TargetProcessId=3|TargetImage=C:\lsass.exe|GrantedAccess=0x1410|CallTrace=x|SourceUser=CORP\alice|TargetUser=NT AUTHORITY\SYSTEM`,
		body: `process_open:{action:"PROC_OPEN" src_pid:1 src_process_guid:"{a57649d1-1271-61f1-315a-8e1500000000}" src_identity:"unresolved" src_path:"C:\\m.exe"
			src_thread_id:2 target_pid:3 target_path:"C:\\lsass.exe" granted_access:"0x1410" granted_access_value:5136 call_trace:"x" owner_uid:"CORP\\alice"
			target_owner_uid:"NT AUTHORITY\\SYSTEM"}`},
	{provider: providerSecurity, eventID: 4656,
		fields: auditFailure + subject + `ObjectType=Process|ObjectName=\Device\HarddiskVolume2\Windows\System32\lsass.exe|HandleId=0x0|AccessMask=0x1010|ProcessId=0x5|ProcessName=C:\m.exe`,
		body: `process_open:{action:"PROC_OPEN_DENIED" src_pid:5 src_identity:"unresolved" src_path:"C:\\m.exe" target_path:"C:\\Windows\\System32\\lsass.exe"
			granted_access:"0x1010" granted_access_value:4112 owner_uid:"CORP\\alice" owner_sid:"S-1-5-21-1-2-3-500" logon_id:"0x123550" handle_id:"0x0"}`},
	{provider: telemetry.SysmonProvider, eventID: 7, fields: `ProcessId=5|Image=C:\a.exe|ImageLoaded=C:\b.dll|Hashes=SHA256=AB|Signed=true|Signature=Contoso|SignatureStatus=Valid`,
		body: `image_load:{action:"IMAGE_LOAD" pid:5 identity:"unresolved" process_name:"C:\\a.exe" image_path:"C:\\b.dll" sha256:"ab" is_signed:true
			subject_name:"Contoso" trust_info:"Valid"}`},
	{provider: telemetry.SysmonProvider, eventID: 2, fields: `ProcessId=5|Image=C:\a.exe|TargetFilename=C:\f|CreationUtcTime=2019-01-01 00:00:00.000|PreviousCreationUtcTime=2026-03-01 10:00:00.000`,
		body: `file_timestomp:{action:"FILE_TIMESTOMP" target_path:"C:\\f" old_timestamp:"2026-03-01T10:00:00.0000000Z" new_timestamp:"2019-01-01T00:00:00.0000000Z"
			pid:5 identity:"unresolved" process_name:"C:\\a.exe"}`},
	{provider: telemetry.SysmonProvider, eventID: 23, fields: `ProcessId=5|User=CORP\alice|Image=C:\a.exe|TargetFilename=C:\f.exe|Hashes=MD5=AA|IsExecutable=true|Archived=false`,
		body: `file:{action:"FILE_DELETE" target_path:"C:\\f.exe" pid:5 identity:"unresolved" process_name:"C:\\a.exe" uid:"CORP\\alice" md5:"aa" hashed:true
			pe_file:true archived:false}`},
	{provider: providerSecurity, eventID: 4663,
		fields: auditSuccess + subject + "#task=12812|ObjectType=File|ObjectName=E:\\f|HandleId=0x9|AccessList=%%4417\r\n\t\t\t\t%%4418\r\n\t\t\t\t|AccessMask=0x6|ProcessId=0x10|ProcessName=C:\\a.exe",
		body: `file:{action:"FILE_WRITE" target_path:"E:\\f" pid:16 identity:"unresolved" process_name:"C:\\a.exe" uid:"CORP\\alice" user_sid:"S-1-5-21-1-2-3-500"
			logon_id:"0x123550" access_mask:"0x6" accesses:"write_data" accesses:"append_data" handle_id:"0x9" outcome:"success" removable:true}`},
	{provider: providerSecurity, eventID: 4663, fields: "ObjectType=File|ObjectName=C:\\f|AccessMask=0x10000",
		body: `file:{action:"FILE_DELETE" target_path:"C:\\f" access_mask:"0x10000"}`},
	{provider: providerSecurity, eventID: 4663, fields: "ObjectType=File|ObjectName=C:\\f|AccessMask=0x1", body: `file:{action:"FILE_READ" target_path:"C:\\f" access_mask:"0x1"}`},
	{provider: providerSecurity, eventID: 4663, fields: "ObjectType=File|ObjectName=C:\\f|AccessMask=0x40000",
		body: `file:{action:"FILE_SET_SECURITY" target_path:"C:\\f" access_mask:"0x40000"}`},
	{provider: providerSecurity, eventID: 4663, fields: "ObjectType=File|ObjectName=C:\\f|AccessMask=0x100",
		body: `file:{action:"FILE_SET_ATTRIBUTES" target_path:"C:\\f" access_mask:"0x100"}`},
	{provider: providerSecurity, eventID: 4660, synthetic: true, fields: "#task=12801|HandleId=0x9|ProcessId=0x10|ProcessName=C:\\a.exe",
		body: `registry:{action:"REG_DELETE" pid:16 identity:"unresolved" process_name:"C:\\a.exe" handle_id:"0x9"}`},
	{provider: providerSecurity, eventID: 4657,
		fields: subject + `ObjectName=\REGISTRY\MACHINE\SYSTEM\x|ObjectValueName=Start|HandleId=0x7|OperationType=%%1905|OldValueType=%%1876|OldValue=2|NewValueType=%%1876|NewValue=4|ProcessId=0x1e|ProcessName=C:\p.exe`,
		body: `registry:{action:"REG_SETVALUE" target_name:"\\REGISTRY\\MACHINE\\SYSTEM\\x\\Start" value_name:"Start" value_type:"REG_DWORD" value_data:"4"
			old_value_type:"REG_DWORD" old_value_data:"2" pid:30 identity:"unresolved" process_name:"C:\\p.exe" owner_uid:"CORP\\alice" owner_sid:"S-1-5-21-1-2-3-500"
			logon_id:"0x123550" handle_id:"0x7"}`},
	{provider: telemetry.SysmonProvider, eventID: 12, fields: `EventType=DeleteValue|ProcessId=4|Image=System|TargetObject=HKLM\a\b`,
		body: `registry:{action:"REG_DELETEVALUE" target_name:"HKLM\\a\\b" pid:4 identity:"unresolved" process_name:"System"}`},
	{provider: telemetry.SysmonProvider, eventID: 13, fields: `EventType=SetValue|TargetObject=HKLM\a\b|Details=DWORD (0x00000001)`,
		body: `registry:{action:"REG_SETVALUE" target_name:"HKLM\\a\\b" value_type:"REG_DWORD" value_data:"DWORD (0x00000001)"}`},
	{provider: providerWMI, eventID: 5861, synthetic: true, fields: `<Operation_ESStoConsumerBinding>|Namespace=//./root/subscription|ESS=f|CONSUMER=c|PossibleCause=Binding`,
		body: `wmi:{action:"permanent_subscription" namespace:"//./root/subscription" consumer:"c" filter:"f" detail:"Binding"}`},
}

var networkCases = []normaliseCase{
	{provider: telemetry.SysmonProvider, eventID: 3,
		fields: `ProcessId=5|Image=C:\a.exe|User=CORP\alice|Protocol=tcp|Initiated=true|SourceIp=10.0.0.1|SourceHostname=h1|SourcePort=50000|DestinationIp=2001:db8:0:0:0:0:0:1|DestinationHostname=h2|DestinationPort=443`,
		body: `socket:{action:"SOCKET_CONNECT" pid:5 identity:"unresolved" process_name:"C:\\a.exe" user_name:"CORP\\alice" family:"AF_INET" protocol:6 direction:"out"
			local_address:"10.0.0.1" local_port:50000 remote_address:"2001:db8::1" remote_port:443 local_host_name:"h1" remote_host_name:"h2"}`},
	{provider: telemetry.SysmonProvider, eventID: 3, fields: `Protocol=udp|Initiated=false|SourceIp=10.0.0.9|SourcePort=1|DestinationIp=10.0.0.1|DestinationPort=53`,
		body: `socket:{action:"SOCKET_ACCEPT" family:"AF_INET" protocol:17 direction:"in" local_address:"10.0.0.1" local_port:53 remote_address:"10.0.0.9" remote_port:1}`},
	{provider: providerSecurity, eventID: 5156,
		fields: `ProcessID=704|Application=\device\harddiskvolume2\windows\system32\lsass.exe|Direction=%%14592|SourceAddress=10.0.0.9|SourcePort=65028|DestAddress=10.0.0.1|DestPort=389|Protocol=6|FilterRTID=65851|LayerName=%%14610`,
		body: `socket:{action:"SOCKET_ACCEPT" pid:704 identity:"unresolved" process_name:"C:\\windows\\system32\\lsass.exe" family:"AF_INET" protocol:6 direction:"in"
			local_address:"10.0.0.1" local_port:389 remote_address:"10.0.0.9" remote_port:65028 filter_id:65851 layer:"%%14610"}`},
	{provider: providerSecurity, eventID: 5152, fields: `ProcessId=0|Application=-|Direction=%%14593|SourceAddress=::1|SourcePort=1|DestAddress=::2|DestPort=2|Protocol=17`,
		body: `socket:{action:"PACKET_BLOCKED" family:"AF_INET6" protocol:17 direction:"out" local_address:"::1" local_port:1 remote_address:"::2" remote_port:2}`},
	{provider: providerSecurity, eventID: 5154, fields: `ProcessId=9|Application=System|SourceAddress=0.0.0.0|SourcePort=445|Protocol=6|FilterRTID=1|LayerName=%%14609`,
		body: `socket:{action:"SOCKET_LISTEN" pid:9 identity:"unresolved" process_name:"System" family:"AF_INET" protocol:6 local_address:"0.0.0.0" local_port:445
			filter_id:1 layer:"%%14609"}`},
	{provider: telemetry.SysmonProvider, eventID: 22, fields: `ProcessId=5|QueryName=.www.example.com.|QueryStatus=0|QueryResults=type:  5 alias.example.com;::ffff:192.0.2.7;2001:db8::7;|Image=C:\a.exe`,
		body: `dns_response:{action:"DNS_RESPONSE" domain_name:"www.example.com" resolved_ip:"192.0.2.7;2001:db8::7" answers:"type 5 alias.example.com"
			answers:"192.0.2.7" answers:"2001:db8::7" status:0 pid:5 identity:"unresolved" process_name:"C:\\a.exe" via_resolver:false}`},
	{provider: providerDNSClient, eventID: 3006, synthetic: true, fields: "#pid=700|QueryName=www.example.com|QueryType=28|QueryOptions=0|InterfaceIndex=7",
		body: `dns:{action:"DNS_LOOKUP" domain_name:"www.example.com" request_type:28 pid:700 identity:"unresolved" via_resolver:false interface:"7"}`},
	{provider: providerDNSClient, eventID: 3010, synthetic: true, fields: "#pid=1200|QueryName=www.example.com|QueryType=1|DnsServerIpAddress=10.0.0.53|ClientPID=77",
		body: `dns:{action:"DNS_LOOKUP" domain_name:"www.example.com" request_type:1 pid:77 identity:"unresolved" via_resolver:false remote_address:"10.0.0.53"}`},
	{provider: providerDNSClient, eventID: 3020, synthetic: true, fields: "#pid=1200|QueryName=www.example.com|QueryType=1|Status=9003|QueryResults=",
		body: `dns_response:{action:"DNS_RESPONSE" domain_name:"www.example.com" request_type:1 status:9003 pid:1200 identity:"unresolved" via_resolver:true}`},
	{provider: providerBITS, eventID: 59,
		fields: `transferId={746FD3D9-D296-42DA-9F9C-B7FF6FA9151B}|name=j|Id={5F2863D6-E0AB-4470-8530-8F129B46177A}|url=https://example.com/a|peer=|bytesTotal=18446744073709551615|bytesTransferred=0`,
		body: `http:{action:"HTTP_TRANSFER_STARTED" client:"bits" url:"https://example.com/a" bytes_transferred:0 job_id:"{5f2863d6-e0ab-4470-8530-8f129b46177a}"
			job_name:"j" transfer_id:"{746fd3d9-d296-42da-9f9c-b7ff6fa9151b}"}`},
	{provider: providerBITS, eventID: 3, fields: `jobTitle=j|jobId={5F2863D6-E0AB-4470-8530-8F129B46177A}|jobOwner=CORP\alice|processPath=C:\b.exe|processId=7680`,
		body: `http:{action:"HTTP_JOB_CREATED" client:"bits" pid:7680 identity:"unresolved" process_name:"C:\\b.exe" user_name:"CORP\\alice"
			job_id:"{5f2863d6-e0ab-4470-8530-8f129b46177a}" job_name:"j"}`},
	{provider: providerSecurity, eventID: 5145,
		fields: auditSuccess + subject + "ObjectType=File|IpAddress=10.0.0.2|IpPort=56661|ShareName=\\\\*\\ADMIN$|ShareLocalPath=\\??\\C:\\Windows|RelativeTargetName=a.exe|AccessMask=0x2|AccessList=%%4417\r\n\t\t\t\t",
		body: `share:{action:"object_checked" share_name:"\\\\*\\ADMIN$" local_path:"C:\\Windows" relative_target:"a.exe" ip:"10.0.0.2" port:56661 access_mask:"0x2"
			accesses:"write_data" object_type:"File" user_name:"CORP\\alice" user_sid:"S-1-5-21-1-2-3-500" logon_id:"0x123550" outcome:"success"}`},
}
