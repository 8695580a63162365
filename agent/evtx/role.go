package evtx

// role is what an element's name means where the schema of events gives it a
// meaning. Names are looked up once, when a template is compiled.
type role uint8

const (
	roleOther role = iota
	roleEvent
	roleSystem
	roleEventData
	roleUserData
	roleRenderingInfo
	roleData
	roleProvider
	roleEventID
	roleVersion
	roleLevel
	roleTask
	roleOpcode
	roleKeywords
	roleTimeCreated
	roleRecordID
	roleCorrelation
	roleExecution
	roleSecurity
	roleChannel
	roleComputer
)

func roleOf(name string) role {
	switch name {
	case "Event":
		return roleEvent
	case "System":
		return roleSystem
	case "EventData":
		return roleEventData
	case "UserData":
		return roleUserData
	case "RenderingInfo":
		return roleRenderingInfo
	case "Data":
		return roleData
	}
	return systemRoleOf(name)
}

func systemRoleOf(name string) role {
	switch name {
	case "Provider":
		return roleProvider
	case "EventID":
		return roleEventID
	case "Version":
		return roleVersion
	case "Level":
		return roleLevel
	case "Task":
		return roleTask
	case "Opcode":
		return roleOpcode
	case "Keywords":
		return roleKeywords
	case "TimeCreated":
		return roleTimeCreated
	case "EventRecordID":
		return roleRecordID
	case "Correlation":
		return roleCorrelation
	case "Execution":
		return roleExecution
	case "Security":
		return roleSecurity
	case "Channel":
		return roleChannel
	case "Computer":
		return roleComputer
	}
	return roleOther
}

// mode is where in an event an element is met.
type mode uint8

const (
	modeDocument mode = iota // the element is the record's root
	modeEvent
	modeSystem
	modeEventData
	modeUserData // inside x.parent
)
