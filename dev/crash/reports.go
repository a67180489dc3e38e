//go:build unix

package crash

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// report is a signal that says how a tool ended that a caller ran, and when Temporal took it.
type report struct {
	at   time.Time
	said approval.ReportSignal
}

func (r report) forged() bool { return strings.HasPrefix(r.said.StartID, forgedPrefix) }

// by finds the first report of whoever started the tool, or returns nil.
func (h history) reportBy(start string) *report {
	i := slices.IndexFunc(h.reports, func(r report) bool { return approval.HashStartID(r.said.StartID) == start })
	if i < 0 {
		return nil
	}
	return &h.reports[i]
}

// checkCaller holds a call whose caller ran the tool against its starts and reports: it was started at
// most once, and ended as the one who started it said, or as not reported only where no report came in
// time. Other reports count for nothing, and are on record.
func (w *world) checkCaller(r store.Record, h history, entries []audit.Entry) error {
	v, p := r.View, r.Permit
	if v.Execution != approval.ExecutionCaller {
		if len(h.reports) > 0 {
			return errors.New("a worker runs its tool, and reports came")
		}
		return nil
	}
	var starts []audit.Started
	reported := 0
	refused := map[string]bool{}
	for _, e := range entries {
		body, err := audit.ReadPayload(e.Kind, e.Payload)
		if err != nil {
			return err
		}
		switch body := body.(type) {
		case audit.Started:
			starts = append(starts, body)
		case audit.Reported:
			if !body.Late {
				reported++
			}
		case audit.Refused:
			for _, d := range body.Refused {
				refused[d.DecisionID] = true
			}
		}
	}
	if p == nil || p.UsedAt.IsZero() {
		if len(starts) > 0 || reported > 0 || v.Status.NeedsPermit() {
			return fmt.Errorf("nobody started its tool; on record are the starts %+v and %d reports", starts, reported)
		}
		return nil
	}
	if len(starts) != 1 || starts[0].Start != p.Start || v.StartedAt == nil {
		return fmt.Errorf("it was started by %s, and the starts on record are %+v", p.Start, starts)
	}
	told := h.reportBy(p.Start)
	for i, forged := range h.reports {
		before := told == nil || forged.at.Before(told.at)
		if forged.forged() && before && !refused[fmt.Sprintf("%s/%d", approval.SignalReport, i+1)] {
			return fmt.Errorf("a forged report is not on record as refused: %v", refused)
		}
	}
	due := v.StartedAt.Add(v.ReportWithin.Std())
	if v.Error != nil && v.Error.Code == approval.CodeNotReported {
		switch {
		case told != nil && told.at.Before(due):
			return fmt.Errorf("it ended as not reported, and the report came at %s", told.at.Format(clock))
		case v.EndedAt.Before(due), reported > 0, v.Report != nil, v.Status != approval.StatusOutcomeUnknown:
			return fmt.Errorf("it ended as not reported at %s, due %s, %d reports are on record",
				v.EndedAt.Format(clock), due.Format(clock), reported)
		}
		return nil
	}
	if told == nil || reported != 1 || v.Report == nil {
		return fmt.Errorf("it ended %s; its caller's report is %+v, and %d are on record", v.Status, told, reported)
	}
	said, _ := told.said.Outcome()
	if said.Status != v.Status || string(said.Result) != string(v.Result) {
		return fmt.Errorf("its caller said %s %s", said.Status, said.Result)
	}
	if v.Status == approval.StatusOutcomeUnknown && !w.diedWithin(w.caller.part, *v.StartedAt, *v.EndedAt) {
		return errors.New("its caller does not know how its tool ended, and did not die meanwhile")
	}
	if v.Status == approval.StatusFailed {
		return errors.New("callers' tools never fail")
	}
	return nil
}

// diedWithin reports whether a process of a part died in a time.
func (w *world) diedWithin(p *part, from, to time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(p.processes, func(x *process) bool {
		return x.died.After(from) && x.died.Before(to)
	})
}

// checkCuts sees that a storm has met what it is for: callers that died between start and tool, and
// between tool and report.
func (w *world) checkCuts(l ledger) {
	w.t.Helper()
	var ran [2]int
	for id, r := range l.records {
		if v := r.View; v.Agent == callerName && v.Status == approval.StatusOutcomeUnknown {
			ran[min(1, w.tools.ran(id))]++
		}
	}
	w.t.Logf("the caller died %d times between start and tool, and %d times between tool and report", ran[0], ran[1])
	if ran[0] == 0 || ran[1] == 0 {
		w.t.Error("both belong to a storm")
	}
}
