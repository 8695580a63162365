package assay

import (
	"errors"
	"fmt"
)

// Kind is the short closed list of what can go wrong, as a caller sees it.
type Kind uint8

// The kinds of error.
const (
	Internal    Kind = iota // ours; the message is never shown
	Invalid                 // the request cannot be right
	NotFound                // there is no such thing
	Conflict                // it is there already, or has changed meanwhile
	Unauthentic             // who asks is not known
	Denied                  // who asks may not
	Limited                 // too much, too often
	Unavailable             // try again later
)

func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case NotFound:
		return "not found"
	case Conflict:
		return "conflict"
	case Unauthentic:
		return "unauthenticated"
	case Denied:
		return "denied"
	case Limited:
		return "limited"
	case Unavailable:
		return "unavailable"
	case Internal:
	}
	return "internal error"
}

// Error is the one error type that crosses a boundary. Msg is safe to show to
// the caller; Err is for our logs alone.
type Error struct {
	Kind Kind
	Msg  string
	Err  error
}

func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Msg
	case e.Msg == "":
		return e.Err.Error()
	}
	return e.Msg
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error whose message is safe to show. A %w operand is kept
// for errors.Is but its text becomes part of the message: pass only errors
// whose text is safe too.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Msg: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf returns the kind of the first Error in err's chain, else Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Message returns what may be shown of err: an Internal error tells nothing.
func Message(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Kind != Internal {
		return e.Msg
	}
	return "internal error"
}

// Cause returns what our own logs should say of err: with what the message for
// the caller leaves out.
func Cause(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err
	}
	return err
}
