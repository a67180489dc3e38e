package pawltest

import (
	"encoding/json"
	"fmt"

	"github.com/pawlhq/pawl/approval"
)

// Answer is what becomes of a call. Make one with the functions below.
type Answer struct {
	kind   approval.SettlementKind // empty: hold
	status approval.Status         // how it ends; empty: the tool runs
	code   string
	reason string
	by     string
	result any
	given  bool // the result is, and no function runs
}

// Allow lets the call run at once, as a policy does that allows it.
func Allow() Answer { return Answer{kind: approval.SettledAllow} }

// Approve lets the call run, as a reviewer of that name does.
func Approve(by string) Answer { return Answer{kind: approval.SettledApprove, by: by} }

// Reject refuses the call, as a reviewer of that name does.
func Reject(by, notes string) Answer {
	reason := by + " rejected the call"
	if notes != "" {
		reason += ": " + notes
	}
	return Answer{
		kind: approval.SettledReject, status: approval.StatusRejected, code: approval.CodeRejected,
		reason: reason, by: by,
	}
}

// Expire ends the call as one that nobody answered in time.
func Expire() Answer {
	return Answer{
		kind: approval.SettledExpire, status: approval.StatusExpired, code: approval.CodeExpired,
		reason: "nobody approved the call before its deadline",
	}
}

// Block refuses the call, as a policy does that denies it.
func Block(reason string) Answer {
	return Answer{
		kind: approval.SettledDeny, status: approval.StatusBlocked, code: approval.CodePolicyDenied, reason: reason,
	}
}

// Lose ends the call as one whose worker was lost while the tool ran: nobody knows whether it did.
// The function does not run.
func Lose() Answer {
	return Answer{
		kind: approval.SettledAllow, status: approval.StatusOutcomeUnknown, code: approval.CodeUnknown,
		reason: "the worker was lost while the tool ran; look at the tool's own records",
	}
}

// Return ends the call as executed, with a result of the test's: for tools that the agent calls and
// somebody else runs. The result must marshal to JSON.
func Return(result any) Answer {
	return Answer{kind: approval.SettledAllow, status: approval.StatusExecuted, result: result, given: true}
}

// Hold leaves the call waiting, until Fake.Answer says more.
func Hold() Answer { return Answer{} }

// outcome is how a call ends that no function runs for.
func (a Answer) outcome() (approval.Outcome, error) {
	o := approval.Outcome{Status: a.status}
	if a.given {
		doc, err := json.Marshal(a.result)
		if err != nil {
			return o, fmt.Errorf("the result of Return is not JSON: %w", err)
		}
		o.Result = doc
		return o, nil
	}
	o.Error = &approval.CallError{Code: a.code, Message: a.reason}
	return o, nil
}
