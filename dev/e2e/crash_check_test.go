//go:build unix

package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/api/workflowservice/v1"
	temporalclient "go.temporal.io/sdk/client"
)

// crashLedger is everything that is on record when no call is open any more.
type crashLedger struct {
	records   map[string]store.Record
	byKey     map[string][]approval.View // by the key that a call carries in its arguments
	entries   map[string][]audit.Entry   // by call, in the order written
	histories map[string]crashHistory    // by call, as Temporal tells it
	tally     map[approval.Status]int
}

// check waits until no call is open and holds what Temporal, the store, the
// audit log and the tools say of every call against each other.
func (w *crashWorld) check() crashLedger {
	w.t.Helper()
	reader, done, err := w.open(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := done(); err != nil {
			w.t.Error(err)
		}
	}()
	temporal := w.dialTemporal()
	vault := w.vault(reader)
	var l crashLedger
	var last string
	if !crashPoll(w.t.Context(), crashPatience, func() bool { l, last = w.settled(reader, temporal); return last == "" }) {
		w.t.Fatalf("after %v: %s", crashPatience, last)
	}
	w.countOwn()
	for id, r := range l.records {
		l.tally[r.View.Status]++
		h, err := readCrashHistory(w.t.Context(), temporal, id, vault)
		vault.judge(r.View, h.answers)
		l.histories[id] = h
		for _, err := range []error{
			err, h.agrees(r), h.fits(r), w.checkRuns(r, h), crashCheckEntries(r, l.entries[id], w.tools.ran(id)),
			vault.check(r, h, l.entries[id]),
		} {
			if err != nil {
				w.t.Errorf("call %s (%s, %s): %v\n%s", id, r.View.Tool, r.View.Status, err, crashCase(r, h, l.entries[id], w.tools.ran(id)))
			}
		}
	}
	for id := range l.entries {
		if _, known := l.records[id]; !known && !audit.Reserved(id) {
			w.t.Errorf("audit entries about call %s, which is not in the store", id)
		}
	}
	// Whoever started first applied the policy; nobody did so again.
	if applied := l.entries[audit.SubjectPolicy]; len(applied) != 1 {
		w.t.Errorf("the policy was applied %d times", len(applied))
	}
	for key, calls := range l.byKey {
		if len(calls) > 1 {
			w.t.Errorf("%d calls under the key %s", len(calls), key)
		}
	}
	w.checkTools(l)
	vault.sum()
	return l
}

// settled reads the ledger, or says what is still open, or known to one side
// only. Temporal's lists follow a little later than what they list.
func (w *crashWorld) settled(reader crashStore, temporal temporalclient.Client) (l crashLedger, open string) {
	w.t.Helper()
	page, err := reader.Calls(w.t.Context(), store.CallQuery{Statuses: []approval.Status{
		approval.StatusEvaluating, approval.StatusPending, approval.StatusApproved, approval.StatusExecuting,
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range page.Items {
		return l, fmt.Sprintf("%d calls are open, one is %s, %s", page.Total, v.ID, v.Status)
	}
	running, err := temporal.ListWorkflow(w.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("ExecutionStatus = 'Running' AND WorkflowType != %q", approval.WorkflowStore), PageSize: 1,
	})
	if err != nil {
		return l, fmt.Sprintf("Temporal does not list workflows: %v", err)
	}
	for _, e := range running.GetExecutions() {
		return l, fmt.Sprintf("workflow %s runs", e.GetExecution().GetWorkflowId())
	}
	all, err := temporal.CountWorkflow(w.t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowType = %q", approval.WorkflowType),
	})
	if err != nil {
		return l, fmt.Sprintf("Temporal does not count workflows: %v", err)
	}
	if l = w.read(reader); all.GetCount() != int64(len(l.records)) {
		return l, fmt.Sprintf("%d workflows and %d calls", all.GetCount(), len(l.records))
	}
	return l, ""
}

func (w *crashWorld) read(reader store.Reader) crashLedger {
	w.t.Helper()
	l := crashLedger{
		records: map[string]store.Record{}, byKey: map[string][]approval.View{}, entries: map[string][]audit.Entry{},
		histories: map[string]crashHistory{}, tally: map[approval.Status]int{},
	}
	for cursor := ""; ; {
		page, err := reader.Calls(w.t.Context(), store.CallQuery{Cursor: cursor, Limit: store.MaxPage})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, v := range page.Items {
			if l.records[v.ID], err = reader.Call(w.t.Context(), v.ID); err != nil {
				w.t.Fatal(err)
			}
			if key := crashKey(v.Args); key != "" {
				l.byKey[key] = append(l.byKey[key], v)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for cursor := ""; ; {
		page, err := reader.Entries(w.t.Context(), store.EntryQuery{Cursor: cursor, Limit: store.MaxPage})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range page.Items {
			l.entries[e.Subject] = append(l.entries[e.Subject], e)
		}
		if cursor = page.Next; cursor == "" {
			return l
		}
	}
}

// crashKey is the key that a call carries in its arguments, so that Pawl's
// notion of keys is not what tells calls apart.
func crashKey(args json.RawMessage) string {
	var a struct{ Key string }
	_ = json.Unmarshal(args, &a) // others carry none
	return a.Key
}

// checkTools holds what the tools counted against the record.
func (w *crashWorld) checkTools(l crashLedger) {
	w.t.Helper()
	c := w.tools
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.runs {
		if r, known := l.records[id]; !known || c.digests[id] != r.View.Digest {
			w.t.Errorf("a tool ran for call %s, digest %s; on record is %s", id, c.digests[id], r.View.Digest)
		}
	}
	for key, runs := range c.keys {
		if runs > 1 {
			w.t.Errorf("tools ran %d times under the key %s", runs, key)
		}
	}
	for _, odd := range c.odd {
		w.t.Errorf("a tool was asked by %s", odd)
	}
}

// crashGrace is how long after Temporal's return its own timeouts may still
// strike: it counts the time in which it was away.
const crashGrace = runner.HeartbeatTimeout

// checkRuns holds an ending against the runs that the tool counted. That the
// end of a tool is unknown is fair only where the very process that ran it, or
// Temporal, was cut off in that time.
func (w *crashWorld) checkRuns(r store.Record, h crashHistory) error {
	v, runs := r.View, w.tools.ran(r.View.ID)
	most := 1
	if v.Tool == "repeatable" {
		most = 3 // as often as the workflow lets a repeatable tool try
	}
	cut := false
	for _, x := range h.runs {
		cut = cut || w.cutOff(x.pid, x.started, x.ended)
		w.mu.Lock()
		cut = cut || w.temporal.wasAway(x.started.Add(-crashGrace), x.ended)
		w.mu.Unlock()
	}
	switch {
	case !v.Status.Ended():
		return fmt.Errorf("it has not ended")
	case runs > most:
		return fmt.Errorf("its tool ran %d times", runs)
	case v.Status == approval.StatusExecuted && runs == 0:
		return fmt.Errorf("its tool never ran")
	case (v.Status.Denied() || v.Status == approval.StatusFailed) && runs > 0:
		return fmt.Errorf("its tool ran %d times", runs)
	case v.Status == approval.StatusFailed && !cut:
		return fmt.Errorf("these tools never fail and can always be reached")
	case v.Status == approval.StatusOutcomeUnknown && !cut:
		return fmt.Errorf("neither the worker nor Temporal was cut off while its tool may have run")
	case v.Status == approval.StatusExpired && v.EndedAt.Before(*v.Deadline):
		return fmt.Errorf("it expired before its deadline")
	case v.Status.Denied() && r.Permit != nil && (!r.Permit.Void || !r.Permit.UsedAt.IsZero()):
		return fmt.Errorf("its permit can still be used, or was")
	}
	return nil
}

// crashCheckEntries holds a call's audit entries against its record. A tool of
// ours is on record twice before it runs; one that others run, when it is
// handed to them.
func crashCheckEntries(r store.Record, entries []audit.Entry, runs int) error {
	v, steps, kinds := r.View, map[string]bool{}, map[audit.Kind]int{}
	ours := r.Permit == nil || r.Permit.Queue == ""
	for _, e := range entries {
		if err := e.Check(); err != nil {
			return err
		}
		if steps[e.Step] {
			return fmt.Errorf("the step %s is there twice", e.Step)
		}
		before := kinds[audit.KindEnded] + kinds[audit.KindBlocked]
		switch {
		case len(steps) == 0 && e.Kind != audit.KindRequested && e.Kind != audit.KindBlocked:
			return fmt.Errorf("it begins with %s", e.Kind)
		case e.Kind == audit.KindNotStarted:
			// An attempt that was slept over is refused its permit after the end, by the run that had it.
			var late struct{ Run, Code string }
			if err := json.Unmarshal(e.Payload, &late); err != nil || before == 0 || r.Permit == nil || late.Run != r.Permit.Run || late.Code != approval.CodeNoPermit {
				return fmt.Errorf("%s, not by an attempt of its own that came late: %s (%v)", e.Kind, e.Payload, err)
			}
		case before > 0 && e.Kind != audit.KindRefused:
			return fmt.Errorf("%s after its end", e.Kind)
		case e.Kind == audit.KindStarted && kinds[audit.KindClaimed] == 0:
			return fmt.Errorf("its tool was started without a claim")
		case e.Kind == audit.KindEnded:
			var end struct{ Outcome approval.Outcome }
			if err := json.Unmarshal(e.Payload, &end); err != nil || end.Outcome.Status != v.Status {
				return fmt.Errorf("the log says that it ended %s (%v)", end.Outcome.Status, err)
			}
		}
		steps[e.Step] = true
		kinds[e.Kind]++
	}
	ends, claims, starts := kinds[audit.KindEnded]+kinds[audit.KindBlocked], kinds[audit.KindClaimed], kinds[audit.KindStarted]
	switch {
	case ends != 1:
		return fmt.Errorf("%d ends", ends)
	case v.Status == approval.StatusBlocked != (kinds[audit.KindBlocked] == 1):
		return fmt.Errorf("blocked, or not blocked")
	case claims > 1 || starts > 1:
		return fmt.Errorf("%d claims, %d starts", claims, starts)
	case runs > 0 && (claims == 0 || ours && starts == 0):
		return fmt.Errorf("its tool ran off the record")
	case !ours && (starts > 0 || r.Permit.Queue != approval.AgentQueue(crashAgent) || !strings.HasPrefix(v.Tool, "own")):
		return fmt.Errorf("the tool was handed to %s; %d starts by a worker of ours", r.Permit.Queue, starts)
	case v.Status.NeedsPermit() && claims == 0:
		return fmt.Errorf("no claim")
	case v.Status == approval.StatusExecuted && ours && starts == 0:
		return fmt.Errorf("no start")
	case v.Status.Denied() && starts > 0:
		return fmt.Errorf("its tool was started")
	case v.Status == approval.StatusRejected && claims == 1 && kinds[audit.KindDecided] == 2,
		v.Status == approval.StatusCancelled && claims == 1 && kinds[audit.KindDecided] == 1:
		// The workflow task that had claimed was lost; done again, it saw both answers.
	case v.Decision != nil && (v.Decision.Kind == approval.SettledApprove || v.Decision.Kind == approval.SettledReject) != (kinds[audit.KindDecided] == 1):
		return fmt.Errorf("%d decisions counted", kinds[audit.KindDecided])
	}
	return nil
}

// crashCase is everything about one call, for a failure.
func crashCase(r store.Record, h crashHistory, entries []audit.Entry, runs int) string {
	var b strings.Builder
	doc, _ := json.Marshal(r)
	fmt.Fprintf(&b, "  its tool ran %d times\n  in the store: %s\n", runs, doc)
	for _, e := range entries {
		fmt.Fprintf(&b, "  entry %s %s %s %s\n", e.At.Format(crashClock), e.Step, e.Kind, e.Payload)
	}
	for _, line := range h.lines {
		fmt.Fprintf(&b, "  event %s\n", line)
	}
	return b.String()
}

const crashClock = "15:04:05.000"
