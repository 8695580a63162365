package telemetry

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	telemetryv1 "github.com/assay-audit/assay/proto/assay/telemetry/v1"
)

// Text makes s fit for a text column, as the rows of tables are.
func Text(s string) string { return text(s) }

// Body is the message of ev's table, nil where it has none.
func Body(ev *telemetryv1.Event) protoreflect.Message {
	t := Of(ev)
	if t == nil {
		return nil
	}
	return ev.ProtoReflect().Get(t.body).Message()
}
