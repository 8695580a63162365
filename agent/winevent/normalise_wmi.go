package winevent

import (
	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
	"github.com/assay-audit/assay/proto/telemetry"
)

const providerWMI = "Microsoft-Windows-WMI-Activity"

// wmiRows: Windows Management Instrumentation.
func wmiRows() []row {
	return []row{
		{telemetry.SysmonProvider, []uint32{19}, wmi("filter")},
		{telemetry.SysmonProvider, []uint32{20}, wmi("consumer")},
		{telemetry.SysmonProvider, []uint32{21}, wmi("binding")},
		{providerWMI, []uint32{5857}, wmi("provider_loaded")},
		{providerWMI, []uint32{5858}, wmi("operation_failed")},
		{providerWMI, []uint32{5859}, wmi("subscription_started")},
		{providerWMI, []uint32{5860}, wmi("temporary_subscription")},
		{providerWMI, []uint32{5861}, wmi("permanent_subscription")},
	}
}

func wmi(action string) mapping {
	return func(m *mapper) {
		m.event.Body = &telemetryv1.Event_Wmi{Wmi: &telemetryv1.WmiEvent{
			Action:        action,
			Operation:     m.text("Operation"),
			Namespace:     m.text("EventNamespace", "NamespaceName", "Namespace"),
			Name:          m.text("Name", "ProviderName", "Provider"),
			Query:         m.text("Query"),
			Consumer:      m.text("Consumer", "CONSUMER"),
			ConsumerType:  m.text("Type"),
			Destination:   m.text("Destination"),
			Filter:        m.text("Filter", "ESS"),
			UserName:      m.text("User"),
			Pid:           m.u32("ClientProcessId", "ProcessID", "Processid", "ProcessId"),
			ProviderPath:  m.path("ProviderPath"),
			ClientMachine: m.text("ClientMachine"),
			Result:        m.hex("ResultCode", "Code"),
			Detail:        m.text("PossibleCause"),
		}}
	}
}
