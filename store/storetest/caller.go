package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// byCaller makes a call one that its caller runs, and that is good for an hour from now.
func byCaller(a store.AdmitParams) store.AdmitParams {
	a.View.Execution = approval.ExecutionCaller
	if a.TakePermit {
		a.View.Status, a.GoodUntil = approval.StatusApproved, time.Now().Add(time.Hour)
	}
	return a
}

func claimingByCaller(t *testing.T, id string) store.ClaimParams {
	c := claiming(t, id)
	c.GoodUntil = time.Now().Add(time.Hour)
	return c
}

func starting(id, start string) store.StartParams {
	return store.StartParams{ID: id, Digest: digestOf(id), Start: approval.HashStartID(start)}
}

func reporting(t *testing.T, id, start string, status approval.Status) store.ReportParams {
	return store.ReportParams{
		Outcome: approval.Outcome{ID: id, Tool: "charge_card", Digest: digestOf(id), Status: status},
		Start:   approval.HashStartID(start), Report: approval.Report{Status: status, ResultSize: 7},
		At:      after(5),
		Entries: []audit.Entry{entry(t, id, "report", audit.KindReported), entry(t, id, "end", audit.KindEnded)},
		Late:    []audit.Entry{entry(t, id, "late report", audit.KindReported)},
	}
}

func notReported(t *testing.T, id string) store.FinishParams {
	f := ending(t, id, approval.StatusOutcomeUnknown)
	f.Outcome.Error = &approval.CallError{Code: approval.CodeNotReported, Message: "nothing came"}
	return f
}

func start(t *testing.T, s store.Store, p store.StartParams) store.Record {
	t.Helper()
	r, fresh, err := s.Start(t.Context(), p)
	if err != nil || !fresh {
		t.Fatalf("Start(%q): fresh %v, %v", p.ID, fresh, err)
	}
	return r
}

func startOnce(t *testing.T, s store.Store) {
	_, _, err := s.Start(t.Context(), starting("a", "one"))
	fails(t, "Start of an unknown call", err, store.ErrNotFound)
	admit(t, s, byCaller(waiting(t, "a")))
	_, _, err = s.Start(t.Context(), starting("a", "one"))
	fails(t, "Start before Claim", err, store.ErrNoPermit)
	r := claim(t, s, claimingByCaller(t, "a"))
	if r.View.Status != approval.StatusApproved || r.Permit.Executor != approval.ExecutionCaller {
		t.Errorf("after the claim: %s, %+v", r.View.Status, r.Permit)
	}
	fails(t, "Use of a caller's permit", s.Use(t.Context(), using(t, "a")), store.ErrNoPermit)
	wrong := starting("a", "one")
	wrong.Digest = "another"
	_, _, err = s.Start(t.Context(), wrong)
	fails(t, "Start with another digest", err, store.ErrDigest)
	_, _, err = s.Start(t.Context(), store.StartParams{ID: "a", Digest: digestOf("a")})
	invalid(t, "Start by nobody", err)

	before := time.Now().Add(-time.Minute)
	r = start(t, s, starting("a", "one"))
	if r.View.Status != approval.StatusExecuting || r.View.StartedAt == nil || r.Permit.UsedAt.Before(before) ||
		!r.View.StartedAt.Equal(r.Permit.UsedAt) || r.Permit.Start != approval.HashStartID("one") {
		t.Errorf("after the start: %+v, %+v", r.View, r.Permit)
	}
	isStored(t, s, r)
	again, fresh, err := s.Start(t.Context(), starting("a", "one"))
	if err != nil || fresh {
		t.Errorf("a repeat: fresh %v, %v", fresh, err)
	}
	same(t, "the answer to a repeat", again, r)
	_, _, err = s.Start(t.Context(), starting("a", "two"))
	fails(t, "Start by another one", err, store.ErrStarted)
	wrote(t, s, "a", "requested", "claimed", "start")

	_, _, err = s.Finish(t.Context(), ending(t, "a", approval.StatusCancelled))
	fails(t, "a denial after the start", err, store.ErrStarted)
}

func startConcurrently(t *testing.T, s store.Store) {
	admit(t, s, byCaller(allowed(t, "a")))
	var fresh, won, ended atomic.Int32
	together(many, func(i int) {
		if i%4 == 3 {
			switch _, now, err := s.Finish(t.Context(), ending(t, "a", approval.StatusExpired)); {
			case err == nil && now:
				ended.Add(1)
			case err != nil && !errors.Is(err, store.ErrStarted):
				t.Errorf("Finish: %v", err)
			}
			return
		}
		r, now, err := s.Start(t.Context(), starting("a", fmt.Sprint(i%3)))
		switch {
		case err == nil && r.View.Status == approval.StatusExecuting:
			won.Add(1)
			if now {
				fresh.Add(1)
			}
		case err != nil && !errors.Is(err, store.ErrStarted):
			t.Errorf("Start: %v", err)
		}
	})
	if fresh.Load()+ended.Load() != 1 {
		t.Errorf("%d starts are fresh and %d ends, want one of both", fresh.Load(), ended.Load())
	}
}

func startRefused(t *testing.T, s store.Store) {
	admit(t, s, allowed(t, "worker's"))
	_, _, err := s.Start(t.Context(), starting("worker's", "one"))
	fails(t, "Start of a worker's call", err, store.ErrNoPermit)

	late := byCaller(allowed(t, "late"))
	late.GoodUntil = time.Now().Add(-time.Second)
	admit(t, s, late)
	_, _, err = s.Start(t.Context(), starting("late", "one"))
	fails(t, "Start after the permit ran out", err, store.ErrRunOut)

	admit(t, s, byCaller(allowed(t, "ended")))
	over := finish(t, s, ending(t, "ended", approval.StatusCancelled))
	r, fresh, err := s.Start(t.Context(), starting("ended", "one"))
	if err != nil || fresh {
		t.Errorf("Start of an ended call: fresh %v, %v", fresh, err)
	}
	same(t, "the answer", r, over)

	admit(t, s, byCaller(waiting(t, "signed")))
	c := claimingByCaller(t, "signed")
	c.Evidence = `[{}]`
	claim(t, s, c)
	p := starting("signed", "one")
	_, _, err = s.Start(t.Context(), p)
	fails(t, "Start without a look at the signatures", err, store.ErrUnverified)
	p.Verified = true
	start(t, s, p)
}

func reportOnce(t *testing.T, s store.Store) {
	admit(t, s, byCaller(allowed(t, "a")))
	_, _, err := s.Report(t.Context(), reporting(t, "a", "one", approval.StatusExecuted))
	fails(t, "Report before the start", err, store.ErrNoPermit)
	start(t, s, starting("a", "one"))
	for _, status := range []approval.Status{approval.StatusExecuted, approval.StatusFailed, approval.StatusOutcomeUnknown} {
		_, _, err := s.Finish(t.Context(), ending(t, "a", status))
		fails(t, "an end without a report, "+string(status), err, store.ErrNoPermit)
	}
	_, _, err = s.Report(t.Context(), reporting(t, "a", "two", approval.StatusExecuted))
	fails(t, "Report by another one", err, store.ErrStarted)
	_, _, err = s.Report(t.Context(), reporting(t, "a", "one", approval.StatusCancelled))
	invalid(t, "Report of a denial", err)
	forged := reporting(t, "a", "one", approval.StatusExecuted)
	forged.Outcome.Digest = "another"
	_, _, err = s.Report(t.Context(), forged)
	fails(t, "Report of another call", err, store.ErrDigest)

	r, fresh, err := s.Report(t.Context(), reporting(t, "a", "one", approval.StatusExecuted))
	if err != nil || !fresh || r.View.Status != approval.StatusExecuted || r.View.Report == nil {
		t.Fatalf("fresh %v, %+v, %v", fresh, r.View, err)
	}
	isStored(t, s, r)
	repeat := reporting(t, "a", "one", approval.StatusExecuted)
	repeat.At = after(9)
	again, fresh, err := s.Report(t.Context(), repeat)
	if err != nil || fresh {
		t.Errorf("a repeat: fresh %v, %v", fresh, err)
	}
	same(t, "the answer to a repeat", again, r)
	wrote(t, s, "a", "requested", "claimed", "start", "report", "end")

	other, _, err := s.Report(t.Context(), reporting(t, "a", "one", approval.StatusFailed))
	if err != nil || other.View.Status != approval.StatusExecuted || other.View.LateReport == nil {
		t.Errorf("another report afterwards: %+v, %v", other.View, err)
	}
	wrote(t, s, "a", "requested", "claimed", "start", "report", "end", "late report")
}

func reportLate(t *testing.T, s store.Store) {
	admit(t, s, byCaller(allowed(t, "a")))
	_, _, err := s.Finish(t.Context(), notReported(t, "a"))
	fails(t, "not reported, and not started", err, store.ErrNoPermit)
	start(t, s, starting("a", "one"))
	finish(t, s, notReported(t, "a"))
	var first store.Record
	for i, status := range []approval.Status{approval.StatusFailed, approval.StatusFailed, approval.StatusExecuted} {
		r, fresh, err := s.Report(t.Context(), reporting(t, "a", "one", status))
		if err != nil || fresh != (i == 0) || r.View.Status != approval.StatusOutcomeUnknown || r.View.Report != nil ||
			r.View.LateReport == nil || r.View.LateReport.Status != approval.StatusFailed {
			t.Errorf("late report %d: fresh %v, %+v, %v", i, fresh, r.View, err)
		}
		if i == 0 {
			first = r
		}
	}
	isStored(t, s, first)
	wrote(t, s, "a", "requested", "claimed", "start", "ended", "late report")
}

func reportConcurrently(t *testing.T, s store.Store) {
	admit(t, s, byCaller(allowed(t, "a")))
	start(t, s, starting("a", "one"))
	var reported, ended atomic.Int32
	together(many, func(i int) {
		if i%2 == 0 {
			r, fresh, err := s.Report(t.Context(), reporting(t, "a", "one", approval.StatusExecuted))
			if err != nil {
				t.Errorf("Report: %v", err)
			}
			if fresh && r.View.Report != nil {
				reported.Add(1)
			}
			return
		}
		_, fresh, err := s.Finish(t.Context(), notReported(t, "a"))
		if err != nil {
			t.Errorf("Finish: %v", err)
		}
		if fresh {
			ended.Add(1)
		}
	})
	if reported.Load()+ended.Load() != 1 {
		t.Errorf("%d reports and %d silences ended the call, want one of both", reported.Load(), ended.Load())
	}
}

func attachOnce(t *testing.T, s store.Store) {
	attach := func(want string) {
		t.Helper()
		id, err := s.Attach(t.Context(), "k")
		if want == "" && !errors.Is(err, store.ErrNotFound) || want != "" && (err != nil || id != want) {
			t.Fatalf("attached to %q, %v, want %q", id, err, want)
		}
	}
	attach("")
	release := func(ids ...string) {
		t.Helper()
		for _, id := range ids {
			if err := s.Release(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, id := range []string{"pending", "approved", "denied", "started"} {
		a := byCaller(waiting(t, id))
		if id == "approved" || id == "started" {
			a = byCaller(allowed(t, id))
		}
		a.Alike = "k"
		admit(t, s, a)
		attach("") // whoever asked for it is there
	}
	other := byCaller(waiting(t, "other"))
	other.Alike = "j"
	admit(t, s, other)
	start(t, s, starting("started", "one"))
	finish(t, s, ending(t, "denied", approval.StatusRejected))
	attach("") // who waited may be about to hear of its end
	release("pending", "approved", "denied", "started", "other")
	attach("pending")
	attach("approved")
	attach("denied")
	attach("") // all are leased now, and one was started
	release("approved")
	attach("approved")
	attach("")

	admit(t, s, func() store.AdmitParams {
		a := byCaller(waiting(t, "told"))
		a.Alike = "k"
		return a
	}())
	release("told")
	if err := s.Renew(t.Context(), "told"); err != nil {
		t.Fatal(err)
	}
	attach("")
	again := byCaller(waiting(t, "ended"))
	again.Alike = "k"
	admit(t, s, again)
	finish(t, s, ending(t, "ended", approval.StatusExpired))
	for range 2 {
		if err := s.Deliver(t.Context(), "ended"); err != nil {
			t.Fatal(err)
		}
	}
	release("ended")
	attach("") // its end was told
	blocked := byCaller(ended(t, "blocked", approval.StatusBlocked))
	blocked.Alike = "k"
	admit(t, s, blocked)
	attach("blocked") // nobody was told yet
	for _, unknown := range []string{"nobody"} {
		if err := errors.Join(s.Renew(t.Context(), unknown), s.Release(t.Context(), unknown), s.Deliver(t.Context(), unknown)); err != nil {
			t.Errorf("%q: %v", unknown, err)
		}
	}
	key, err := s.AlikeKey(t.Context())
	if err != nil || len(key) < 64 {
		t.Errorf("a key of %d bytes, %v", len(key), err)
	}
}

func attachConcurrently(t *testing.T, s store.Store) {
	for n := range many / 2 {
		a := byCaller(waiting(t, fmt.Sprint("a", n)))
		a.Alike = "k"
		admit(t, s, a)
		if err := s.Release(t.Context(), a.View.ID); err != nil {
			t.Fatal(err)
		}
	}
	var got sync.Map
	var none atomic.Int32
	together(many, func(int) {
		switch id, err := s.Attach(t.Context(), "k"); {
		case errors.Is(err, store.ErrNotFound):
			none.Add(1)
		case err != nil:
			t.Error(err)
		default:
			if _, twice := got.LoadOrStore(id, true); twice {
				t.Errorf("two got %s", id)
			}
		}
	})
	if want := int32(many - many/2); none.Load() != want {
		t.Errorf("%d got none, want %d", none.Load(), want)
	}
}
