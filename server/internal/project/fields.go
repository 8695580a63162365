package project

import (
	"slices"
	"sync"

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

// columnRule is a fieldRule by columns of its table.
type columnRule struct{ who, what []bool }

// columnRules are made once of fieldRules and the tables.
var columnRules = sync.OnceValue(func() map[*telemetry.Table]columnRule {
	rules := make(map[*telemetry.Table]columnRule, len(fieldRules))
	for name, rule := range fieldRules {
		table := telemetry.ByName(name)
		if table == nil {
			continue
		}
		columns := columnRule{make([]bool, len(table.Columns)), make([]bool, len(table.Columns))}
		for i, c := range table.Columns {
			columns.who[i], columns.what[i] = slices.Contains(rule.who, c.Name), slices.Contains(rule.what, c.Name)
		}
		rules[table] = columns
	}
	return rules
})

// sixFields reports whether an audit record tells all six. applies is false
// for events that are none.
func sixFields(ev *telemetry.View) (complete, applies bool) {
	if ev.Table == nil {
		return false, false
	}
	rule, ok := columnRules()[ev.Table]
	if !ok {
		return false, false
	}
	origin := ev.Raw.Computer != "" || ev.SubjectKind == telemetryv1.SubjectKind_SUBJECT_KIND_SELF
	typed := ev.Raw.EventID != 0 || !ev.HasRaw
	if !origin || !typed || ev.ObservedAt == 0 || !outcome(ev) {
		return false, true
	}
	who, what := false, false
	ev.Texts(func(column int, value string) bool {
		if value != "-" {
			who, what = who || rule.who[column], what || rule.what[column]
		}
		return !who || !what
	})
	return who && what, true
}

// Audit success and failure, in the keywords of the Security log.
const auditOutcome = 0x0030000000000000

// outcome reports whether the record tells success or failure. A source that
// records only what happened tells success by recording.
func outcome(ev *telemetry.View) bool {
	if ev.Source != telemetryv1.Source_SOURCE_EVENT_LOG || ev.Raw.Channel != "Security" {
		return true
	}
	return ev.Raw.Keywords&auditOutcome != 0
}
