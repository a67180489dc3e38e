//go:build unix

package crash

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/api/workflowservice/v1"
	temporalclient "go.temporal.io/sdk/client"
)

// ledger is everything that is on record when no call is open any more.
type ledger struct {
	records   map[string]store.Record
	byKey     map[string][]approval.View // by the key that a call carries in its arguments
	entries   map[string][]audit.Entry   // by call, in the order written
	histories map[string]history         // by call, as Temporal tells it
	cutOff    map[string]bool            // calls whose tool's process was paused or dead meanwhile
	tally     map[approval.Status]int
}

// letGo reports whether a call ended as those end whose tool was to run. It may have failed only
// where its tool was not started, since the worker was cut off over the answer about the permit.
func (l ledger) letGo(v approval.View) bool {
	switch v.Status {
	case approval.StatusExecuted, approval.StatusOutcomeUnknown:
		return true
	case approval.StatusFailed:
		return l.cutOff[v.ID]
	}
	return false
}

// check waits until no call is open and holds what Temporal, the store, the audit log and the tools
// say of every call against each other.
func (w *world) check() ledger {
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
	verifier := w.newVerifier(reader)
	var l ledger
	var last string
	if !poll(w.t.Context(), patience, func() bool { l, last = w.settled(reader, temporal); return last == "" }) {
		w.t.Fatalf("after %v: %s", patience, last)
	}
	w.checkLog(reader)
	w.countOwnRuns()
	for id, r := range l.records {
		l.tally[r.View.Status]++
		h, err := readHistory(w.t.Context(), temporal, id, verifier)
		verifier.judge(r.View, h.answers)
		l.histories[id] = h
		l.cutOff[id] = slices.ContainsFunc(h.runs, w.cutOff)
		for _, err := range []error{
			err, h.agrees(r), h.fits(r), w.checkRuns(r, h, l.cutOff[id]),
			w.checkVotes(r, l.entries[id]), w.checkCaller(r, h, l.entries[id]),
			checkEntries(r, l.entries[id], w.tools.ran(id)), verifier.check(r, h, l.entries[id]),
		} {
			if err != nil {
				w.t.Errorf("call %s (%s, %s): %v\n%s", id, r.View.Tool, r.View.Status, err,
					caseOf(r, h, l.entries[id], w.tools.ran(id)))
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
	verifier.report()
	return l
}

// settled reads the ledger, or says what is still open, or known to one side only. Temporal's lists
// follow a little later than what they list.
func (w *world) settled(reader storeReader, temporal temporalclient.Client) (l ledger, open string) {
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
		Query:    fmt.Sprintf("ExecutionStatus = 'Running' AND WorkflowType != %q", approval.WorkflowStore),
		PageSize: 1,
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

func (w *world) read(reader store.Reader) ledger {
	w.t.Helper()
	l := ledger{
		records: map[string]store.Record{}, byKey: map[string][]approval.View{},
		entries: map[string][]audit.Entry{}, histories: map[string]history{},
		cutOff: map[string]bool{}, tally: map[approval.Status]int{},
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
			if key := keyIn(v.Args); key != "" {
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

// keyIn is the key that a call carries in its arguments, so that Pawl's notion of keys is not what
// tells calls apart.
func keyIn(args json.RawMessage) string {
	var a struct{ Key string }
	_ = json.Unmarshal(args, &a) // others carry none
	return a.Key
}

// checkTools holds what the tools counted against the record.
func (w *world) checkTools(l ledger) {
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
	for _, request := range c.malformed {
		w.t.Errorf("a tool was asked by %s", request)
	}
}

// temporalGrace is how long after Temporal's return its own timeouts may still strike: it counts
// the time in which it was away.
const temporalGrace = runner.HeartbeatTimeout

// checkRuns holds an ending against the runs that the tool counted. That the end of a tool is
// unknown is fair only where the very process that ran it (cutOff), or Temporal, was cut off in
// that time.
func (w *world) checkRuns(r store.Record, h history, cutOff bool) error {
	v, runs := r.View, w.tools.ran(r.View.ID)
	most := 1
	if v.Tool == "repeatable" {
		most = 3 // as often as the workflow lets a repeatable tool try
	}
	w.mu.Lock()
	temporalAway := slices.ContainsFunc(h.runs, func(x toolRun) bool {
		return w.temporal.wasAway(x.started.Add(-temporalGrace), x.ended)
	})
	w.mu.Unlock()
	switch {
	case !v.Status.Ended():
		return fmt.Errorf("it has not ended")
	case runs > most:
		return fmt.Errorf("its tool ran %d times", runs)
	case v.Status == approval.StatusExecuted && runs == 0:
		return fmt.Errorf("its tool never ran")
	case (v.Status.Denied() || v.Status == approval.StatusFailed) && runs > 0:
		return fmt.Errorf("its tool ran %d times", runs)
	case v.Status == approval.StatusFailed && !cutOff:
		return fmt.Errorf("these tools never fail and can always be reached, and the worker was not cut off")
	case v.Status == approval.StatusOutcomeUnknown && v.Execution == "" && !cutOff && !temporalAway:
		return fmt.Errorf("neither the worker nor Temporal was cut off while its tool may have run")
	case v.Status == approval.StatusExpired && v.EndedAt.Before(*v.Deadline):
		return fmt.Errorf("it expired before its deadline")
	case v.Status.Denied() && r.Permit != nil && (!r.Permit.Void || !r.Permit.UsedAt.IsZero()):
		return fmt.Errorf("its permit can still be used, or was")
	}
	return nil
}

// checkEntries holds a call's audit entries against its record. A tool of ours is on record twice
// before it runs; one that others run, when it is handed to them.
func checkEntries(r store.Record, entries []audit.Entry, runs int) error {
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
			// An attempt that was paused is refused its permit after the end, by the run that had it.
			var late struct{ Run, Code string }
			err := json.Unmarshal(e.Payload, &late)
			if err != nil || before == 0 || r.Permit == nil || late.Run != r.Permit.Run ||
				late.Code != approval.CodeNoPermit {
				return fmt.Errorf("%s, not by an attempt of its own that came late: %s (%v)", e.Kind, e.Payload, err)
			}
		case before > 0 && e.Kind != audit.KindRefused && e.Kind != audit.KindSent && e.Kind != audit.KindReported:
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
	ends := kinds[audit.KindEnded] + kinds[audit.KindBlocked]
	claims, starts := kinds[audit.KindClaimed], kinds[audit.KindStarted]
	settledByVote := v.Decision != nil &&
		(v.Decision.Kind == approval.FinalApprove || v.Decision.Kind == approval.FinalReject)
	switch {
	case ends != 1:
		return fmt.Errorf("%d ends", ends)
	case v.Status == approval.StatusBlocked != (kinds[audit.KindBlocked] == 1):
		return fmt.Errorf("blocked, or not blocked")
	case claims > 1 || starts > 1:
		return fmt.Errorf("%d claims, %d starts", claims, starts)
	case runs > 0 && (claims == 0 || ours && starts == 0):
		return fmt.Errorf("its tool ran off the record")
	case !ours && (starts > 0 ||
		r.Permit.Queue != approval.AgentQueue(agentName) || !strings.HasPrefix(v.Tool, "own")):
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
	case v.Status == approval.StatusRejected && claims == 0 && kinds[audit.KindDecided] == 2 && len(v.Votes) == 2 &&
		v.Votes[0].Kind == approval.Approve && v.Votes[1].Kind == approval.Reject && steps["sent/"+v.Votes[1].ID]:
		// The claim of the approval found a rejection on record whose signal its workflow had not read.
	case v.Requirement != nil && several(*v.Requirement): // see checkVotes
	case v.Decision != nil && settledByVote != (kinds[audit.KindDecided] == 1):
		return fmt.Errorf("%d decisions counted", kinds[audit.KindDecided])
	}
	return nil
}

// caseOf is everything about one call, for a failure.
func caseOf(r store.Record, h history, entries []audit.Entry, runs int) string {
	var b strings.Builder
	doc, _ := json.Marshal(r)
	fmt.Fprintf(&b, "  its tool ran %d times\n  in the store: %s\n", runs, doc)
	for _, e := range entries {
		fmt.Fprintf(&b, "  entry %s %s %s %s\n", e.At.Format(clock), e.Step, e.Kind, e.Payload)
	}
	for _, line := range h.lines {
		fmt.Fprintf(&b, "  event %s\n", line)
	}
	return b.String()
}

const clock = "15:04:05.000"
