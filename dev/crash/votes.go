//go:build unix

package crash

import (
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// What people decided is judged here once more, by nothing but their names and groups: Pawl's own
// ballot is not asked.

// several reports whether it may take more than one decision to settle a call.
func several(r approval.Requirement) bool {
	people := 0
	for _, s := range stagesOf(r) {
		for _, a := range s {
			people += a.Count
		}
	}
	return people > 1 || r.DenyCount > 1
}

func stagesOf(r approval.Requirement) (stages [][]approval.Approvals) {
	for _, s := range r.Stages {
		stages = append(stages, s.Approvals)
	}
	if len(r.Approvals) > 0 {
		stages = append(stages, r.Approvals)
	}
	return stages
}

// meets reports whether people meet all stages, each of them in one stage at most. It tries every way.
func (w *world) meets(stages [][]approval.Approvals, people []string) bool {
	if len(stages) == 0 {
		return true
	}
	for chosen := range 1 << len(people) {
		var in, left []string
		for i, name := range people {
			if chosen&(1<<i) != 0 {
				in = append(in, name)
			} else {
				left = append(left, name)
			}
		}
		if w.meetsOne(stages[0], in) && w.meets(stages[1:], left) {
			return true
		}
	}
	return false
}

func (w *world) meetsOne(stage []approval.Approvals, people []string) bool {
	for _, a := range stage {
		n := 0
		for _, name := range people {
			if a.Group == "" || w.hardening != nil && slices.Contains(groupsOf[name], a.Group) {
				n++
			}
		}
		if n < a.Count {
			return false
		}
	}
	return true
}

// checkVotes holds a call against what people decided about it: it has a permit only where those who
// approved it, and did not reject it, meet what it requires; no rejection that was made before the
// permit was taken is left out; and every vote is on record.
func (w *world) checkVotes(r store.Record, entries []audit.Entry) error {
	req := r.View.Requirement
	if req == nil {
		if len(r.View.Votes) > 0 {
			return fmt.Errorf("nobody was asked, and the votes are %+v", r.View.Votes)
		}
		return nil
	}
	type vote struct {
		by   string
		kind approval.DecisionKind
	}
	votes, onRecord := map[vote]bool{}, map[vote]bool{}
	for _, v := range r.View.Votes {
		votes[vote{v.Reviewer, v.Kind}] = true
	}
	for _, e := range entries {
		p, err := audit.ReadPayload(e.Kind, e.Payload)
		if err != nil {
			return err
		}
		if d, ok := p.(audit.Decided); ok {
			onRecord[vote{d.Decision.Reviewer, d.Decision.Kind}] = true
		}
	}
	for v := range votes {
		if !onRecord[v] {
			return fmt.Errorf("%s by %s counted, and is not on record", v.kind, v.by)
		}
	}
	rejected := w.rejectedBefore(r, entries)
	var approved []string
	for v := range votes {
		if v.kind == approval.Reject && !slices.Contains(rejected, v.by) {
			rejected = append(rejected, v.by)
		}
	}
	for v := range votes {
		if v.kind == approval.Approve && !slices.Contains(rejected, v.by) {
			approved = append(approved, v.by)
		}
	}
	enough := max(1, req.DenyCount)
	switch {
	case r.Permit != nil && !r.Permit.Void && !w.meets(stagesOf(*req), approved):
		return fmt.Errorf("it has a permit; %v approved it, %v rejected it, and it requires %+v", approved, rejected, *req)
	case r.Permit != nil && !r.Permit.Void && len(rejected) >= enough:
		return fmt.Errorf("it has a permit, although %v rejected it", rejected)
	case r.View.Status == approval.StatusRejected && len(rejected) < enough:
		return fmt.Errorf("it was rejected by %v, and %d rejections end it", rejected, enough)
	}
	return nil
}

// rejectedBefore are those whose rejections of a call were made before its permit was taken: the API
// had acknowledged them, or they were on record for a while.
func (w *world) rejectedBefore(r store.Record, entries []audit.Entry) (by []string) {
	if r.Permit == nil {
		return nil
	}
	add := func(name string) {
		if !slices.Contains(by, name) {
			by = append(by, name)
		}
	}
	w.mu.Lock()
	for id, d := range w.sent {
		at := w.acknowledged[id]
		if d.call == r.View.ID && d.kind == approval.Reject && !at.IsZero() && at.Before(r.Permit.At) {
			add(d.by)
		}
	}
	w.mu.Unlock()
	for _, e := range entries {
		if e.Kind == audit.KindClaimed {
			break
		}
		p, err := audit.ReadPayload(e.Kind, e.Payload)
		s, ok := p.(audit.Sent)
		// Two transactions may get their places in the log in one order, and commit in the other.
		if ok && err == nil && s.Decides != approval.Approve && s.At.Add(time.Second).Before(r.Permit.At) {
			add(s.Reviewer)
		}
	}
	return by
}
