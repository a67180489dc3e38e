package approval

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status is how far a call has come. See Status.Ended for the final ones.
type Status string

const (
	StatusEvaluating Status = "evaluating" // the policy has not answered yet
	StatusPending    Status = "pending"    // waits for people
	StatusApproved   Status = "approved"   // people said yes; the permit is not taken yet
	StatusExecuting  Status = "executing"  // claimed: the tool may be running

	StatusExecuted       Status = "executed"        // the tool ran and answered
	StatusRejected       Status = "rejected"        // a person said no
	StatusExpired        Status = "expired"         // nobody said yes in time, or the yes ran out
	StatusBlocked        Status = "blocked"         // refused before any person was asked
	StatusFailed         Status = "failed"          // the tool certainly did not run, or said so itself
	StatusOutcomeUnknown Status = "outcome_unknown" // the tool may have run; a person must find out
	StatusCancelled      Status = "cancelled"       // withdrawn before the claim
)

// Statuses lists every status in the order of a call's life.
var Statuses = []Status{
	StatusEvaluating, StatusPending, StatusApproved, StatusExecuting,
	StatusExecuted, StatusRejected, StatusExpired, StatusBlocked,
	StatusFailed, StatusOutcomeUnknown, StatusCancelled,
}

// Ended reports whether the status is final.
func (s Status) Ended() bool {
	return s.NeedsPermit() || s.Denied()
}

// NeedsPermit reports whether a call may end this way only after its permit was taken: the tool
// ran, or may have.
func (s Status) NeedsPermit() bool {
	return s == StatusExecuted || s == StatusFailed || s == StatusOutcomeUnknown
}

// Denied reports whether the call ended without permission to run.
func (s Status) Denied() bool {
	return s == StatusRejected || s == StatusExpired || s == StatusBlocked || s == StatusCancelled
}

// ParseStatus refuses anything that is not a status.
func ParseStatus(s string) (Status, error) {
	if status := Status(s); slices.Contains(Statuses, status) {
		return status, nil
	}
	return "", Errorf(CodeInvalid, "unknown status %q; use one of %s", Display(s, 40), List(Statuses))
}

// List writes words for a sentence, with commas.
func List[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

// Risk is how much harm a call can do. The zero value means "not stated".
type Risk string

const (
	RiskLow      Risk = "low"
	RiskMedium   Risk = "medium"
	RiskHigh     Risk = "high"
	RiskCritical Risk = "critical"
)

// Risks lists the levels, lowest first.
var Risks = []Risk{RiskLow, RiskMedium, RiskHigh, RiskCritical}

// ParseRisk refuses anything that is not a level.
func ParseRisk(s string) (Risk, error) {
	if risk := Risk(s); slices.Contains(Risks, risk) {
		return risk, nil
	}
	return "", Errorf(CodeInvalid, "unknown risk %q; use one of %s", Display(s, 40), List(Risks))
}

// VerdictKind is what the policy says about a call.
type VerdictKind string

const (
	VerdictAllow   VerdictKind = "allow"
	VerdictRequire VerdictKind = "require_approval"
	VerdictDeny    VerdictKind = "deny"
)

// VerdictKinds lists them, the least strict first.
var VerdictKinds = []VerdictKind{VerdictAllow, VerdictRequire, VerdictDeny}

// RedactValues says whether well-known secrets, such as private keys and vendors' tokens, are hidden
// wherever they stand. The zero value hides them, and so does what is not known.
type RedactValues string

const (
	RedactDefault RedactValues = ""
	RedactNone    RedactValues = "none"
)

// On reports whether well-known secrets are hidden.
func (v RedactValues) On() bool { return v != RedactNone }

// And is what two verdicts hide together.
func (v RedactValues) And(other RedactValues) RedactValues {
	if v.On() || other.On() {
		return RedactDefault
	}
	return RedactNone
}

// Verdict is the policy's answer for one call. It is snapshotted: a call keeps the verdict it was
// admitted with, whatever the policy becomes later.
type Verdict struct {
	Kind        VerdictKind  `json:"verdict"`
	Risk        Risk         `json:"risk,omitempty"`
	Requirement *Requirement `json:"requirement,omitempty"` // with VerdictRequire
	Timeout     Duration     `json:"timeout,omitempty"`     // how long to wait for people
	ValidFor    Duration     `json:"valid_for,omitempty"`   // how long an approval may wait for the claim
	Redact      []string     `json:"redact,omitempty"`      // field names hidden at any depth
	// RedactValues says whether well-known secrets are hidden, too.
	RedactValues RedactValues `json:"redact_values,omitempty"`
	Policy       PolicyRef    `json:"policy"`

	// Audited marks a call that a rule lets run on condition that it is recorded as audited.
	Audited bool `json:"audited,omitempty"`

	// Collapse, with VerdictRequire, lets a call that is identical to one that waits for people end at
	// once, as CodeDuplicate, instead of asking again.
	Collapse bool `json:"collapse,omitempty"`

	// Observed is what layers that only observe would have decided. It decides nothing.
	Observed []Observation `json:"observed,omitempty"`
}

// Executor is who runs the tool of a call with this verdict: ExecutionCaller, or empty, a worker. A
// rule goes before what the call says.
func (v Verdict) Executor(c Call) Execution {
	if c.Execution == ExecutionCaller || v.Requirement != nil && v.Requirement.Execution == ExecutionCaller {
		return ExecutionCaller
	}
	return ""
}

// GoodFor is how long an approval of the call is good before its tool is started.
func (v Verdict) GoodFor(e Execution) time.Duration {
	if v.ValidFor <= 0 {
		return e.ValidFor().Std()
	}
	return v.ValidFor.Std()
}

// Observation is what one observing layer would have decided.
type Observation struct {
	Layer string      `json:"layer"`
	Kind  VerdictKind `json:"verdict"`
	Risk  Risk        `json:"risk,omitempty"`
	Rule  string      `json:"rule"`
	Why   string      `json:"why,omitempty"`

	Requirement *Requirement `json:"requirement,omitempty"` // with VerdictRequire
}

// Validate refuses a verdict that no policy may give; callers treat that as a reason to stop, never
// to go on.
func (v Verdict) Validate() error {
	switch v.Kind {
	case VerdictAllow, VerdictDeny:
		return nil
	case VerdictRequire:
		if v.Requirement == nil {
			return fmt.Errorf("verdict requires approval but states no requirement")
		}
		if v.Timeout <= 0 || v.Timeout > MaxTimeout {
			return fmt.Errorf("verdict timeout %v is not in (0, %v]", v.Timeout, MaxTimeout)
		}
		if names := v.Requirement.Unexecuted(); len(names) > 0 {
			return fmt.Errorf("verdict requires what this version of Pawl does not execute: %s",
				strings.Join(names, ", "))
		}
		return v.Requirement.Validate()
	}
	return fmt.Errorf("unknown verdict %q", v.Kind)
}

// PolicyRef names the rule that decided.
type PolicyRef struct {
	Digest string `json:"digest,omitempty"` // of the whole policy set
	Layer  string `json:"layer,omitempty"`
	Rule   string `json:"rule,omitempty"` // where people find it: file:line and what it matches
	Why    string `json:"why,omitempty"`  // what the rule alone does not tell; it quotes nothing of the call
}
