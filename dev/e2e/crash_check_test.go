//go:build unix

package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"go.temporal.io/api/workflowservice/v1"
	temporalclient "go.temporal.io/sdk/client"
)

// crashLedger is everything that is on record when no call is open any more.
type crashLedger struct {
	records map[string]store.Record
	entries map[string][]audit.Entry // by call, in the order written
	tally   map[approval.Status]int
}

// check waits until no call is open and holds what Temporal, the store, the
// audit log and the tools say of every call against each other.
func (s *crashStack) check() crashLedger {
	s.t.Helper()
	db, err := sqlite.Open(s.t.Context(), sqlite.Options{Path: filepath.Join(s.dir, "data", "pawl.db"), ReadOnly: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	temporal := s.temporal()
	var l crashLedger
	var last string
	if !crashPoll(s.t.Context(), crashPatience, func() bool { l, last = s.settled(db, temporal); return last == "" }) {
		s.t.Fatalf("after %v: %s", crashPatience, last)
	}
	for id, r := range l.records {
		l.tally[r.View.Status]++
		if err := s.agree(r, temporal); err != nil {
			s.t.Errorf("call %s: %v", id, err)
		}
		if err := crashCheckRuns(r, s.tools.ran(id), s.killed); err != nil {
			s.t.Errorf("call %s (%s, %s): %v", id, r.View.Tool, r.View.Status, err)
		}
		if err := crashCheckEntries(r.View, l.entries[id], s.tools.ran(id)); err != nil {
			s.t.Errorf("call %s (%s): %v; entries %s", id, r.View.Status, err, crashKinds(l.entries[id]))
		}
	}
	for id := range l.entries {
		if _, known := l.records[id]; !known {
			s.t.Errorf("audit entries about call %s, which is not in the store", id)
		}
	}
	s.tools.mu.Lock()
	defer s.tools.mu.Unlock()
	for id := range s.tools.runs {
		if r, known := l.records[id]; !known || s.tools.digests[id] != r.View.Digest {
			s.t.Errorf("a tool ran for call %s, digest %s; on record is %s", id, s.tools.digests[id], r.View.Digest)
		}
	}
	for _, odd := range s.tools.odd {
		s.t.Errorf("a tool was asked by %s", odd)
	}
	return l
}

// settled reads the ledger, or says what is still open, or known to one side
// only. Temporal's lists follow a little later than what they list.
func (s *crashStack) settled(db *sqlite.Store, temporal temporalclient.Client) (l crashLedger, open string) {
	s.t.Helper()
	page, err := db.Calls(s.t.Context(), store.CallQuery{Statuses: []approval.Status{
		approval.StatusEvaluating, approval.StatusPending, approval.StatusApproved, approval.StatusExecuting,
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, v := range page.Items {
		return l, fmt.Sprintf("%d calls are open, one is %s, %s", page.Total, v.ID, v.Status)
	}
	running, err := temporal.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
		Query: `ExecutionStatus = "Running"`, PageSize: 1,
	})
	if err != nil {
		return l, fmt.Sprintf("Temporal does not list workflows: %v", err)
	}
	for _, w := range running.GetExecutions() {
		return l, fmt.Sprintf("workflow %s runs", w.GetExecution().GetWorkflowId())
	}
	all, err := temporal.CountWorkflow(s.t.Context(), &workflowservice.CountWorkflowExecutionsRequest{})
	if err != nil {
		return l, fmt.Sprintf("Temporal does not count workflows: %v", err)
	}
	if l = s.read(db); all.GetCount() != int64(len(l.records)) {
		return l, fmt.Sprintf("%d workflows and %d calls", all.GetCount(), len(l.records))
	}
	return l, ""
}

func (s *crashStack) read(db *sqlite.Store) crashLedger {
	s.t.Helper()
	l := crashLedger{records: map[string]store.Record{}, entries: map[string][]audit.Entry{}, tally: map[approval.Status]int{}}
	for cursor := ""; ; {
		page, err := db.Calls(s.t.Context(), store.CallQuery{Cursor: cursor, Limit: store.MaxPage})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, v := range page.Items {
			if l.records[v.ID], err = db.Call(s.t.Context(), v.ID); err != nil {
				s.t.Fatal(err)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for cursor := ""; ; {
		page, err := db.Entries(s.t.Context(), store.EntryQuery{Cursor: cursor, Limit: store.MaxPage})
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range page.Items {
			l.entries[e.Call] = append(l.entries[e.Call], e)
		}
		if cursor = page.Next; cursor == "" {
			return l
		}
	}
}

// agree holds the workflow's result against the store's record.
func (s *crashStack) agree(r store.Record, temporal temporalclient.Client) error {
	var got approval.Outcome
	if err := temporal.GetWorkflow(s.t.Context(), r.View.ID, "").Get(s.t.Context(), &got); err != nil {
		return fmt.Errorf("the workflow has no outcome: %w", err)
	}
	a, errA := approval.Canonical(got)
	b, errB := approval.Canonical(r.View.Outcome())
	if errA != nil || errB != nil || string(a) != string(b) {
		return fmt.Errorf("two outcomes:\nTemporal: %s %v\nstore:    %s %v", a, errA, b, errB)
	}
	return nil
}

// crashCheckRuns holds an ending against the runs that the tool counted.
func crashCheckRuns(r store.Record, runs int, killed func(from, to time.Time) bool) error {
	v := r.View
	most := 1
	if v.Tool == "repeatable" {
		most = 3 // as often as the workflow lets a repeatable tool try
	}
	switch {
	case !v.Status.Ended():
		return fmt.Errorf("it has not ended")
	case runs > most:
		return fmt.Errorf("its tool ran %d times", runs)
	case v.Status == approval.StatusExecuted && runs == 0:
		return fmt.Errorf("its tool never ran")
	case v.Status.Denied() && runs > 0:
		return fmt.Errorf("its tool ran %d times", runs)
	case v.Status == approval.StatusFailed:
		return fmt.Errorf("these tools never fail and can always be reached: %+v", *v.Error)
	case v.Status == approval.StatusOutcomeUnknown && !killed(r.Claim.At, *v.EndedAt):
		return fmt.Errorf("nothing was killed while its tool may have run: %+v", *v.Error)
	case v.Status == approval.StatusExpired && v.EndedAt.Before(*v.Deadline):
		return fmt.Errorf("it expired before its deadline")
	}
	return nil
}

// crashCheckEntries holds a call's audit entries against its record.
func crashCheckEntries(v approval.View, entries []audit.Entry, runs int) error {
	steps, kinds := map[string]bool{}, map[audit.Kind]int{}
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
	case runs > 0 && starts == 0:
		return fmt.Errorf("its tool ran off the record")
	case v.Status.NeedsClaim() && claims == 0:
		return fmt.Errorf("no claim")
	case v.Status == approval.StatusExecuted && starts == 0:
		return fmt.Errorf("no start")
	case v.Status.Denied() && starts > 0:
		return fmt.Errorf("its tool was started")
	case v.Status == approval.StatusRejected && claims == 1 && kinds[audit.KindDecided] == 2:
		// The workflow task that had claimed was lost; done again, it saw both answers.
	case v.Decision != nil && (v.Decision.Kind == approval.SettledApprove || v.Decision.Kind == approval.SettledReject) != (kinds[audit.KindDecided] == 1):
		return fmt.Errorf("%d decisions counted", kinds[audit.KindDecided])
	}
	return nil
}

func crashKinds(entries []audit.Entry) (kinds []audit.Kind) {
	for _, e := range entries {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}
