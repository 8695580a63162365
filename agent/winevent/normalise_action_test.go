package winevent

import (
	"fmt"
	"strings"
	"testing"

	"github.com/assay-audit/assay/proto/telemetry"
)

// actionCase lists the ids of some providers that one kind of record has, and
// the action that each is.
type actionCase struct {
	providers []string
	table     string
	fields    string
	actions   string // "action id id, action id"
}

func (c actionCase) ids(t *testing.T) map[uint32]string {
	t.Helper()
	ids := map[uint32]string{}
	for part := range strings.SplitSeq(c.actions, ",") {
		words := strings.Fields(part)
		for _, word := range words[1:] {
			id, ok := number(word)
			if !ok || ids[uint32(id)] != "" {
				t.Fatalf("case %s: id %q", c.table, word)
			}
			ids[uint32(id)] = words[0]
		}
	}
	return ids
}

var security = []string{providerSecurity}

// actionCases is the list of ids, written down apart from the mappings.
var actionCases = []actionCase{
	{[]string{providerEventlog}, "win_log_activity_events", "",
		"cleared 104 1102, service_stopped 1100, events_dropped 1101, full 1104, rotated 105 1105, error 1108"},
	{security, "win_log_activity_events", "", "events_dropped 4612 4621"},
	{security, "win_audit_policy_events", "", `changed 4719, policy_sd_changed 4715, global_sacl_changed 4817, user_policy_loaded 4902,
		source_registered 4904, source_unregistered 4905, crash_on_audit_fail 4906, object_sacl_changed 4907, special_groups 4908,
		user_policy_changed 4912`},
	{[]string{providerClassicLog}, "win_power_events", "", "log_service_start 6005, log_service_stop 6006, unexpected_shutdown 6008, boot 6009"},
	{[]string{providerKernelGeneral}, "win_power_events", "", "boot 12, shutdown 13"},
	{[]string{providerKernelPower}, "win_power_events", "", "unexpected_shutdown 41, sleep 42, resume 107"},
	{[]string{"Microsoft-Windows-Power-Troubleshooter"}, "win_power_events", "", "resume 1"},
	{[]string{"User32", "USER32"}, "win_power_events", "", "shutdown_requested 1074"},
	{security, "win_power_events", "", "boot 4608, shutdown 4609"},
	{security, "win_clock_events", "", "set 4616"},
	{[]string{providerKernelGeneral}, "win_clock_events", "", "set 1"},
	{providersDefender, "win_security_software_events", "", `scan_started 1000, scan_finished 1001, scan_stopped 1002, scan_paused 1003,
		scan_resumed 1004, scan_failed 1005, history_deleted 1013, history_delete_failed 1014,
		exploit_blocked 1121 1123 1126 1127 1131 1133, exploit_audited 1122 1124 1125 1128 1132 1134, exploit_overridden 1129,
		health_ok 1150, health_report 1151, signatures_updated 2000 2020, signatures_update_failed 2001 2021, engine_updated 2002,
		engine_update_failed 2003, signatures_reverted 2004, platform_outdated 2005 2007, platform_update_failed 2006,
		dynamic_signatures_added 2010, dynamic_signatures_removed 2011 2013, dynamic_signatures_failed 2012, platform_updated 2014,
		offline_scan_prepared 2030, offline_scan_failed 2031, os_expiring 2040, os_unsupported 2041 2042,
		realtime_feature_failed 3002, realtime_feature_recovered 3007, realtime_on 5000, realtime_off 5001,
		realtime_config_changed 5004, config_changed 5007, engine_failed 5008, antispyware_on 5009, antispyware_off 5010,
		antivirus_on 5011, antivirus_off 5012, tamper_blocked 5013, expiring 5100, expired 5101`},
	{providersDefender, "win_malware_events", "", `detected 1006 1115 1116, acted 1007 1117, action_failed 1008 1118 1119, restored 1009,
		restore_failed 1010, quarantine_deleted 1011, quarantine_delete_failed 1012, suspicious 1015, hashed 1120`},
	{[]string{telemetry.SysmonProvider}, "win_security_software_events", "State=Stopped", "stopped 4, config_changed 16, error 255"},
	{[]string{providerFirewall}, "win_firewall_events", "", `setting_changed 2002 2083, profile_changed 2003 2082, rule_added 2004 2071 2097,
		rule_changed 2005 2073, rule_deleted 2006 2052, reset 2032 2060, rules_deleted 2033 2059, policy_applied 2008,
		policy_failed 2009, network_changed 2010, app_blocked 2011`},
	{security, "win_firewall_events", "", `policy_listed 4944, rule_listed 4945, rule_added 4946, rule_changed 4947, rule_deleted 4948,
		reset 4949, profile_changed 4950, rule_ignored 4951 4952 4953 4957 4958, policy_applied 4954, network_changed 4956,
		service_started 5024, service_stopped 5025, policy_failed 5027 5028, driver_failed 5029 5035 5037, service_failed 5030,
		app_blocked 5031 5032, driver_started 5033, driver_stopped 5034, filter_changed 5447`},
	{security, "win_removable_media_events", `DeviceId=USBSTOR\Disk&Ven_A&Prod_B&Rev_1\S&0`, `MEDIA_INSERT 6416, MEDIA_DISABLE_REQUESTED 6419,
		MEDIA_DISABLED 6420, MEDIA_ENABLE_REQUESTED 6421, MEDIA_ENABLED 6422, MEDIA_INSTALL_BLOCKED 6423, MEDIA_INSTALL_ALLOWED 6424`},
	{[]string{providerUMDF}, "win_removable_media_events", `InstanceId=USB\VID_1234&PID_5678\S`,
		"MEDIA_INSERT 2003, MEDIA_STARTED 2010, MEDIA_REMOVE 2100 2101 2102, MEDIA_DRIVER_INSTALLED 10000 10100"},
	{[]string{providerUserPnp}, "win_removable_media_events", `DeviceInstanceID=USB\VID_1234&PID_5678\S`,
		"MEDIA_DRIVER_INSTALLED 20001, MEDIA_SERVICE_ADDED 20003"},
	{[]string{providerKernelPnp}, "win_removable_media_events", `DeviceInstanceId=USB\VID_1234&PID_5678\S`,
		"MEDIA_CONFIGURED 400 430, MEDIA_STARTED 410, MEDIA_START_FAILED 411, MEDIA_REMOVE 420 1010"},
	{[]string{providerPartition}, "win_removable_media_events", "BusType=7|Capacity=1", "MEDIA_INSERT 1006"},
	{security, "win_account_events", "", `created 4720, enabled 4722, password_changed 4723, password_reset 4724, disabled 4725, deleted 4726,
		changed 4738, locked_out 4740, unlocked 4767, renamed 4781`},
	{security, "win_group_events", "", `created 4727 4731 4754 4744 4749 4759, member_added 4728 4732 4756 4746 4751 4761,
		member_removed 4729 4733 4757 4747 4752 4762, deleted 4730 4734 4758 4748 4753 4763, changed 4735 4737 4755 4745 4750 4760,
		type_changed 4764, membership_enumerated 4798 4799`},
	{security, "win_logon_events", "", `logon 4624, logon_failed 4625, logoff 4634 4647, explicit_credentials 4648, special_privileges 4672,
		special_groups 4964, ticket_granted 4768, service_ticket 4769, ticket_renewed 4770, authentication_failed 4771,
		credentials_validated 4776, reconnected 4778, disconnected 4779, locked 4800, unlocked 4801, screen_saver_on 4802,
		screen_saver_off 4803`},
	{[]string{providerSCM}, "win_service_events", "param1=x|param2=running", `started 7036, start_type_changed 7040, installed 7045,
		start_failed 7000 7001 7003 7009 7011 7022 7038 7041, terminated 7023 7024 7031 7032 7034, control_sent 7035`},
	{security, "win_service_events", "", "installed 4697"},
	{security, "win_task_events", "", "created 4698, deleted 4699, enabled 4700, disabled 4701, updated 4702"},
	{[]string{providerTaskScheduler}, "win_task_events", "", `started 100, failed 101 103 202 203, completed 102, created 106,
		triggered 107 108 109 110 117 118 119, stopped 111 329 330, process_created 129, updated 140, deleted 141, disabled 142,
		action_started 200, action_completed 201`},
	{[]string{providerPowerShell, providerPowerShellCore}, "win_script_events", "", "pipeline 4103, script_block 4104, block_started 4105, block_ended 4106"},
	{[]string{providerClassicPowerShell}, "win_script_events", "", "engine_started 400, engine_stopped 403, provider_started 600, pipeline 800"},
	{[]string{telemetry.SysmonProvider}, "win_process_events", "", "PROC_CREATE 1, PROC_TERMINATE 5, PROC_TAMPER 25"},
	{security, "win_process_events", "", "PROC_CREATE 4688, PROC_TERMINATE 4689, PROC_TOKEN_ASSIGN 4696"},
	{[]string{telemetry.SysmonProvider}, "win_driver_load_events", "", "DRIVER_LOAD 6"},
	{[]string{telemetry.SysmonProvider}, "win_image_load_events", "", "IMAGE_LOAD 7"},
	{[]string{telemetry.SysmonProvider}, "win_remote_thread_events", "", "REMOTE_THREAD_CREATE 8"},
	{[]string{telemetry.SysmonProvider}, "win_process_open_events", "", "PROC_OPEN 10"},
	{[]string{telemetry.SysmonProvider}, "win_file_timestomp_events", "", "FILE_TIMESTOMP 2"},
	{[]string{telemetry.SysmonProvider}, "win_file_events", "", `FILE_RAW_READ 9, FILE_CREATE 11, FILE_STREAM_CREATE 15, FILE_DELETE 23 26,
		FILE_CREATE_BLOCKED 27, FILE_SHRED_BLOCKED 28, FILE_EXECUTABLE 29`},
	{security, "win_file_events", "ObjectType=File", "FILE_OPEN 4656, FILE_DELETE 4659 4660, FILE_ACCESS 4663, FILE_SET_SECURITY 4670, FILE_LINK 4664"},
	{security, "win_registry_events", "ObjectType=Key", "REG_OPEN 4656, REG_DELETE 4659, REG_ACCESS 4663, REG_SET_SECURITY 4670, REG_SETVALUE 4657"},
	{security, "win_process_open_events", "ObjectType=Process", "PROC_OPEN 4656, PROC_ACCESS 4663"},
	{security, "win_log_events", "ObjectType=Token", ". 4656 4659 4663 4670"},
	{[]string{telemetry.SysmonProvider}, "win_registry_events", "", "REG_CREATE 12, REG_SETVALUE 13, REG_RENAME 14"},
	{[]string{telemetry.SysmonProvider}, "win_named_pipe_events", "", "NAMED_PIPE_CREATE 17, NAMED_PIPE_CONNECT 18"},
	{[]string{telemetry.SysmonProvider}, "win_wmi_events", "", "filter 19, consumer 20, binding 21"},
	{[]string{providerWMI}, "win_wmi_events", "", `provider_loaded 5857, operation_failed 5858, subscription_started 5859,
		temporary_subscription 5860, permanent_subscription 5861`},
	{security, "win_share_events", "", "share_accessed 5140, share_added 5142, share_modified 5143, share_deleted 5144, object_checked 5145, spn_check_failed 5168"},
	{[]string{telemetry.SysmonProvider}, "win_socket_events", "", "SOCKET_CONNECT 3"},
	{security, "win_socket_events", "Direction=%%14592", `PACKET_BLOCKED 5150 5151 5152 5153, SOCKET_LISTEN 5154, SOCKET_LISTEN_BLOCKED 5155,
		SOCKET_ACCEPT 5156, SOCKET_CONNECT_BLOCKED 5157, SOCKET_BIND 5158, SOCKET_BIND_BLOCKED 5159`},
	{[]string{telemetry.SysmonProvider}, "win_dns_response_events", "", "DNS_RESPONSE 22"},
	{[]string{providerDNSClient}, "win_dns_events", "", "DNS_LOOKUP 3006 3009 3010 3019"},
	{[]string{providerDNSClient}, "win_dns_response_events", "", "DNS_RESPONSE 3008 3011 3020, DNS_CACHE 3018"},
	{[]string{providerBITS}, "win_http_events", "", `HTTP_JOB_CREATED 3, HTTP_JOB_COMPLETED 4, HTTP_TRANSFER_STARTED 59,
		HTTP_TRANSFER_STOPPED 60, HTTP_TRANSFER_FAILED 61`},
	{[]string{"User32"}, "win_log_events", "", ". 1075 1076"},
}

// TestActions: every id becomes its action in its table, and the action is one
// that the table documents.
func TestActions(t *testing.T) {
	t.Parallel()
	for _, c := range actionCases {
		for id, want := range c.ids(t) {
			for _, provider := range c.providers {
				t.Run(fmt.Sprintf("%s %d %s", provider, id, c.table), func(t *testing.T) {
					t.Parallel()
					ev := testNormaliser.Normalise(normaliseCase{provider: provider, eventID: id, fields: c.fields}.record(t))
					table := telemetry.Of(ev)
					if table.Name != c.table {
						t.Fatalf("in %s, want %s", table.Name, c.table)
					}
					column, ok := table.Column("action")
					if !ok {
						return
					}
					row := table.Values(telemetry.Placement{}, ev)
					for i, col := range table.Columns {
						if col.Name == "action" && row[i] != any(want) {
							t.Errorf("action %v, want %s", row[i], want)
						}
					}
					if !strings.Contains(column.Description, want) {
						t.Errorf("%s is not among the documented actions of %s", want, table.Name)
					}
				})
			}
		}
	}
}
