package activities_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
)

const (
	bashRuns = "rules: [{tool: bash, auto_approve: true}]"
	startID  = "0123456789abcdef"
)

// said reads what the entry of a step says of a call; nil: there is none.
func (b *bench) said(id, step string) audit.Payload {
	b.t.Helper()
	page, err := b.store.Entries(b.t.Context(), store.EntryQuery{Subject: id})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range page.Items {
		if e.Step == step {
			p, err := audit.ReadPayload(e.Kind, e.Payload)
			if err != nil {
				b.t.Fatal(err)
			}
			return p
		}
	}
	return nil
}

// isActive reports whether a reference is to the policy that is active now, and to a rule of it.
func (b *bench) isActive(p *approval.PolicyRef) bool {
	b.t.Helper()
	v, err := active.Version(b.t.Context(), b.store)
	if err != nil {
		b.t.Fatal(err)
	}
	return p != nil && p.Digest == v.Digest && p.Rule != ""
}

// The record says which policy forbade a call after its admission, also where the workflow, which ends it,
// does not know.
func TestRecordSaysWhichPolicyForbade(t *testing.T) {
	for name, tc := range map[string]struct {
		admitted, later string
		claims          bool // it is forbidden at its claim, else when its tool is to run
	}{
		"at its claim":              {askOne, never, true},
		"allowed, then never":       {allow, never, false},
		"allowed, then asked":       {allow, askOne, false},
		"approved, and then never":  {askOne, never, false},
		"never, after another word": {allow, never + "\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.follow(tc.admitted)
			b.admit()
			if tc.admitted == askOne && !tc.claims {
				if res, err := b.judgeAndClaim(nil); err != nil || res.Outcome != nil {
					t.Fatalf("%+v, %v", res, err)
				}
			}
			b.apply(tc.later)
			if tc.claims {
				if res, err := b.judgeAndClaim(nil); err != nil || res.Outcome == nil {
					t.Fatalf("%+v, %v", res, err)
				}
			} else if err := b.execute(nil); code(err) != approval.CodePolicyChanged {
				t.Fatal(err)
			}
			end, _ := b.said("c1", "end").(audit.Ended)
			if !b.isActive(end.Policy) || end.Outcome.Error.Code != approval.CodePolicyChanged {
				t.Errorf("the entry says %+v, by %+v", end.Outcome, end.Policy)
			}
			if tc.claims {
				return
			}
			kept := b.record().View.Outcome()
			v, err := b.ExecuteActivity(b.acts.Record, activities.RecordInput{
				ID: "c1", Run: "r1", Call: b.call(), At: time.Now().UTC(), Outcome: approval.Outcome{
					Status: approval.StatusBlocked, Digest: b.digest(), Decision: kept.Decision,
					Error: &approval.CallError{Code: approval.CodePolicyChanged, Message: "as the workflow was told"},
				},
			})
			var res activities.RecordResult
			if err == nil {
				err = v.Get(&res)
			}
			if err != nil || res.Outcome == nil || res.Outcome.Status != approval.StatusBlocked || res.Outcome.Error.Message != kept.Error.Message {
				t.Errorf("the workflow is told %+v, %v", res.Outcome, err)
			}
		})
	}
}

// Somebody who schedules the tool of another call by a call's ID, or before its approval, ends nothing.
func TestForgedExecutionsEndNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		policy string
		change func(*activities.ExecuteInput)
	}{
		"another call": {`rules: [{tool: pay, when: "args.amount > 5", deny: true}, {tool: pay, auto_approve: true}]`,
			func(in *activities.ExecuteInput) {
				in.Call.Args = json.RawMessage(`{"amount":7}`)
				in.Digest, _ = in.Call.Digest(in.ID)
			}},
		"before its approval": {never, nil},
	} {
		b := setup(t)
		first := tc.policy
		if tc.policy == never {
			first = askOne
		}
		b.follow(first)
		b.admit()
		b.apply(tc.policy)
		if err := b.execute(tc.change); code(err) != approval.CodePolicyChanged {
			t.Errorf("%s: %v", name, err)
		}
		if r := b.record(); r.View.Status.Ended() || r.Permit != nil && r.Permit.Void {
			t.Errorf("%s: the call is %s, its permit %+v", name, r.View.Status, r.Permit)
		}
	}
}

// The entry of a start says by which policy it was judged last, unless that is the one of its admission.
func TestRecordSaysWhichPolicyLetItStart(t *testing.T) {
	for name, tc := range map[string]struct {
		admitted, later string
		said            bool
	}{
		"allowed": {allow, "", false}, "allowed, then by another": {allow, allow + "\n", true},
		"approved": {askOne, "", true}, "approved, then allowed": {askOne, allow, true},
	} {
		for _, execution := range []approval.Execution{"", approval.ExecutionCaller} {
			t.Run(name+" "+string(execution), func(t *testing.T) {
				b := setup(t)
				policies := map[string]string{allow: allow, askOne: askOne, allow + "\n": allow + "\n"}
				if execution != "" {
					policies = map[string]string{
						allow: bashRuns, askOne: "rules: [{tool: bash, require_approval: true}]", allow + "\n": bashRuns + "\n",
					}
				}
				b.follow(policies[tc.admitted])
				call, bot := b.call(), approval.Actor{By: "bot", Via: approval.Via{Channel: "api", Method: "token"}}
				if execution != "" {
					call.Tool, call.Execution = "bash", execution
				}
				digest := b.admitCall("c1", call).View.Digest
				if tc.admitted == askOne {
					res, err := b.judgeAndClaim(func(in *activities.ClaimInput) { in.Call, in.Digest = call, digest })
					if err != nil || res.Outcome != nil || res.Requirement != nil {
						t.Fatalf("%+v, %v", res, err)
					}
				}
				if tc.later != "" {
					b.apply(policies[tc.later])
				}
				var err error
				if execution == "" {
					err = b.execute(nil)
				} else {
					_, err = activities.CallerAPI{Steps: b.acts}.StartCaller(t.Context(), "c1", call, approval.HashStartID(startID), bot)
				}
				if err != nil {
					t.Fatal(err)
				}
				start, _ := b.said("c1", "start").(audit.Started)
				if (start.Policy != nil) != tc.said || tc.said && !b.isActive(start.Policy) {
					t.Errorf("the entry says %+v", start.Policy)
				}
				if want := (approval.Actor{}); execution == "" && start.Actor != want || execution != "" && start.Actor != bot {
					t.Errorf("the entry says it was started by %+v", start.Actor)
				}
			})
		}
	}
}

// A caller's start that the policy forbids by now says by which.
func TestRecordSaysWhichPolicyForbadeAStart(t *testing.T) {
	b := setup(t)
	b.follow(bashRuns)
	call := approval.Call{Tool: "bash", Args: json.RawMessage(`{}`), Nonce: "n", Execution: approval.ExecutionCaller, Requester: "bot"}
	b.admitCall("c1", call)
	b.apply("rules: [{tool: bash, deny: true}]")
	r, err := activities.CallerAPI{Steps: b.acts}.StartCaller(t.Context(), "c1", call, approval.HashStartID(startID), approval.Actor{By: "bot"})
	if end, _ := b.said("c1", "end").(audit.Ended); err != nil || r.View.Status != approval.StatusBlocked || !b.isActive(end.Policy) {
		t.Errorf("%s, by %+v, %v", r.View.Status, end.Policy, err)
	}
}

// Who reported is on record, if it is who asked for the call: nobody else's name is taken from a signal.
func TestRecordSaysWhoReported(t *testing.T) {
	known := approval.Via{Channel: "api", Method: "token"}
	for name, tc := range map[string]struct{ said, want approval.Actor }{
		"who asked":     {approval.Actor{By: "bot", Via: known}, approval.Actor{By: "bot", Via: known}},
		"somebody else": {approval.Actor{By: "ana", Via: known}, approval.Actor{}},
		"nobody":        {approval.Actor{}, approval.Actor{}},
		"nonsense":      {approval.Actor{By: "bot", Via: approval.Via{Channel: "\x1b[2J"}}, approval.Actor{}},
	} {
		for _, late := range []bool{false, true} {
			b := setup(t)
			b.follow(bashRuns)
			call := approval.Call{Tool: "bash", Args: json.RawMessage(`{}`), Nonce: "n", Execution: approval.ExecutionCaller, Requester: "bot"}
			digest := b.admitCall("c1", call).View.Digest
			api := activities.CallerAPI{Steps: b.acts}
			if _, err := api.StartCaller(t.Context(), "c1", call, approval.HashStartID(startID), approval.Actor{By: "bot"}); err != nil {
				t.Fatal(err)
			}
			report := approval.SentReport{ReportSignal: approval.ReportSignal{StartID: startID, Status: approval.ReportExecuted}, Actor: tc.said}
			in := activities.ReportInput{ID: "c1", Run: "r1", Digest: digest, Call: call, Report: report}
			if late {
				in.Report.Status, in.Report.Actor = approval.ReportFailed, approval.Actor{}
			}
			_, err := b.ExecuteActivity(b.acts.Report, in)
			step := "report"
			if err == nil && late {
				step, err = "late report", api.ReportLate(t.Context(), "c1", call, report)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := b.said("c1", step).(audit.Reported); got.Actor != tc.want || got.Status != approval.StatusExecuted {
				t.Errorf("%s, late %t: %+v", name, late, got)
			}
		}
	}
}
