package workflows_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// around is a store that lets something happen once, just before or just after a call ends in it, and
// that loses the answers of the next starts and reports.
type around struct {
	store.Store
	before, after func()
	lose          int  // answers, or writes
	done          bool // what is lost was written
}

func (a *around) Finish(ctx context.Context, f store.FinishParams) (store.Record, bool, error) {
	before, after := a.before, a.after
	a.before, a.after = nil, nil
	if before != nil {
		before()
	}
	r, fresh, err := a.Store.Finish(ctx, f)
	if after != nil {
		after()
	}
	return r, fresh, err
}

func (a *around) loses() bool { a.lose--; return a.lose >= 0 }

func (a *around) Start(ctx context.Context, p store.StartParams) (r store.Record, fresh bool, err error) {
	lost := a.loses()
	if !lost || a.done {
		r, fresh, err = a.Store.Start(ctx, p)
	}
	if lost {
		return store.Record{}, false, errAway
	}
	return r, fresh, err
}

func (a *around) Report(ctx context.Context, p store.ReportParams) (r store.Record, fresh bool, err error) {
	lost := a.loses()
	if !lost || a.done {
		r, fresh, err = a.Store.Report(ctx, p)
	}
	if lost {
		return store.Record{}, false, errAway
	}
	return r, fresh, err
}

// A start and an end of the call come at one moment: by the approval that runs out, or a withdrawal.
// Which of them the store sees first is what holds.
func TestStartMeetsTheEnd(t *testing.T) {
	withdraw := func(h *harness) { h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{DecisionID: "c1"}) }
	for name, c := range map[string]struct {
		ends   func(h *harness) // nil: the approval runs out
		status approval.Status
	}{
		"runs out":              {nil, approval.StatusExpired},
		"withdrawn":             {withdraw, approval.StatusCancelled},
		"withdrawn in Temporal": {func(h *harness) { h.CancelWorkflow() }, approval.StatusCancelled},
	} {
		for order, startFirst := range map[string]bool{"start first": true, "end first": false} {
			t.Run(name+", "+order, func(t *testing.T) {
				h := callers(t)
				start := func() {
					r, err := h.start(freeDoc, firstStart)
					if err != nil || (r.View.Status == approval.StatusExecuting) != startFirst {
						t.Errorf("the start: %s, %v", r.View.Status, err)
					}
				}
				meets := &around{Store: h.store, after: start}
				if startFirst {
					meets.before, meets.after = start, nil
				}
				h.acts.Store = meets
				if c.ends != nil {
					h.after(time.Second, func() { c.ends(h) })
				}
				out := h.call(freeDoc)
				r := h.stored()
				if !startFirst {
					h.want(out, c.status, codeFor(c.status), 0)
					if !r.Permit.Void || !r.Permit.UsedAt.IsZero() {
						t.Errorf("the permit is %+v", r.Permit)
					}
					return
				}
				h.want(out, approval.StatusOutcomeUnknown, approval.CodeNotReported, 0)
				if r.Permit.Void || r.Permit.UsedAt.IsZero() {
					t.Errorf("the permit is %+v", r.Permit)
				}
				if name == "withdrawn" {
					h.answered("c1", approval.AnswerAlreadyResolved)
				}
			})
		}
	}
}

func codeFor(s approval.Status) string {
	if s == approval.StatusExpired {
		return approval.CodeExpired
	}
	return approval.CodeCancelled
}

const briefDoc = `{"tool":"free","args":{"command":"ls"},"execution":"caller","nonce":"n","report_within":"20s"}`

// A report comes at the very moment at which it is due. One that is there wins over the timer; one that
// comes when the silence is on record is evidence.
func TestReportMeetsItsTimer(t *testing.T) {
	reports := func(h *harness) {
		h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, "7"))
	}
	started := func(h *harness) {
		h.after(time.Second, func() {
			h.mustStart(briefDoc, firstStart, nil)
			h.SignalWorkflow(approval.SignalStarted, nil)
		})
	}
	// due lets f happen when the timer fires: before the workflow sees it.
	due := func(h *harness, f func()) {
		h.after(2*time.Second, func() {
			h.after(h.state().StartedAt.Add(20*time.Second).Sub(h.Now()), f)
		})
	}
	t.Run("there with the timer", func(t *testing.T) {
		h := callers(t)
		started(h)
		due(h, func() { reports(h) })
		out := h.call(briefDoc)
		// Either may be first in the environment of tests: but never both, and nothing is lost.
		if h.stored().View.Report != nil {
			h.want(out, approval.StatusExecuted, "", 0)
			return
		}
		h.want(out, approval.StatusOutcomeUnknown, approval.CodeNotReported, 0)
		if !h.refusedIt("report/1") {
			t.Error("that the report came too late is not on record")
		}
	})
	for name, before := range map[string]bool{
		"before the silence is on record": true, "after the silence is on record": false,
	} {
		t.Run(name, func(t *testing.T) {
			h := callers(t)
			started(h)
			meets := &around{Store: h.store}
			if before {
				meets.before = func() { reports(h) }
			} else {
				meets.after = func() { reports(h) }
			}
			h.acts.Store = meets
			h.want(h.call(briefDoc), approval.StatusOutcomeUnknown, approval.CodeNotReported, 0)
			if !h.refusedIt("report/1") {
				t.Error("that the report came too late is not on record")
			}
			h.late(briefDoc, firstStart)
			if r := h.stored(); r.View.Report != nil || r.View.LateReport == nil {
				t.Errorf("%+v", r.View)
			}
		})
	}
	t.Run("the store has it first", func(t *testing.T) {
		h := callers(t)
		started(h)
		h.acts.Store = &around{Store: h.store, before: func() {
			h.keep(briefDoc, report(firstStart, approval.ReportExecuted, "7"))
		}}
		h.want(h.call(briefDoc), approval.StatusExecuted, "", 0)
	})
}

// late keeps a report as the API does that comes when the call has ended.
func (h *harness) late(doc, start string) {
	h.t.Helper()
	call, err := approval.ParseCall([]byte(doc))
	if err == nil {
		err = h.callers().ReportLate(h.t.Context(), "call-1", call, report(start, approval.ReportExecuted, "7"))
	}
	if err != nil {
		h.t.Error(err)
	}
}

// keep lets the store have a report of which the workflow does not know.
func (h *harness) keep(doc string, s approval.SentReport) activities.ReportResult {
	h.t.Helper()
	call, err := approval.ParseCall([]byte(doc))
	if err != nil {
		h.t.Fatal(err)
	}
	v, err := h.activities().ExecuteActivity(h.acts.Report, activities.ReportInput{
		ID: "call-1", Digest: h.stored().View.Digest, Call: call, Report: s,
	})
	var res activities.ReportResult
	if err == nil {
		err = v.Get(&res)
	}
	if err != nil {
		h.t.Error(err)
	}
	return res
}

// The answers of starts and reports get lost, or the store is away for them. Whoever asks again gets
// what is so, and nobody else.
func TestLostAnswersOfCallers(t *testing.T) {
	for name, written := range map[string]bool{"written": true, "not written": false} {
		t.Run("of a start, "+name, func(t *testing.T) {
			h := callers(t)
			lossy := &around{Store: h.store, done: written}
			h.acts.Store = lossy
			h.after(time.Second, func() {
				lossy.lose = 1
				h.mustStart(freeDoc, firstStart, errAway)
				h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{DecisionID: "c1"})
			})
			h.after(2*time.Second, func() {
				if !written { // so it could be withdrawn
					return
				}
				h.mustStart(freeDoc, otherStart, store.ErrStarted)
				h.mustStart(freeDoc, firstStart, nil)
				h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, "7"))
			})
			if out := h.call(freeDoc); written {
				h.want(out, approval.StatusExecuted, "", 0)
				h.answered("c1", approval.AnswerAlreadyResolved)
			} else {
				h.want(out, approval.StatusCancelled, approval.CodeCancelled, 0)
			}
		})
		t.Run("of a report, "+name, func(t *testing.T) {
			h := callers(t)
			lossy := &around{Store: h.store, done: written}
			h.acts.Store = lossy
			h.after(time.Second, func() {
				h.mustStart(freeDoc, firstStart, nil)
				lossy.lose = 3
				h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, "7"))
				h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, "7")) // sent again
				h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportFailed, ""))
			})
			out := h.call(freeDoc)
			h.want(out, approval.StatusExecuted, "", 0)
			if string(out.Result) != "7" {
				t.Errorf("result %s", out.Result)
			}
			n := 0
			for _, kind := range h.kinds("call-1") {
				if kind == audit.KindReported || kind == audit.KindEnded {
					n++
				}
			}
			if n != 2 {
				t.Errorf("entries %v", h.kinds("call-1"))
			}
		})
	}
}

// Two processes of one agent, the first of which dies: before its start, after it, or after its report.
func TestCallersThatDie(t *testing.T) {
	for name, c := range map[string]struct {
		first, second func(h *harness)
		status        approval.Status
		code          string
	}{
		"before the start": {
			func(*harness) {},
			func(h *harness) {
				h.mustStart(freeDoc, otherStart, nil)
				h.SignalWorkflow(approval.SignalReport, report(otherStart, approval.ReportExecuted, "7"))
			},
			approval.StatusExecuted, "",
		},
		"between start and report": {
			func(h *harness) { h.mustStart(freeDoc, firstStart, nil) },
			func(h *harness) {
				h.mustStart(freeDoc, otherStart, store.ErrStarted)
				h.SignalWorkflow(approval.SignalReport, report(otherStart, approval.ReportExecuted, "7"))
			},
			approval.StatusOutcomeUnknown, approval.CodeNotReported,
		},
		"between start and report, and comes back": {
			func(h *harness) { h.mustStart(freeDoc, firstStart, nil) },
			func(h *harness) {
				h.mustStart(freeDoc, otherStart, store.ErrStarted)
				h.mustStart(freeDoc, firstStart, nil)
				h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportUnknown, ""))
			},
			approval.StatusOutcomeUnknown, approval.CodeUnknown,
		},
		"after the report": {
			func(h *harness) {
				h.mustStart(freeDoc, firstStart, nil)
				h.keep(freeDoc, report(firstStart, approval.ReportFailed, "")) // of which the workflow does not hear
			},
			func(h *harness) {
				r, err := h.start(freeDoc, otherStart)
				if err != nil || r.View.Status != approval.StatusFailed {
					h.t.Errorf("%s, %v", r.View.Status, err)
				}
				h.SignalWorkflow(approval.SignalReport, report(otherStart, approval.ReportExecuted, "7"))
			},
			approval.StatusFailed, approval.CodeToolFailed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := callers(t)
			h.after(time.Second, func() { c.first(h) })
			h.after(2*time.Second, func() { c.second(h) })
			h.want(h.call(freeDoc), c.status, c.code, 0)
		})
	}
}

// A result that comes after its own late report, in whatever way, changes nothing.
func TestResultAfterItsLateReport(t *testing.T) {
	h := callers(t)
	h.after(time.Second, func() { h.mustStart(freeDoc, firstStart, nil) })
	h.want(h.call(freeDoc), approval.StatusOutcomeUnknown, approval.CodeNotReported, 0)
	h.late(freeDoc, firstStart)
	before, kinds := h.stored(), h.kinds("call-1")
	for _, s := range []approval.SentReport{
		report(firstStart, approval.ReportExecuted, "7"), report(firstStart, approval.ReportExecuted, "8"),
		report(firstStart, approval.ReportFailed, ""), report(otherStart, approval.ReportExecuted, "7"),
	} {
		if res := h.keep(freeDoc, s); res.Kept || res.Refused == "" && res.Outcome.Status != approval.StatusOutcomeUnknown {
			t.Errorf("%+v: %+v", s, res)
		}
	}
	h.again("call-1") // a reset, to which the report is applied again
	h.after(0, func() {
		h.SignalWorkflow(approval.SignalReport, report(firstStart, approval.ReportExecuted, "7"))
	})
	h.want(h.call(freeDoc), approval.StatusOutcomeUnknown, approval.CodeNotReported, 0)
	after := h.stored()
	if a, b := canonical(t, before.View), canonical(t, after.View); a != b {
		t.Errorf("the call changed:\n%s\n%s", a, b)
	}
	equal(t, slices.DeleteFunc(h.kinds("call-1"), func(k audit.Kind) bool { return k == audit.KindRefused }), kinds)
}

// What is asked of a call's caller by hand, about calls that are no caller's or no more, is refused or
// changes nothing.
func TestHostileCallerStates(t *testing.T) {
	h := callers(t)
	h.after(time.Second, func() { h.mustStart(freeDoc, firstStart, nil) })
	h.want(h.call(freeDoc), approval.StatusOutcomeUnknown, approval.CodeNotReported, 0)
	call, err := approval.ParseCall([]byte(freeDoc))
	if err != nil {
		t.Fatal(err)
	}
	before := h.stored()
	other := call
	other.Args = json.RawMessage(large())
	for name, in := range map[string]activities.CallerInput{
		"ended anew":        {ID: "call-1", Digest: before.View.Digest, Call: call, End: &approval.Outcome{Status: approval.StatusCancelled}},
		"asked again":       {ID: "call-1", Digest: before.View.Digest, Call: call},
		"another digest":    {ID: "call-1", Digest: "d", Call: call},
		"no digest":         {ID: "call-1", Call: call},
		"another call":      {ID: "call-1", Digest: before.View.Digest, Call: other},
		"an unknown call":   {ID: "call-2", Digest: before.View.Digest, Call: call},
		"ended as executed": {ID: "call-1", Digest: before.View.Digest, Call: call, End: &approval.Outcome{Status: approval.StatusExecuted}},
	} {
		v, err := h.activities().ExecuteActivity(h.acts.CallerState, in)
		var res activities.CallerResult
		if err == nil {
			err = v.Get(&res)
		}
		if want := name == "ended anew" || name == "asked again"; want != (err == nil) ||
			want && res.Outcome.Status != approval.StatusOutcomeUnknown {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
	if a, b := canonical(t, before.View), canonical(t, h.stored().View); a != b {
		t.Errorf("the call changed:\n%s\n%s", a, b)
	}
}
