package project

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

// who and what name the columns of a table, any of which tells the acting user
// or the affected object of an audit record.
type fieldRule struct{ who, what []string }

// fieldRules lists the tables whose records PCI DSS wants six things of: user,
// type, time, outcome, origin, object. Records of other tables are no audit
// records of a user's action.
var fieldRules = map[string]fieldRule{
	"win_process_events":      {[]string{"owner_uid", "owner_sid", "creator_uid", "creator_sid"}, []string{"path"}},
	"win_file_events":         {[]string{"uid", "user_sid"}, []string{"target_path", "handle_id"}},
	"win_registry_events":     {[]string{"owner_uid", "owner_sid"}, []string{"target_name"}},
	"win_logon_events":        {[]string{"user_name", "user_sid", "subject_name"}, []string{"user_name", "user_sid", "target_server", "service_name"}},
	"win_account_events":      {[]string{"subject_name", "subject_sid"}, []string{"user_name", "user_sid"}},
	"win_group_events":        {[]string{"subject_name", "subject_sid"}, []string{"group_name", "group_sid"}},
	"win_share_events":        {[]string{"user_name", "user_sid"}, []string{"share_name"}},
	"win_audit_policy_events": {[]string{"subject_name", "subject_sid", "target_sid"}, []string{"subcategory_guid", "target_sid", "object_name", "value"}},
}

// sixFields reports whether an audit record tells all six. applies is false
// for events that are none.
func sixFields(table string, ev *telemetryv1.Event) (complete, applies bool) {
	rule, ok := fieldRules[table]
	if !ok {
		return false, false
	}
	raw := ev.GetRaw()
	origin := raw.GetComputer() != "" || ev.GetSubject().GetKind() == telemetryv1.SubjectKind_SUBJECT_KIND_SELF
	typed := raw.GetEventId() != 0 || raw == nil
	return origin && typed && ev.GetObservedAt() != 0 && outcome(ev) && anyOf(ev, rule.who) && anyOf(ev, rule.what), true
}

// Audit success and failure, in the keywords of the Security log.
const auditOutcome = 0x0030000000000000

// outcome reports whether the record tells success or failure. A source that
// records only what happened tells success by recording.
func outcome(ev *telemetryv1.Event) bool {
	if ev.GetSource() != telemetryv1.Source_SOURCE_EVENT_LOG || ev.GetRaw().GetChannel() != "Security" {
		return true
	}
	return ev.GetRaw().GetKeywords()&auditOutcome != 0
}

func anyOf(ev *telemetryv1.Event, columns []string) bool {
	body := telemetry.Body(ev)
	if body == nil {
		return false
	}
	fields := body.Descriptor().Fields()
	for _, column := range columns {
		field := fields.ByName(protoreflect.Name(column))
		if field == nil || field.Kind() != protoreflect.StringKind {
			continue
		}
		if value := body.Get(field).String(); value != "" && value != "-" {
			return true
		}
	}
	return false
}
