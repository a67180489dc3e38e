package pawl

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
	"github.com/pawlhq/pawl/internal/calls"
)

// What errors.Is matches. The types below carry the details.
var (
	// ErrDenied matches every call that ended without permission to run: the four that follow. Nothing
	// ran.
	ErrDenied    = errors.New("pawl: the call was denied")
	ErrRejected  = errors.New("pawl: the call was rejected")  // a person said no
	ErrExpired   = errors.New("pawl: the call expired")       // nobody said yes in time, or the yes ran out
	ErrBlocked   = errors.New("pawl: the call was blocked")   // by policy, catalogue or limits; nobody was asked
	ErrCancelled = errors.New("pawl: the call was withdrawn") // by Cancel, or in Temporal

	ErrFailed         = errors.New("pawl: the tool failed")           // it did not run, or said so itself
	ErrOutcomeUnknown = errors.New("pawl: the tool may have run")     // a person must find out
	ErrPending        = errors.New("pawl: the call has not ended")    // it goes on; Continue it
	ErrUnknownCall    = errors.New("pawl: there is no such call")     // never started, or deleted from Temporal
	ErrConflict       = errors.New("pawl: the key is another call's") // the idempotency key
	ErrGone           = errors.New("pawl: the call was cut off")      // somebody ended its workflow in Temporal
	ErrEnded          = errors.New("pawl: the call had ended before") // so it can't be withdrawn
	ErrClosed         = agent.ErrClosed                               // "pawl: the agent is closed"
)

// DeniedError is a call that ended without permission to run. It matches ErrDenied and the sentinel
// of its Status.
type DeniedError struct {
	ID       string
	Tool     string
	Status   approval.Status         // rejected, expired, blocked or cancelled
	Code     string                  // stable: approval.CodeRejected, CodePolicyDenied, CodeBadArguments, …
	Reason   string                  // why, for agents and people; may hold a reviewer's words
	Decision *approval.FinalDecision // who decided, and with which notes; nil where nobody did
}

// denials are the statuses of a DeniedError.
var denials = map[approval.Status]struct {
	verb string
	is   error
}{
	approval.StatusRejected:  {"was rejected", ErrRejected},
	approval.StatusExpired:   {"expired", ErrExpired},
	approval.StatusBlocked:   {"was blocked", ErrBlocked},
	approval.StatusCancelled: {"was withdrawn", ErrCancelled},
}

func (e *DeniedError) Error() string { return sentence(e.Tool, e.ID, denials[e.Status].verb, e.Reason) }

// Is matches ErrDenied, the status's own sentinel, and ErrConflict.
func (e *DeniedError) Is(target error) bool {
	return target == ErrDenied || target == denials[e.Status].is ||
		target == ErrConflict && e.Code == approval.CodeConflict
}

// FailedError is a call whose tool certainly did not run, or said itself that it did not do what
// was asked: asking again is safe. It matches ErrFailed. Where the guarded function ran in this
// process, Unwrap returns its own error.
type FailedError struct {
	ID      string
	Tool    string
	Code    string // approval.CodeToolFailed, CodeDigest
	Message string // the tool's own words
	cause   error
}

func (e *FailedError) Error() string { return sentence(e.Tool, e.ID, "failed", e.Message) }

// Is matches ErrFailed.
func (e *FailedError) Is(target error) bool { return target == ErrFailed }

// Unwrap returns the guarded function's error, or nil.
func (e *FailedError) Unwrap() error { return e.cause }

// OutcomeUnknownError is a call whose tool may have run: look at the tool's own records before
// anybody asks for it again. It matches ErrOutcomeUnknown. Where the guarded function returned an
// error in this process, Unwrap returns it.
type OutcomeUnknownError struct {
	ID      string
	Tool    string
	Code    string // approval.CodeUnknown, CodeAlreadyRan
	Message string
	// Settled is what a person found out; nil: nobody has said so yet, or the agent asks Temporal, which
	// does not know it. Where nothing ran, ask again under another idempotency key.
	Settled *approval.Settled
	cause   error
}

func (e *OutcomeUnknownError) Error() string {
	if s := e.Settled; s != nil {
		verb := "did not run, by a person's word"
		if s.Ran {
			verb = "ran, by a person's word"
		}
		return sentence(e.Tool, e.ID, verb, s.By+" says: "+s.Notes)
	}
	return sentence(e.Tool, e.ID, "may or may not have run", e.Message)
}

// Is matches ErrOutcomeUnknown.
func (e *OutcomeUnknownError) Is(target error) bool { return target == ErrOutcomeUnknown }

// Unwrap returns the guarded function's error, or nil.
func (e *OutcomeUnknownError) Unwrap() error { return e.cause }

// ResultError is a call that was executed, and whose result is not what the caller's type can hold.
// Do not ask again: the tool ran. Agent.Continue and Call.Wait give the result as it is.
type ResultError struct {
	ID      string
	Tool    string
	Problem string // holds no value of the result
}

func (e *ResultError) Error() string {
	return sentence(e.Tool, e.ID, "was executed, but its result can't be used", e.Problem)
}

// PendingError means that the waiting ended before the call did: the call goes on. Agent.Continue
// with ID takes the waiting up again, in any process. It matches ErrPending, and the error of the
// context that ended.
type PendingError struct {
	ID       string
	Tool     string     // empty where it is not known
	Deadline *time.Time // until when people may answer; nil where it is not known
	// Uncertain: Temporal did not confirm the start, so the call may not exist. Agent.Continue then
	// says ErrUnknownCall, or goes on.
	Uncertain bool
	stopped   error // ctx's error, or ErrClosed
	trouble   error // Temporal's last one
}

func (e *PendingError) Error() string {
	verb := "has not ended yet"
	if e.Uncertain {
		verb = "may or may not have been started"
	}
	var why []string
	if e.Deadline != nil {
		why = append(why, "people may answer until "+e.Deadline.UTC().Format(time.RFC3339))
	}
	if e.stopped != nil {
		why = append(why, e.stopped.Error())
	}
	if e.trouble != nil {
		why = append(why, "the last answer was: "+e.trouble.Error())
	}
	return sentence(e.Tool, e.ID, verb, strings.Join(why, "; "))
}

// Is matches ErrPending.
func (e *PendingError) Is(target error) bool { return target == ErrPending }

// Unwrap returns why the waiting ended: the context's error, or ErrClosed.
func (e *PendingError) Unwrap() error { return e.stopped }

// GoneError is a call that will never have an outcome, because somebody ended or deleted its
// workflow in Temporal. Its tool may have run: the record (pawl show ID) says whether it was
// permitted to. It matches ErrGone.
type GoneError struct {
	ID  string
	How string // what became of its workflow
}

func (e *GoneError) Error() string {
	return sentence("", e.ID, "has no outcome", "its workflow "+e.How+
		"; its tool may have run, so look at the record before you ask for it again")
}

// Is matches ErrGone.
func (e *GoneError) Is(target error) bool { return target == ErrGone }

// PublishError is a guarded function that is not in the catalogue, so none of its calls was
// started. Reason says why it was refused, or that no Pawl worker is there to take it: then the
// agent goes on trying, and a later call succeeds once there is one. It is empty where there was no
// answer before the context ended (Unwrap returns its error).
type PublishError struct {
	Tool    string
	Reason  string
	cause   error // the context's, or errNoWorker
	trouble error // Temporal's last one
}

func (e *PublishError) Error() string {
	msg := "tool " + approval.Display(e.Tool, 80) + " is not in the catalogue, so no call of it was started: "
	switch {
	case e.Reason != "":
		return msg + approval.Display(e.Reason, 500)
	case e.trouble != nil:
		trouble := approval.Display(e.trouble.Error(), 500)
		return fmt.Sprintf("%s%v; the last answer was: %s", msg, e.cause, trouble)
	}
	return fmt.Sprintf("%s%v; does a Pawl worker run?", msg, e.cause)
}

// Unwrap returns the context's error, if it ended the waiting.
func (e *PublishError) Unwrap() error { return e.cause }

func unpublished(tool, reason string, cause, trouble error) error {
	return &PublishError{Tool: tool, Reason: reason, cause: cause, trouble: trouble}
}

// sentence is one line; texts of others in it are made safe to show.
func sentence(tool, id, verb, why string) string {
	what := "the call"
	if tool != "" {
		what = approval.Display(tool, 80)
	}
	msg := fmt.Sprintf("%s %s (call %s)", what, verb, approval.Display(id, 80))
	if why != "" {
		msg += ": " + approval.Display(why, 1000)
	}
	return msg
}

// outcomeError turns the end of a call into an error, or nil if it was executed.
func outcomeError(o approval.Outcome, cause error) error {
	code, message := "", ""
	if o.Error != nil {
		code, message = o.Error.Code, o.Error.Message
	}
	switch o.Status {
	case approval.StatusExecuted:
		return nil
	case approval.StatusRejected, approval.StatusExpired, approval.StatusBlocked, approval.StatusCancelled:
		return &DeniedError{
			ID: o.ID, Tool: o.Tool, Status: o.Status, Code: code, Reason: message, Decision: o.Decision,
		}
	case approval.StatusFailed:
		return &FailedError{ID: o.ID, Tool: o.Tool, Code: code, Message: message, cause: cause}
	case approval.StatusOutcomeUnknown:
		return &OutcomeUnknownError{
			ID: o.ID, Tool: o.Tool, Code: code, Message: message, Settled: o.Settled, cause: cause,
		}
	}
	// A status that this version does not know is no success.
	return &OutcomeUnknownError{ID: o.ID, Tool: o.Tool, Code: code,
		Message: fmt.Sprintf("the call has the status %q, which is not an ending",
			approval.Display(string(o.Status), 40))}
}

// callError turns what the runtime says of a call into an error of ours.
func callError(id string, err error) error {
	var gone *agent.GoneError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &gone):
		return &GoneError{ID: id, How: gone.How}
	case errors.Is(err, calls.ErrUnknown):
		return fmt.Errorf("%w: %s", ErrUnknownCall, approval.Display(id, 80))
	case errors.Is(err, calls.ErrConflict):
		return fmt.Errorf("%w: repeat call %s exactly to continue it, or use another key",
			ErrConflict, approval.Display(id, 80))
	case errors.Is(err, calls.ErrEnded):
		return fmt.Errorf("%w: %s", ErrEnded, approval.Display(id, 80))
	}
	return fmt.Errorf("call %s: %w", approval.Display(id, 80), err)
}
