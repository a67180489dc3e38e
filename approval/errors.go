package approval

import (
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/strictjson"
)

// Stable codes, in errors and in CallError. Clients switch on them.
const (
	CodeInvalid       = "invalid"              // the input could not be read or breaks a rule
	CodeUnknownTool   = "unknown_tool"         // no worker offers the tool
	CodeBadArguments  = "invalid_arguments"    // the arguments break the tool's schema or the limits
	CodePolicyDenied  = "policy_denied"        // a rule forbids the call
	CodePolicyChanged = "policy_changed"       // the policy that is active now would not have let the call run
	CodeConflict      = "idempotency_conflict" // the key was used for another call
	CodeDuplicate     = "duplicate"            // an identical call waits for people already: Outcome.DuplicateOf
	CodeRejected      = "approval_rejected"
	CodeExpired       = "approval_expired"
	CodeCancelled     = "cancelled"
	CodeToolFailed    = "tool_failed"
	CodeUnknown       = "outcome_unknown"
	CodeAlreadyRan    = "already_started"       // an earlier run of this call started the tool
	CodeNoPermit      = "no_permit"             // the store holds no permit for the call
	CodeDigest        = "digest_mismatch"       // the call is not the one that was admitted
	CodeUntrusted     = "decision_not_trusted"  // nothing proves the approval, or not any more
	CodeExecution     = "execution_not_offered" // the caller may not run this tool itself
	CodeNotRun        = "not_run"               // the caller reported that it did not run the tool
	CodeNotReported   = "not_reported"          // the caller started the tool and reported nothing in time
	CodeTerminated    = "workflow_terminated"   // the call's workflow was closed outside Pawl
	CodeNotFound      = "unknown"
	CodeInternalError = "internal"
)

// Error is an error with a stable code and a message fit for whoever sent the input: it never holds
// argument values or internal detail.
type Error struct {
	Code    string
	Message string
	err     error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, kept for logs.
func (e *Error) Unwrap() error { return e.err }

// Errorf makes an Error. %w keeps a cause, whose text becomes part of the message: use it only for
// causes that are fit to show.
func Errorf(code, format string, a ...any) error {
	err := fmt.Errorf(format, a...)
	return &Error{Code: code, Message: err.Error(), err: errors.Unwrap(err)}
}

// CodeOf returns the code of the first Error in err's chain; CodeInvalid where JSON was refused by
// package strictjson; else CodeInternalError.
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if errors.As(err, new(*strictjson.Error)) {
		return CodeInvalid
	}
	return CodeInternalError
}
