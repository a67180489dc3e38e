package workflows_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// facts is what happened in a world, and is known for certain.
type facts struct {
	decisions []made
	onRecord  map[string]bool // who has a rejection on record
	runs      []string        // of the tool, by whom
}

type made struct {
	event
	id   string
	when time.Time
}

func (w *world) must(holds bool, format string, args ...any) {
	if !holds {
		w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	}
}

func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, fmt.Sprintf("  %v  ", w.env.Now().Sub(w.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// ran is where the tool runs.
func (w *world) ran(by string) {
	w.tell("the tool runs: %s", by)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.facts.runs = append(w.facts.runs, by)
}

// write is one write to the store: it may fail, things happen before and after it, and what it changes
// is checked.
func (w *world) write(what string, do func() error) error {
	w.mu.Lock()
	w.writes++
	n := w.writes
	w.mu.Unlock()
	w.amid(n, false)
	w.mu.Lock()
	fails, done := len(w.fails) > 0, true
	if fails {
		done, w.fails = w.fails[0], w.fails[1:]
	}
	var err error
	if done {
		before := w.record
		err = do()
		w.record, _ = w.Store.Call(context.Background(), w.id) // nothing before it was admitted
		w.check(what, before, w.record)
	}
	w.mu.Unlock()
	w.tell("write %d: %s, done %v, %v", n, what, done, err)
	w.amid(n, true)
	if fails {
		return errAway
	}
	return err
}

func (w *world) amid(n int, after bool) {
	for _, e := range w.plan.events {
		if e.write == n && e.after == after {
			w.do(e)
		}
	}
}

// check holds the invariants against one write to the store.
func (w *world) check(what string, before, after store.Record) {
	was, is := before.Permit, after.Permit
	used := func(p *store.Permit) bool { return p != nil && !p.UsedAt.IsZero() }
	void := func(p *store.Permit) bool { return p != nil && p.Void }
	if before.View.Status.Ended() {
		w.must(after.View.Status == before.View.Status, "%s: a call that ended %s ended %s", what, before.View.Status, after.View.Status)
		w.must(used(was) == used(is) && void(was) == void(is), "%s: the permit of an ended call changed", what)
		return
	}
	if r := before.View.Requirement; r != nil {
		asked, asks := needsOf(*r), needsOf(*after.View.Requirement)
		w.must(asked.and(asks) == asks, "%s: the call asks for less: %+v, then %+v", what, asked, asks)
	}
	if was == nil && is != nil {
		w.checkPermit(what, before)
	}
	w.must(!used(is) || used(was) || !void(was) && was != nil, "%s: a permit was used that nobody had, or that was void", what)
	w.must(!used(was) || used(is) && is.UsedAt.Equal(was.UsedAt) && is.Start == was.Start, "%s: a permit was used twice", what)
	w.must(!void(is) || !used(is), "%s: a used permit is void", what)
	switch status := after.View.Status; {
	case status.Denied():
		w.must(is == nil || void(is), "%s: %s, and the tool could run", what, status)
	case status.NeedsPermit():
		w.must(used(is), "%s: %s, and the tool was not started", what, status)
	}
}

// checkPermit looks whether the permit is right that is given to a call now: people whose decisions
// were sent in time meet what the call required, and what the active policy does.
func (w *world) checkPermit(what string, before store.Record) {
	active := policies[w.active]
	if what == "admit" {
		// A worker that can't use the active policy judges by the one it has.
		w.must(active.verdict == approval.VerdictAllow || policies[w.plan.policy].verdict == approval.VerdictAllow, "nobody allowed the call")
		return
	}
	asked := needsOf(*before.View.Requirement)
	if active.verdict == approval.VerdictRequire {
		asked = asked.and(active.needs)
	}
	yes := map[string]bool{}
	for _, d := range w.facts.decisions {
		if d.do == approves && !d.lost && asked.takes(d.event) && d.when.Before(*before.View.Deadline) && !w.facts.onRecord[d.by] {
			yes[d.by] = true
		}
	}
	w.must(active.verdict != approval.VerdictDeny, "a permit against the policy")
	w.must(len(yes) >= asked.people, "a permit for %v, where it takes %+v", slices.Sorted(maps.Keys(yes)), asked)
	w.must(len(w.facts.onRecord) < asked.deny, "a permit against rejections on record: %v", w.facts.onRecord)
}

// checkEnd holds the invariants against the end.
func (w *world) checkEnd(out approval.Outcome) {
	r, err := w.f.store.Call(context.Background(), w.id)
	w.can(err)
	w.must(r.View.Status.Ended() && r.View.Status == out.Status && codeOf(r.View.Outcome()) == codeOf(out),
		"the store says %s %q, the workflow %s %q", r.View.Status, codeOf(r.View.Outcome()), out.Status, codeOf(out))
	switch runs := len(w.facts.runs); {
	case w.plan.caller: // the process that started it may come again for the answer, and runs it once
		w.must(len(slices.Compact(slices.Sorted(slices.Values(w.facts.runs)))) <= 1, "two processes ran the tool: %v", w.facts.runs)
		w.must(!out.Status.Denied() || runs == 0, "%s, and the tool ran", out.Status)
	default:
		w.must(runs <= 1, "the tool ran %d times", runs)
		w.must((out.Status == approval.StatusExecuted) == (runs == 1) || out.Status == approval.StatusOutcomeUnknown, "%s after %d runs", out.Status, runs)
	}
	w.checkRecord(out, r)
}

// checkRecord looks whether every step is on record, and people were told what is.
func (w *world) checkRecord(out approval.Outcome, r store.Record) {
	page, err := w.f.store.Entries(context.Background(), store.EntryQuery{Subject: w.id, Limit: store.MaxPage})
	w.can(err)
	n, decided, refused := map[audit.Kind]int{}, map[string]bool{}, map[string]bool{}
	for _, e := range page.Items {
		w.can(e.Check())
		n[e.Kind]++
		p, err := audit.ReadPayload(e.Kind, e.Payload)
		w.can(err)
		switch p := p.(type) {
		case audit.Decided:
			decided[string(p.Decision.Kind)+" "+p.Decision.Reviewer], decided[p.Decision.ID] = true, true
		case audit.Refused:
			for _, one := range p.Refused {
				refused[one.DecisionID] = true
			}
		}
	}
	count := func(holds bool) int {
		if holds {
			return 1
		}
		return 0
	}
	atOnce := codeOf(out) == approval.CodePolicyDenied
	for kind, want := range map[audit.Kind]int{
		audit.KindRequested: count(!atOnce), audit.KindBlocked: count(atOnce), audit.KindEnded: count(!atOnce),
		audit.KindTightened: int(r.Revision), audit.KindClaimed: count(r.Permit != nil),
		audit.KindStarted:  count(r.Permit != nil && !r.Permit.UsedAt.IsZero()),
		audit.KindReported: count(r.View.Report != nil) + count(r.View.LateReport != nil),
	} {
		w.must(n[kind] == want, "%d entries are %s, want %d", n[kind], kind, want)
	}
	for _, v := range r.View.Votes {
		w.must(decided[string(v.Kind)+" "+v.Reviewer], "the vote %s by %s has no entry", v.Kind, v.Reviewer)
	}
	for _, a := range w.state().Answers {
		i := slices.IndexFunc(w.facts.decisions, func(d made) bool { return d.id == a.DecisionID })
		if i < 0 || !a.Outcome.Counted() {
			w.must(a.Outcome.Counted() || refused[a.DecisionID] || decided[a.DecisionID], "that %s was refused is not on record", a.DecisionID)
			continue
		}
		d := w.facts.decisions[i]
		w.must(decided[string(d.do)+" "+d.by], "%s by %s counted, and is not on record", d.do, d.by)
		if a.Outcome == approval.AnswerResolved && !w.plan.before { // who answered before the claim could not know
			w.must(d.do == approves && r.Permit != nil || d.do == rejects && out.Status == approval.StatusRejected,
				"%s by %s was told that it settled the call, which ended %s", d.do, d.by, out.Status)
		}
	}
}

func (w *world) state() (s approval.State) {
	v, err := w.env.QueryWorkflow(approval.QueryState)
	w.can(err)
	w.can(v.Get(&s))
	return s
}

// The store, with the plan's events around its writes. Temporal's clock is its clock, too.

func (w *world) Admit(ctx context.Context, a store.AdmitParams) (r store.Record, fresh bool, err error) {
	err = w.write("admit", func() (err error) { r, fresh, err = w.Store.Admit(ctx, a); return err })
	return r, fresh, err
}

func (w *world) Claim(ctx context.Context, c store.ClaimParams) (r store.Record, err error) {
	err = w.write("claim", func() (err error) { r, err = w.Store.Claim(ctx, c); return err })
	return r, err
}

func (w *world) Tighten(ctx context.Context, p store.TightenParams) (r store.Record, err error) {
	err = w.write("tighten", func() (err error) { r, err = w.Store.Tighten(ctx, p); return err })
	return r, err
}

func (w *world) Use(ctx context.Context, u store.UseParams) error {
	return w.write("use", func() error { return w.Store.Use(ctx, u) })
}

func (w *world) Report(ctx context.Context, p store.ReportParams) (r store.Record, fresh bool, err error) {
	err = w.write("report", func() (err error) { r, fresh, err = w.Store.Report(ctx, p); return err })
	return r, fresh, err
}

func (w *world) Finish(ctx context.Context, p store.FinishParams) (r store.Record, fresh bool, err error) {
	err = w.write("finish as "+string(p.Outcome.Status), func() (err error) { r, fresh, err = w.Store.Finish(ctx, p); return err })
	return r, fresh, err
}

func (w *world) Start(ctx context.Context, p store.StartParams) (r store.Record, fresh bool, err error) {
	err = w.write("start", func() (err error) {
		now := store.Micros(w.env.Now())
		r, err = w.Store.Call(ctx, p.ID)
		if err == nil && r.Permit != nil && r.Permit.UsedAt.IsZero() && !r.Permit.Void && now.After(r.Permit.GoodUntil) {
			return store.ErrRunOut
		}
		if r, fresh, err = w.Store.Start(ctx, p); fresh {
			w.started = now
		}
		return err
	})
	return r, fresh, err
}

func (w *world) Call(ctx context.Context, id string) (store.Record, error) {
	r, err := w.Store.Call(ctx, id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && !w.started.IsZero() {
		at := w.started
		r.Permit.UsedAt, r.View.StartedAt = at, &at
	}
	return r, err
}
