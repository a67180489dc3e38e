package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

const (
	firstStart, otherStart = "start-of-the-first-one", "start-of-another-one"

	bashDoc = `{"tool":"bash","args":{"command":"ls","secret":"hunter2"},"execution":"caller","nonce":"n"}`
	freeDoc = `{"tool":"free","args":{"command":"ls"},"execution":"caller","nonce":"n"}`
)

// callers is a harness with tools that their callers run: free, which the policy allows, and bash.
func callers(t *testing.T) *harness {
	h := setup(t)
	h.acts.Policy = policyOf(t, `
rules:
  - {tool: free, auto_approve: true}
  - {tool: bash, require_approval: true, timeout: 60s, redact_fields: [secret]}
  - {tool: send, require_approval: true, execution: caller, timeout: 60s}
`)
	return h
}

// start uses the permit as the API does.
func (h *harness) start(doc, id string) (store.Record, error) {
	h.t.Helper()
	call, err := approval.ParseCall([]byte(doc))
	if err != nil {
		h.t.Fatal(err)
	}
	return h.callers().StartCaller(context.Background(), "call-1", call, approval.HashStartID(id), caller)
}

func (h *harness) callers() activities.CallerAPI { return activities.CallerAPI{Steps: h.acts} }

func (h *harness) mustStart(doc, id string, want error) {
	h.t.Helper()
	if _, err := h.start(doc, id); !is(err, want) {
		h.t.Errorf("start by %s: %v, want %v", id, err, want)
	}
}

func is(err, want error) bool {
	return want == nil && err == nil || want != nil && errors.Is(err, want)
}

func large() string { return `"` + strings.Repeat("x", approval.MaxResult) + `"` }

// caller is who starts tools and reports.
var caller = approval.Actor{By: "agent:coder", Via: approval.Via{Channel: "api", Method: "token"}}

func report(id string, status approval.ReportStatus, result string) approval.SentReport {
	return approval.SentReport{Actor: caller, ReportSignal: approval.ReportSignal{
		StartID: id, Status: status, Result: json.RawMessage(result),
	}}
}

func (h *harness) stored() store.Record {
	h.t.Helper()
	r, err := h.store.Call(context.Background(), "call-1")
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func TestCallerRunsAnApprovedTool(t *testing.T) {
	h := callers(t)
	h.after(time.Second, func() {
		h.mustStart(bashDoc, firstStart, store.ErrNoPermit) // people have not answered yet
		h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann"))
	})
	h.after(2*time.Second, func() {
		h.answered("d1", approval.AnswerResolved)
		if v := h.state().View; v.Status != approval.StatusApproved || v.Execution != approval.ExecutionCaller || !v.SchemaUnknown {
			t.Errorf("approved: %+v", v)
		}
		h.mustStart(bashDoc, firstStart, nil)
		h.mustStart(bashDoc, firstStart, nil) // its answer was lost
		h.mustStart(bashDoc, otherStart, store.ErrStarted)
		h.SignalWorkflow(approval.SignalStarted, nil)
	})
	h.after(3*time.Second, func() {
		if v := h.state().View; v.Status != approval.StatusExecuting || v.StartedAt == nil {
			t.Errorf("started: %+v", v)
		}
		h.SignalWorkflow(approval.SignalReport, report(otherStart, approval.ReportFailed, ""))
		h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, `"files of hunter2"`))
	})
	out := h.call(bashDoc)
	h.want(out, approval.StatusExecuted, "", 0)
	if string(out.Result) != `"files of hunter2"` || out.Execution != approval.ExecutionCaller {
		t.Errorf("outcome %+v", out)
	}
	notRefused := slices.DeleteFunc(h.kinds("call-1"), func(k audit.Kind) bool { return k == audit.KindRefused })
	equal(t, notRefused, []audit.Kind{
		audit.KindRequested, audit.KindDecided, audit.KindClaimed, audit.KindStarted, audit.KindReported, audit.KindEnded,
	})
	if len(h.kinds("call-1")) != len(notRefused)+1 {
		t.Errorf("entries %v: the forged report is not among them", h.kinds("call-1"))
	}
}

// What an approval is good for is a day, and starts, withdrawals and silence are told apart by the
// store alone, whatever the workflow was told.
func TestCallerOrders(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(h *harness)
		status approval.Status
		code   string
	}{
		"never started": {func(*harness) {}, approval.StatusExpired, approval.CodeExpired},
		"withdrawn": {func(h *harness) {
			h.after(time.Second, func() { h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{DecisionID: "c1"}) })
			h.after(2*time.Second, func() { h.mustStart(freeDoc, firstStart, nil) }) // ended: it comes back as it is
		}, approval.StatusCancelled, approval.CodeCancelled},
		"withdrawn in Temporal": {func(h *harness) {
			h.after(time.Second, h.CancelWorkflow)
		}, approval.StatusCancelled, approval.CodeCancelled},
		"started, then withdrawn, and not reported": {func(h *harness) {
			h.after(time.Second, func() {
				h.mustStart(freeDoc, firstStart, nil) // the workflow is not told
				h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{DecisionID: "c1"})
			})
			h.after(2*time.Second, func() { h.answered("c1", approval.AnswerAlreadyResolved) })
		}, approval.StatusOutcomeUnknown, approval.CodeNotReported},
		"started without a word, and not reported": {func(h *harness) {
			h.after(time.Second, func() { h.mustStart(freeDoc, firstStart, nil) })
		}, approval.StatusOutcomeUnknown, approval.CodeNotReported},
		"news that are none": {func(h *harness) {
			h.after(time.Second, func() { h.SignalWorkflow(approval.SignalStarted, nil) })
			h.after(2*time.Second, func() {
				if s := h.state().Status; s != approval.StatusApproved {
					h.t.Errorf("it is %s", s)
				}
			})
		}, approval.StatusExpired, approval.CodeExpired},
		"a forged report": {func(h *harness) {
			h.after(time.Second, func() {
				h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, "1"))
			})
		}, approval.StatusExpired, approval.CodeExpired},
		"a report that can't be read": {func(h *harness) {
			h.after(time.Second, func() {
				h.mustStart(freeDoc, firstStart, nil)
				h.SignalWorkflow(approval.SignalReport, "nonsense")
				h.SignalWorkflow(approval.SignalReport, report(firstStart, "done", ""))
				h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportUnknown, ""))
			})
		}, approval.StatusOutcomeUnknown, approval.CodeUnknown},
		"not run": {func(h *harness) {
			h.after(time.Second, func() {
				h.mustStart(freeDoc, firstStart, nil)
				h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportNotRun, ""))
			})
		}, approval.StatusFailed, approval.CodeNotRun},
		"a report and a withdrawal": {func(h *harness) {
			h.after(time.Second, func() {
				h.mustStart(freeDoc, firstStart, nil)
				h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{DecisionID: "c1"})
				h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportFailed, ""))
			})
		}, approval.StatusFailed, approval.CodeToolFailed},
	} {
		t.Run(name, func(t *testing.T) {
			h := callers(t)
			c.do(h)
			h.want(h.call(freeDoc), c.status, c.code, 0)
			if r := h.stored(); r.Permit.Void != (c.status == approval.StatusExpired || c.status == approval.StatusCancelled) {
				t.Errorf("the permit is %+v", r.Permit)
			}
		})
	}
}

// A report that is there with the timer wins, and one that comes later is evidence.
func TestLateReportOfACaller(t *testing.T) {
	h := callers(t)
	h.after(time.Second, func() { h.mustStart(freeDoc, firstStart, nil) })
	h.want(h.call(freeDoc), approval.StatusOutcomeUnknown, approval.CodeNotReported, 0)
	call, err := approval.ParseCall([]byte(freeDoc))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.callers().ReportLate(t.Context(), "call-1", call, report(firstStart, approval.ReportExecuted, "1")); err != nil {
			t.Fatal(err)
		}
	}
	r := h.stored()
	if r.View.Status != approval.StatusOutcomeUnknown || r.View.LateReport == nil || r.View.LateReport.Status != approval.StatusExecuted {
		t.Errorf("%+v", r.View)
	}
	h.again("call-1") // a reset
	h.want(h.call(freeDoc), approval.StatusOutcomeUnknown, approval.CodeNotReported, 0)
}

// A run after a reset finds what an earlier one's caller did.
func TestCallerAfterAReset(t *testing.T) {
	h := callers(t)
	call, err := approval.ParseCall([]byte(freeDoc))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := call.Digest("call-1")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	_, err = h.activities().ExecuteActivity(h.acts.Admit, activities.AdmitInput{
		ID: "call-1", Run: "an earlier run", Call: call, Digest: digest, CreatedAt: now, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.mustStart(freeDoc, firstStart, nil)
	h.again("call-1")
	h.after(time.Second, func() {
		if v := h.state().View; v.Status != approval.StatusExecuting { // nobody has told the workflow
			t.Errorf("it is %s", v.Status)
		}
		h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, "7"))
	})
	h.want(h.call(freeDoc), approval.StatusExecuted, "", 0)
}

func TestCallersExecutionIsJudged(t *testing.T) {
	for name, c := range map[string]struct{ doc, code string }{
		"a worker's tool by the call's word": {`{"tool":"read","args":{"to":"x"},"execution":"caller"}`, approval.CodeExecution},
		"a tool that nobody knows":           {`{"tool":"nobody"}`, approval.CodeUnknownTool},
		"what the worker's schema refuses":   {`{"tool":"send","args":{"nonsense":1}}`, approval.CodeBadArguments},
	} {
		h := callers(t)
		if out := h.call(c.doc); out.Status != approval.StatusBlocked || out.Error.Code != c.code {
			t.Errorf("%s: %+v", name, out)
		}
	}
	h := callers(t)
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann")) })
	const doc = `{"tool":"send","args":{"to":"x"},"nonce":"n"}`
	h.after(2*time.Second, func() {
		h.mustStart(doc, firstStart, nil)
		h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, "1"))
	})
	h.want(h.call(doc), approval.StatusExecuted, "", 0) // by its rule, so no worker ran it
}

// Just before the start the call is judged once more.
func TestStartJudges(t *testing.T) {
	for name, text := range map[string]string{
		"denied":      "deny: [free]",
		"asks people": "rules: [{tool: free, require_approval: true}]",
	} {
		h := callers(t)
		h.after(time.Second, func() {
			h.acts.Policy = policyOf(t, text)
			if r, err := h.start(freeDoc, firstStart); err != nil || r.View.Status != approval.StatusBlocked {
				t.Errorf("%s: %s, %v", name, r.View.Status, err)
			}
			h.SignalWorkflow(approval.SignalStarted, nil)
		})
		h.want(h.call(freeDoc), approval.StatusBlocked, approval.CodePolicyChanged, 0)
	}
}

// Reports that don't count are on record under their own numbers, however many come before the first is
// judged.
func TestRefusedReportsKeepTheirNumbers(t *testing.T) {
	for name, c := range map[string]struct {
		starts []string // of the reports, all sent at once; firstStart is the caller's
		want   []string
	}{
		"a forged one before it":  {[]string{otherStart, firstStart}, []string{"report/1"}},
		"two before it":           {[]string{otherStart, otherStart, firstStart}, []string{"report/1", "report/2"}},
		"one that can't be read":  {[]string{"short", otherStart, firstStart}, []string{"report/1", "report/2"}},
		"a forged one afterwards": {[]string{firstStart, otherStart}, []string{"report/2"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := callers(t)
			h.after(time.Second, func() {
				h.mustStart(freeDoc, firstStart, nil)
				for _, start := range c.starts {
					h.SignalWorkflow(approval.SignalReport, report(start, approval.ReportExecuted, "1"))
				}
			})
			h.want(h.call(freeDoc), approval.StatusExecuted, "", 0)
			var got []string
			page, err := h.store.Entries(t.Context(), store.EntryQuery{Subject: "call-1", Kind: audit.KindRefused})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Items {
				if p, err := audit.ReadPayload(e.Kind, e.Payload); err != nil {
					t.Fatal(err)
				} else if r, ok := p.(audit.Refused); ok {
					for _, d := range r.Refused {
						got = append(got, d.DecisionID)
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("refused are %v, want %v", got, c.want)
			}
		})
	}
}

// Whoever schedules the steps by hand gets no further than the caller's own word.
func TestHostileCallerSteps(t *testing.T) {
	h := callers(t)
	call, err := approval.ParseCall([]byte(freeDoc))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := call.Digest("call-1")
	if err != nil {
		t.Fatal(err)
	}
	h.after(time.Second, func() {
		h.mustStart(freeDoc, firstStart, nil)
		env := h.activities()
		other := call
		other.Args = json.RawMessage(`{"command":"rm"}`)
		for name, in := range map[string]activities.ReportInput{
			"another start":    {ID: "call-1", Digest: digest, Call: call, Report: report(otherStart, approval.ReportExecuted, "1")},
			"another call":     {ID: "call-1", Digest: digest, Call: other, Report: report(firstStart, approval.ReportExecuted, "1")},
			"another digest":   {ID: "call-1", Digest: "d", Call: call, Report: report(firstStart, approval.ReportExecuted, "1")},
			"an unknown call":  {ID: "call-2", Digest: digest, Call: call, Report: report(firstStart, approval.ReportExecuted, "1")},
			"an unknown word":  {ID: "call-1", Digest: digest, Call: call, Report: report(firstStart, "cancelled", "")},
			"no start at all":  {ID: "call-1", Digest: digest, Call: call, Report: report("", approval.ReportExecuted, "1")},
			"too large by far": {ID: "call-1", Digest: digest, Call: call, Report: report(firstStart, approval.ReportExecuted, large())},
		} {
			v, err := env.ExecuteActivity(h.acts.Report, in)
			var res activities.ReportResult
			if err == nil {
				err = v.Get(&res)
			}
			if err == nil && res.Refused == "" || res.Kept || res.Outcome != nil {
				t.Errorf("%s: %+v, %v", name, res, err)
			}
		}
		for _, status := range []approval.Status{approval.StatusExecuted, approval.StatusCancelled, approval.StatusExpired, approval.StatusFailed} {
			v, err := env.ExecuteActivity(h.acts.CallerState, activities.CallerInput{
				ID: "call-1", Digest: digest, Call: call, End: &approval.Outcome{Status: status},
			})
			var res activities.CallerResult
			if err == nil {
				err = v.Get(&res)
			}
			if res.Outcome != nil || err == nil && res.StartedAt.IsZero() {
				t.Errorf("ended %s: %+v, %v", status, res, err)
			}
		}
		h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, "1"))
	})
	h.want(h.call(freeDoc), approval.StatusExecuted, "", 0)
}
