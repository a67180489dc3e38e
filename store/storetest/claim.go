package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

func claimOnce(t *testing.T, s store.Store) {
	_, err := s.Claim(t.Context(), claiming(t, "a"))
	fails(t, "Claim of an unknown call", err, store.ErrNotFound)
	wrote(t, s, "a")

	admit(t, s, waiting(t, "a"))
	first := claim(t, s, claiming(t, "a"))
	want := store.Permit{Run: "run-1", At: after(2), GoodUntil: after(1000)}
	if first.Permit == nil || *first.Permit != want {
		t.Fatalf("the claim is %+v, want %+v", first.Permit, want)
	}
	same(t, "the votes", first.View.Votes, claiming(t, "a").Votes)
	same(t, "the decision", first.View.Decision, claiming(t, "a").Decision)
	isStored(t, s, first)

	repeat := claiming(t, "a")
	repeat.Run, repeat.At, repeat.Votes, repeat.Decision = "run-2", after(9), nil, nil
	repeat.Entries = []audit.Entry{entry(t, "a", "claimed again", audit.KindClaimed)}
	same(t, "the answer to a repeat", claim(t, s, repeat), first)
	isStored(t, s, first)
	wrote(t, s, "a", "requested", "claimed")

	use(t, s, using(t, "a"))
	if r := claim(t, s, repeat); r.Permit == nil || !r.Permit.UsedAt.Equal(after(3)) {
		t.Errorf("a repeat after the use answers %+v, want the time of the use", r.Permit)
	}
	repeat.At = time.Time{}
	_, err = s.Claim(t.Context(), repeat)
	invalid(t, "Claim without a time", err)
}

func claimConcurrently(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "a"))
	runs := make([]string, many)
	together(many, func(i int) {
		c := claiming(t, "a")
		c.Run = fmt.Sprintf("run-%d", i)
		c.Entries = []audit.Entry{entry(t, "a", "claimed by "+c.Run, audit.KindClaimed)}
		r, err := s.Claim(t.Context(), c)
		if err != nil || r.Permit == nil {
			t.Errorf("Claim: %+v, %v", r.Permit, err)
			return
		}
		runs[i] = r.Permit.Run
	})
	for i, run := range runs {
		if run != runs[0] {
			t.Errorf("caller %d was told that %q claimed, caller 0 that %q", i, run, runs[0])
		}
	}
	wrote(t, s, "a", "requested", "claimed by "+runs[0])
}

func claimDigest(t *testing.T, s store.Store) {
	before := admit(t, s, waiting(t, "a"))
	c := claiming(t, "a")
	for _, digest := range []string{"", "another", c.Digest + " "} {
		c.Digest = digest
		_, err := s.Claim(t.Context(), c)
		fails(t, "Claim with digest "+digest, err, store.ErrDigest)
	}
	isStored(t, s, before)
	wrote(t, s, "a", "requested")

	claim(t, s, claiming(t, "a"))
	_, err := s.Claim(t.Context(), c)
	fails(t, "a repeat with another digest", err, store.ErrDigest)
}

func claimEnded(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "a"))
	over := finish(t, s, ending(t, "a", approval.StatusExpired))
	same(t, "the answer to Claim", claim(t, s, claiming(t, "a")), over)
	isStored(t, s, over)
	if over.Permit != nil {
		t.Errorf("an ended call has the claim %+v", over.Permit)
	}
	wrote(t, s, "a", "requested", "ended")
}

func useOnce(t *testing.T, s store.Store) {
	fails(t, "Use of an unknown call", s.Use(t.Context(), using(t, "a")), store.ErrNotFound)
	admit(t, s, waiting(t, "a"))
	fails(t, "Use before Claim", s.Use(t.Context(), using(t, "a")), store.ErrNoPermit)
	claimed := claim(t, s, claiming(t, "a"))

	wrong := using(t, "a")
	wrong.Digest = "another"
	fails(t, "Use with another digest", s.Use(t.Context(), wrong), store.ErrDigest)
	late := using(t, "a")
	late.At = time.Time{}
	invalid(t, "Use without a time", s.Use(t.Context(), late))
	isStored(t, s, claimed)
	wrote(t, s, "a", "requested", "claimed")

	use(t, s, using(t, "a"))
	again := using(t, "a")
	again.Entries = []audit.Entry{entry(t, "a", "started again", audit.KindStarted)}
	fails(t, "a second Use", s.Use(t.Context(), again), store.ErrStarted)

	claimed.Permit.UsedAt = after(3)
	isStored(t, s, claimed)
	wrote(t, s, "a", "requested", "claimed", "started")
}

func useConcurrently(t *testing.T, s store.Store) {
	for _, id := range []string{"waited", "allowed"} {
		if id == "waited" {
			admit(t, s, waiting(t, id))
			claim(t, s, claiming(t, id))
		} else {
			admit(t, s, allowed(t, id))
		}
		var won atomic.Int32
		together(many, func(i int) {
			u := using(t, id)
			u.Retry, u.Activity = i%2 == 0, fmt.Sprint(i)
			err := s.Use(t.Context(), u)
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, store.ErrStarted) {
				t.Errorf("Use: %v, want %v", err, store.ErrStarted)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d of %d used the permit, want 1", won.Load(), many)
		}
		wrote(t, s, id, "requested", "claimed", "started")
	}
}

func useRetry(t *testing.T, s store.Store) {
	admit(t, s, allowed(t, "a"))
	first := using(t, "a")
	first.Token = "token-1"
	use(t, s, first)
	for _, c := range []struct {
		name  string
		alter func(*store.UseParams)
		want  error
	}{
		{"the same activity, not retried", func(u *store.UseParams) { u.Retry = false }, store.ErrStarted},
		{"the same activity, retried", func(*store.UseParams) {}, nil},
		{"the same activity, retried once more", func(*store.UseParams) {}, nil},
		{"another run", func(u *store.UseParams) { u.Run = "run-2" }, store.ErrStarted},
		{"another activity", func(u *store.UseParams) { u.Activity = "8" }, store.ErrStarted},
		{"the same execution",
			func(u *store.UseParams) { u.Retry, u.Run, u.Token = false, "run-2", "token-1" }, nil},
		{"an execution without a token",
			func(u *store.UseParams) { u.Retry, u.Token = false, "" }, store.ErrStarted},
		{"nobody", func(u *store.UseParams) { u.Run, u.Activity = "", "" }, store.ErrStarted},
		{"another digest", func(u *store.UseParams) { u.Digest = "another" }, store.ErrDigest},
	} {
		u := using(t, "a")
		u.Retry, u.At, u.Token = true, after(9), "token-2"
		u.Entries = []audit.Entry{entry(t, "a", c.name, audit.KindStarted)}
		c.alter(&u)
		if err := s.Use(t.Context(), u); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	r, err := s.Call(t.Context(), "a")
	if err != nil || !r.Permit.UsedAt.Equal(after(3)) {
		t.Errorf("the claim is %+v, %v; want the time of the first use", r.Permit, err)
	}
	wrote(t, s, "a", "requested", "claimed", "started")

	admit(t, s, allowed(t, "nameless"))
	u := using(t, "nameless")
	u.Retry, u.Run, u.Activity, u.Token = true, "", "", ""
	use(t, s, u)
	fails(t, "a retry by nobody of nobody's use", s.Use(t.Context(), u), store.ErrStarted)
}

func useRunOut(t *testing.T, s store.Store) {
	admit(t, s, allowed(t, "a"))
	late := using(t, "a")
	late.At, late.Token = after(1001), "token-1"
	fails(t, "Use after the permit ran out", s.Use(t.Context(), late), store.ErrRunOut)
	wrote(t, s, "a", "requested", "claimed")
	last := using(t, "a")
	last.At, last.Token = after(1000), "token-1"
	use(t, s, last)
	if err := s.Use(t.Context(), late); err != nil {
		t.Errorf("an execution that finds its own mark late: %v", err)
	}

	admit(t, s, waiting(t, "endless"))
	c := claiming(t, "endless")
	c.GoodUntil = time.Time{}
	_, err := s.Claim(t.Context(), c)
	invalid(t, "a permit that never runs out", err)
}

func useWithoutClaim(t *testing.T, s store.Store) {
	admit(t, s, allowed(t, "void"))
	finish(t, s, ending(t, "void", approval.StatusCancelled))
	fails(t, "Use of a void permit", s.Use(t.Context(), using(t, "void")), store.ErrNoPermit)
	wrote(t, s, "void", "requested", "claimed", "ended")

	admit(t, s, allowed(t, "over"))
	finish(t, s, ending(t, "over", approval.StatusFailed))
	fails(t, "the first Use after the end", s.Use(t.Context(), using(t, "over")), store.ErrNoPermit)

	admit(t, s, allowed(t, "ran"))
	u := using(t, "ran")
	u.Retry = true
	use(t, s, u)
	finish(t, s, ending(t, "ran", approval.StatusExecuted))
	fails(t, "a retry after the end", s.Use(t.Context(), u), store.ErrNoPermit)
}

func claimOfARejectedCall(t *testing.T, s store.Store) {
	sent := audit.Sent{
		DecisionID: "no", Reviewer: "bob", Channel: "api", Method: "token", Digest: digestOf("a"), At: after(2),
	}
	reject := func(id string) {
		t.Helper()
		e, err := audit.New(id, "sent/no", after(2), sent)
		if err == nil {
			err = s.Append(t.Context(), e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"a", "b", "claimed"} {
		admit(t, s, waiting(t, id))
	}
	first := claim(t, s, claiming(t, "claimed"))
	reject("a")
	reject("claimed")
	if err := s.Append(t.Context(), entry(t, "b", "refused", audit.KindRefused)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Claim(t.Context(), claiming(t, "a"))
	fails(t, "Claim by somebody who has not seen the rejection", err, store.ErrRevised)
	if r, err := s.Call(t.Context(), "a"); err != nil || r.Permit != nil {
		t.Errorf("it has a permit: %+v, %v", r.Permit, err)
	}
	seen := claiming(t, "a")
	seen.Sent = 1
	if r := claim(t, s, seen); r.Permit == nil {
		t.Error("no permit for somebody who has seen the rejection")
	}
	claim(t, s, claiming(t, "b"))
	again := claim(t, s, claiming(t, "claimed"))
	if again.Permit == nil || !again.Permit.At.Equal(first.Permit.At) {
		t.Errorf("the permit that was taken before: %+v", again.Permit)
	}
}
