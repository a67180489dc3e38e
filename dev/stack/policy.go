package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/dev/policyfiles"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/policy/policydiff"
	"github.com/pawlhq/pawl/store"
)

// After a change of the policy files, the calls of the last laxerDays are compared for at most
// laxerTime. Meanwhile further changes wait.
const (
	laxerDays = 30
	laxerTime = 2 * time.Second
)

// maxShifts is how many respects of one change are logged.
const maxShifts = 10

// startPolicy makes the policy files the active policy, now and whenever they change, and follows
// that. Without files the store's stays.
func (s *Stack) startPolicy(ctx context.Context) error {
	var files *policyfiles.Files
	if len(s.o.Policy) > 0 {
		before, err := active.Version(ctx, s.Store)
		if err != nil {
			return err
		}
		var now store.PolicyVersion
		files, now, err = policyfiles.Apply(ctx, policyfiles.Options{
			Store: s.Store, Paths: s.o.Policy, By: "pawl-dev", Logger: s.o.Logger,
			Applied: func(ctx context.Context, was, now store.PolicyVersion) {
				_ = s.policy.Refresh(ctx) // it has logged, and looks again
				s.o.Progress(fmt.Sprintf("Policy: the files have changed; version %d is active.", now.Version))
				s.warnLaxer(ctx, was, now)
			},
		})
		if err != nil {
			return err
		}
		if before.Version > 0 && before.Digest != now.Digest {
			s.o.Progress(fmt.Sprintf("Policy: the files replace version %d, which %s applied.",
				before.Version, approval.Display(before.By, 80)))
		}
	}
	var err error
	if s.policy, err = active.Follow(ctx, active.Options{Store: s.Store, Logger: s.o.Logger}); err != nil {
		return err
	}
	if v := s.policy.Version(); files == nil && v.Version > 0 {
		s.o.Progress(fmt.Sprintf("Policy: no files; version %d of the store, which %s applied.",
			v.Version, approval.Display(v.By, 80)))
	}
	if files != nil {
		ctx, s.stopFiles = context.WithCancel(context.Background())
		s.watched = make(chan struct{})
		go func() {
			defer close(s.watched)
			files.Watch(ctx)
		}()
	}
	return nil
}

// warnLaxer logs what a change of the policy files makes laxer for the calls that were recorded
// lately: nobody was asked before it was saved.
func (s *Stack) warnLaxer(ctx context.Context, was, now store.PolicyVersion) {
	if was.Digest == now.Digest {
		return
	}
	before, errBefore := s.policySet(ctx, was.Digest)
	after, errAfter := s.policySet(ctx, now.Digest)
	if err := errors.Join(errBefore, errAfter); err != nil {
		s.o.Logger.WarnContext(ctx, "the policy files changed, and what they make laxer is unknown", "error", err)
		return
	}
	limited, cancel := context.WithTimeout(ctx, laxerTime)
	defer cancel()
	report, err := policydiff.Diff(before, after, policydiff.Recorded(limited, s.entries))
	switch {
	case err != nil && limited.Err() == nil:
		s.o.Logger.WarnContext(ctx, "the policy files changed, and what they make laxer is unknown", "error", err)
	case err != nil:
		s.o.Logger.WarnContext(ctx,
			"not all recorded calls were compared; 'pawl policy diff --recorded' takes its time",
			"after", laxerTime, "compared", report.Calls)
	case report.Calls == 0:
		s.o.Logger.InfoContext(ctx,
			"the policy files changed; nothing was compared, as no calls are on record", "version", now.Version)
	}
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
}

// entries is a policydiff.Lister over the store.
func (s *Stack) entries(
	ctx context.Context, kind, cursor string,
) (payloads []json.RawMessage, next string, err error) {
	page, err := s.Store.Entries(ctx, store.EntryQuery{
		Kind: audit.Kind(kind), Since: time.Now().AddDate(0, 0, -laxerDays), Cursor: cursor, Limit: store.MaxPage,
	})
	for _, e := range page.Items {
		payloads = append(payloads, e.Payload)
	}
	return payloads, page.Next, err
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
