package winevent

import (
	"html"
	"strings"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

const providerTaskScheduler = "Microsoft-Windows-TaskScheduler"

// taskActions maps the scheduler's own channel.
var taskActions = map[uint32]string{
	100: "started", 101: "failed", 102: "completed", 103: "failed", 106: "created", 107: "triggered", 108: "triggered",
	109: "triggered", 110: "triggered", 111: "stopped", 117: "triggered", 118: "triggered", 119: "triggered",
	129: "process_created", 140: "updated", 141: "deleted", 142: "disabled", 200: "action_started",
	201: "action_completed", 202: "failed", 203: "failed", 329: "stopped", 330: "stopped",
}

// taskRows: scheduled tasks that were changed or ran.
func taskRows() []row {
	rows := []row{
		{providerSecurity, []uint32{4698}, task("created")},
		{providerSecurity, []uint32{4699}, task("deleted")},
		{providerSecurity, []uint32{4700}, task("enabled")},
		{providerSecurity, []uint32{4701}, task("disabled")},
		{providerSecurity, []uint32{4702}, task("updated")},
	}
	for id, action := range taskActions {
		rows = append(rows, row{providerTaskScheduler, []uint32{id}, task(action)})
	}
	return rows
}

func task(action string) mapping {
	return func(m *mapper) {
		e := &telemetryv1.TaskEvent{
			Action:     action,
			TaskName:   m.text("TaskName"),
			UserName:   m.account("SubjectDomainName", "SubjectUserName"),
			UserSid:    m.sid("SubjectUserSid"),
			LogonId:    m.logon("SubjectLogonId"),
			Content:    m.text("TaskContent", "TaskContentNew"),
			InstanceId: m.guid("InstanceId", "TaskInstanceId"),
			Result:     m.hex("ResultCode"),
			Pid:        m.u32("ProcessID", "ProcessId", "ClientProcessId", "EnginePID"),
		}
		if e.UserName == "" {
			user := m.text("UserContext", "UserName", "User")
			if strings.HasPrefix(user, "S-1-") {
				e.UserSid = user
			} else {
				e.UserName = user
			}
		}
		e.Command = m.path("Path", "ActionName")
		if e.Content != "" {
			definition(e)
		}
		m.event.Body = &telemetryv1.Event_Task{Task: e}
	}
}

// definition reads what runs, and as whom, out of the task's XML. The text is
// looked through for the few elements rather than parsed: it comes from whoever
// registered the task, and is kept whole beside what is read here.
func definition(e *telemetryv1.TaskEvent) {
	content := e.Content
	if strings.HasPrefix(content, "&lt;") {
		content = html.UnescapeString(content)
	}
	e.Command = element(content, "Command")
	e.Arguments = element(content, "Arguments")
	if e.Command == "" {
		// A task may run a COM handler in place of a program.
		e.Command = element(content, "ClassId")
	}
	_, principals, _ := strings.Cut(content, "<Principals>")
	e.RunAs = element(principals, "UserId")
	if e.RunAs == "" {
		e.RunAs = element(principals, "GroupId")
	}
	switch element(content, "Hidden") {
	case "true":
		e.Hidden = proto.Bool(true)
	case "false":
		e.Hidden = proto.Bool(false)
	}
}

func element(content, name string) string {
	_, rest, ok := strings.Cut(content, "<"+name+">")
	if !ok {
		return ""
	}
	text, _, ok := strings.Cut(rest, "</"+name+">")
	if !ok {
		return ""
	}
	return html.UnescapeString(strings.TrimSpace(text))
}
