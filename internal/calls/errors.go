package calls

import (
	"context"
	"errors"

	"github.com/pawlhq/pawl/codec"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"
)

// Errors that settle a question.
var (
	ErrUnknown  = errors.New("no such call is known to Temporal")
	ErrConflict = errors.New("the idempotency key was used for another call")
	ErrEnded    = errors.New("the call had ended before")
	// ErrTooManySignals: Temporal takes no more signals for this call, or its workflow reads no more.
	ErrTooManySignals = errors.New("the call has got too many signals")

	ErrNoOutcome = errors.New("the workflow completed with a result that is not an outcome")

	// ErrClosed: the run was closed without a result; a reset may have opened another one.
	ErrClosed = errors.New("the workflow's run was closed without a result")
)

// Error is what Temporal answered, or says that no answer came.
type Error struct {
	Err error
	// Refused: the same request would get the same answer.
	Refused bool
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns what Temporal said.
func (e *Error) Unwrap() error { return e.Err }

// UnreadableError is something that Temporal holds and this process can't read. Its text quotes
// nothing of it.
type UnreadableError struct {
	What string // before "can't be read"
	Err  error  // the converter's, which may quote
}

func (e *UnreadableError) Error() string {
	why := "does this process have the keyring, and use the data converter, that Pawl's workers use?"
	var key *codec.KeyError
	switch {
	case errors.As(e.Err, &key):
		why = key.Error()
	case errors.Is(e.Err, codec.ErrPlain):
		why = codec.ErrPlain.Error()
	case errors.Is(e.Err, codec.ErrNotAuthentic):
		why = codec.ErrNotAuthentic.Error()
	}
	return e.What + " can't be read: " + why
}

// Unwrap returns the converter's error.
func (e *UnreadableError) Unwrap() error { return e.Err }

// isNotFound reports whether Temporal knows no such workflow, or no open one where only such would
// do.
func isNotFound(err error) bool { return errors.As(err, new(*serviceerror.NotFound)) }

// Classify makes *Error of what Temporal answered, and of the context's end. Anything else, such as
// a payload that can't be encoded, is this process's own trouble and stays as it is.
func Classify(err error) error {
	switch {
	case errors.As(err, new(*serviceerror.InvalidArgument)),
		errors.As(err, new(*serviceerror.NamespaceNotFound)),
		errors.As(err, new(*serviceerror.PermissionDenied)),
		errors.As(err, new(*serviceerror.Unimplemented)):
		return &Error{Err: err, Refused: true}
	case errors.As(err, new(serviceerror.ServiceError)),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Error{Err: err}
	}
	return err
}

// undecodable reports whether an error of Temporal's SDK is about a payload.
func undecodable(err error) bool {
	return errors.Is(err, converter.ErrUnableToDecode) || errors.Is(err, converter.ErrEncodingIsNotSupported) ||
		errors.Is(err, converter.ErrMetadataIsNotSet)
}
