package crosscheck

import (
	"bytes"
	"encoding/json"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/strictjson"
)

// outcomes compares how the call ended.
func (x *comparison) outcomes() {
	v := x.record.View
	if !v.Status.Ended() {
		x.add(Outcome, "its workflow ended %s, and it is %s in the store", x.before.outcome.Status, v.Status)
		return
	}
	if v.ErasedAt != nil {
		if v.Status != x.before.outcome.Status {
			x.add(Outcome, "its workflow ended %s, and it ended %s in the store", x.before.outcome.Status, v.Status)
		}
	} else {
		x.outcome("the store", v.Outcome())
	}
	switch ended := x.log.ended; {
	case ended != nil:
		x.outcome("the audit log", *ended)
	case !x.log.erased:
		x.add(Outcome, "its workflow ended %s, and the audit log has no entry about its end",
			x.before.outcome.Status)
	}
	x.settled()
}

// settled looks for the decision that settled the call among those that are on record.
func (x *comparison) settled() {
	d := x.before.outcome.Decision
	if d == nil || x.log.erased || d.Kind != approval.FinalApprove && d.Kind != approval.FinalReject {
		return
	}
	for _, on := range x.log.decided {
		if approval.FinalKind(on.Kind) == d.Kind && on.Reviewer == d.By {
			return
		}
	}
	x.add(Decision, "%s by %s settled it, and the audit log has no entry about that", d.Kind,
		approval.Display(d.By, 80))
}

// outcome compares an end with that of the workflow, which may hold what is hidden elsewhere.
func (x *comparison) outcome(where string, have approval.Outcome) {
	raw := *x.before.outcome
	if raw.Decision != nil && have.Decision != nil && have.Decision.Method == "" {
		known := *raw.Decision // a worker of before keeps no method
		known.Method, raw.Decision = "", &known
	}
	hidden := x.hidden(raw)
	differs := func(what string, have, raw, hidden any) {
		x.add(Outcome, "%s: %s is %s, and %s by its workflow", where, what, shown(have), shown(hidden))
	}
	if have.Status != raw.Status {
		differs("the end", have.Status, raw.Status, hidden.Status)
		return
	}
	if have.Tool != raw.Tool {
		differs("the tool", have.Tool, raw.Tool, hidden.Tool)
	}
	if !same(have.Decision, raw.Decision) && !same(have.Decision, hidden.Decision) {
		differs("the decision", have.Decision, raw.Decision, hidden.Decision)
	}
	if x.before.reset {
		return // an earlier run may have told more of the same end
	}
	// What the policy of that time hid beyond the call's own verdict, in what a caller reported, is
	// not known any more.
	vague := have.Execution == approval.ExecutionCaller
	if !same(have.Error, raw.Error) && !same(have.Error, hidden.Error) &&
		!(vague && have.Error != nil && raw.Error != nil && have.Error.Code == raw.Error.Code &&
			redact.Marked(have.Error.Message)) {
		differs("the error", have.Error, raw.Error, hidden.Error)
	}
	if !sameResult(have.Result, raw.Result) && !sameResult(have.Result, hidden.Result) &&
		!(vague && redact.Marked(string(have.Result))) {
		differs("the result", have.Result, raw.Result, hidden.Result)
	}
}

// hidden is the workflow's outcome as the store keeps it, by the call's verdict.
func (x *comparison) hidden(o approval.Outcome) approval.Outcome {
	call, verdict := x.before.call, x.record.Verdict
	if x.before.admission != nil {
		verdict = x.before.admission.Verdict
	}
	r := redact.New(verdict.Redact, verdict.RedactValues)
	r.Args(call.Args)
	r.Labels(call.Labels)
	o.Result = r.JSON(o.Result)
	if d := o.Decision; d != nil {
		c := *d
		c.Notes = r.Text(c.Notes)
		o.Decision = &c
	}
	if o.Error != nil {
		o.Error = &approval.CallError{Code: o.Error.Code, Message: r.Text(o.Error.Message)}
	}
	return o
}

// sameResult compares results. One that has no canonical form is text in the log.
func sameResult(a, b json.RawMessage) bool {
	none := func(r json.RawMessage) bool { return len(r) == 0 || string(r) == "null" }
	if none(a) || none(b) {
		return none(a) && none(b)
	}
	if bytes.Equal(a, b) || same([]json.RawMessage{a}, []json.RawMessage{b}) {
		return true
	}
	return bytes.Equal(a, text(b))
}

// shown is a value for people, cut.
func shown(v any) string {
	doc, err := strictjson.Canonical(v)
	if err != nil {
		return "something that is no JSON"
	}
	return approval.Display(string(doc), 200)
}
