package stack

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/policy/policydiff"
	"github.com/pawlhq/pawl/store"
)

// laxerTime bounds how long is looked for what a change of the policy files
// makes laxer. Meanwhile further changes wait.
const laxerTime = 2 * time.Second

// maxShifts is how many respects of one change are logged.
const maxShifts = 10

// warnLaxer logs what a change of the policy files makes laxer: nobody was
// asked before it was saved.
func (s *Stack) warnLaxer(ctx context.Context, was, now store.PolicyVersion) {
	if was.Digest == now.Digest {
		return
	}
	before, errBefore := s.policySet(ctx, was.Digest)
	after, errAfter := s.policySet(ctx, now.Digest)
	if err := errors.Join(errBefore, errAfter); err != nil {
		s.o.Logger.WarnContext(ctx, "it can't be told what the changed policy files make laxer", "error", err)
		return
	}
	limited, cancel := context.WithTimeout(ctx, laxerTime)
	defer cancel()
	cut := false
	report := policydiff.Diff(before, after, policydiff.Within(limited, policydiff.Probes(before, after), &cut))
	for i, g := range report.Groups() {
		if !g.Laxer() {
			break
		}
		if i == maxShifts {
			s.o.Logger.WarnContext(ctx, "more of this is not logged; 'pawl policy diff' shows all")
			break
		}
		var shifts, tools []string
		for _, shift := range g.Shifts {
			if shift.Laxer {
				shifts = append(shifts, approval.Display(shift.String(), 200))
			}
		}
		for _, t := range g.Tools {
			tools = append(tools, approval.Display(t.Tool, 80))
		}
		if len(tools) > maxShifts {
			tools = append(tools[:maxShifts], "…")
		}
		s.o.Logger.WarnContext(ctx, "THE CHANGED POLICY FILES ARE LAXER", "version", now.Version,
			"what", strings.Join(shifts, "; "), "tools", strings.Join(tools, ", "))
	}
	if edits := report.Unknown; len(edits) > 0 {
		var places []string
		for _, e := range edits[:min(len(edits), maxShifts)] {
			places = append(places, e.String())
		}
		s.o.Logger.WarnContext(ctx, "it can't be told what some edits of the policy files make laxer; 'pawl policy diff --calls' tries them on your calls",
			"version", now.Version, "edits", len(edits), "what", strings.Join(places, "; "))
	}
	if cut {
		s.o.Logger.WarnContext(ctx, "the search for what is laxer was cut off; 'pawl policy diff' takes its time", "after", laxerTime)
	}
}

func (s *Stack) policySet(ctx context.Context, digest string) (*policy.Set, error) {
	source, err := active.Source(ctx, s.Store, digest)
	if err != nil {
		return nil, err
	}
	var files []policy.File
	for _, l := range source.Layers {
		files = append(files, policy.File{Name: l.Name, Data: []byte(l.Text)})
	}
	return policy.Inspect(files...)
}
