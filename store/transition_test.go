package store_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("east", 3600))

func record(status approval.Status, p *store.Permit) store.Record {
	return store.Record{View: approval.View{ID: "c", Digest: "d", Status: status}, Run: "admitted", IsRequest: true, Permit: p}
}

func TestApplyClaim(t *testing.T) {
	votes := []approval.Decision{{ID: "dec-1", Kind: approval.Approve}}
	claim := store.ClaimParams{
		ID: "c", Run: "r1", Digest: "d", At: at, GoodUntil: at.Add(time.Hour), Queue: "q", Evidence: "e",
		Votes: votes, Decision: votes[0].Final(),
	}
	taken := &store.Permit{Run: "r0"}
	revised := record(approval.StatusPending, nil)
	revised.Revision = 1
	ended := record(approval.StatusRejected, nil)
	for name, c := range map[string]struct {
		before  store.Record
		digest  string
		changed bool
		err     error
	}{
		"changed since":          {revised, "d", false, store.ErrRevised},
		"ended, changed since":   {store.Record{View: ended.View, Revision: 1}, "d", false, nil},
		"pending":                {record(approval.StatusPending, nil), "d", true, nil},
		"taken before":           {record(approval.StatusExecuting, taken), "d", false, nil},
		"ended":                  {record(approval.StatusRejected, nil), "d", false, nil},
		"ended with a permit":    {record(approval.StatusFailed, taken), "d", false, nil},
		"of another digest":      {record(approval.StatusPending, nil), "e", false, store.ErrDigest},
		"ended, another digest":  {record(approval.StatusRejected, nil), "e", false, store.ErrDigest},
		"of no digest":           {record(approval.StatusPending, nil), "", false, store.ErrDigest},
		"taken, another digest":  {record(approval.StatusExecuting, taken), "e", false, store.ErrDigest},
		"admitted as evaluating": {record(approval.StatusEvaluating, nil), "d", true, nil},
	} {
		claim.Digest = c.digest
		next, changed, err := store.ApplyClaim(c.before, store.Now{}, claim)
		want := c.before
		if c.changed {
			want.Permit = &store.Permit{
				Run: "r1", At: time.Date(2026, 1, 2, 2, 4, 5, 678901000, time.UTC),
				GoodUntil: time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC), Queue: "q", Evidence: "e",
			}
			want.View.Status, want.View.Votes, want.View.Decision = approval.StatusExecuting, votes, claim.Decision
		}
		if changed != c.changed || !errors.Is(err, c.err) || !reflect.DeepEqual(next, want) {
			t.Errorf("%s: %+v, changed %v, %v", name, next, changed, err)
		}
	}
}

// A permit is taken only by somebody who has seen every decision that was sent.
func TestApplyClaimAfterAnotherDecision(t *testing.T) {
	for name, c := range map[string]struct {
		before store.Record
		digest string
		seen   int
		taken  bool
		err    error
	}{
		"unseen":         {record(approval.StatusPending, nil), "d", 0, false, store.ErrRevised},
		"one unseen":     {record(approval.StatusPending, nil), "d", 1, false, store.ErrRevised},
		"seen":           {record(approval.StatusPending, nil), "d", 2, true, nil},
		"taken before":   {record(approval.StatusExecuting, &store.Permit{Run: "r0"}), "d", 0, false, nil},
		"ended":          {record(approval.StatusExpired, nil), "d", 0, false, nil},
		"another digest": {record(approval.StatusPending, nil), "e", 2, false, store.ErrDigest},
	} {
		next, changed, err := store.ApplyClaim(c.before, store.Now{Sent: 2}, store.ClaimParams{Digest: c.digest, Sent: c.seen, At: at})
		if changed != c.taken || !errors.Is(err, c.err) || !c.taken && !reflect.DeepEqual(next, c.before) {
			t.Errorf("%s: %+v, changed %v, %v", name, next, changed, err)
		}
	}
}

// A permit is taken only by the version of the policy that is active.
func TestApplyClaimByAnotherPolicy(t *testing.T) {
	for judged, want := range map[int64]error{
		2: nil, store.UnversionedPolicy: nil, 0: store.ErrPolicyChanged, 1: store.ErrPolicyChanged, 3: store.ErrPolicyChanged,
	} {
		before := record(approval.StatusPending, nil)
		_, changed, err := store.ApplyClaim(before, store.Now{Policy: 2}, store.ClaimParams{Digest: "d", Policy: judged})
		if changed != (want == nil) || !errors.Is(err, want) {
			t.Errorf("judged by version %d: changed %v, %v", judged, changed, err)
		}
	}
}

func TestApplyTighten(t *testing.T) {
	two := approval.Requirement{Approvals: []approval.Approvals{{Count: 2}}}
	for name, c := range map[string]struct {
		before   store.Record
		digest   string
		revision int64
		changed  bool
		err      error
	}{
		"pending":           {record(approval.StatusPending, nil), "d", 0, true, nil},
		"changed since":     {record(approval.StatusPending, nil), "d", 1, false, nil},
		"claimed":           {record(approval.StatusPending, &store.Permit{}), "d", 0, false, nil},
		"executing":         {record(approval.StatusExecuting, &store.Permit{}), "d", 0, false, nil},
		"ended":             {record(approval.StatusRejected, nil), "d", 0, false, nil},
		"of another digest": {record(approval.StatusPending, nil), "e", 0, false, store.ErrDigest},
	} {
		next, changed, err := store.ApplyTighten(c.before, store.TightenParams{Digest: c.digest, Revision: c.revision, Requirement: two})
		want := c.before
		if c.changed {
			want.View.Requirement, want.Revision = &two, 1
		}
		if changed != c.changed || !errors.Is(err, c.err) || !reflect.DeepEqual(next, want) {
			t.Errorf("%s: %+v, changed %v, %v", name, next, changed, err)
		}
	}
}

func TestApplyUse(t *testing.T) {
	good := store.PermitState{Digest: "d", Claimed: true, GoodUntil: store.Micros(at)}
	used := good
	used.Used, used.Run, used.Activity, used.Token = true, "r", "5", "t"
	with := func(s store.PermitState, change func(*store.PermitState)) store.PermitState {
		change(&s)
		return s
	}
	first := store.UseParams{ID: "c", Digest: "d", Run: "r", Activity: "5", Token: "t", At: at}
	asked := func(change func(*store.UseParams)) store.UseParams {
		u := first
		change(&u)
		return u
	}
	another := asked(func(u *store.UseParams) { u.Token = "other" })
	for name, c := range map[string]struct {
		state store.PermitState
		use   store.UseParams
		fresh bool
		err   error
	}{
		"first":                 {good, first, true, nil},
		"never claimed":         {store.PermitState{Digest: "d"}, first, false, store.ErrNoPermit},
		"void":                  {with(good, func(s *store.PermitState) { s.Void = true }), first, false, store.ErrNoPermit},
		"with another queue":    {with(good, func(s *store.PermitState) { s.Remote = true }), first, false, store.ErrNoPermit},
		"ended":                 {with(good, func(s *store.PermitState) { s.Ended = true }), first, false, store.ErrNoPermit},
		"ended after the use":   {with(used, func(s *store.PermitState) { s.Ended = true }), first, false, store.ErrNoPermit},
		"another digest":        {good, asked(func(u *store.UseParams) { u.Digest = "e" }), false, store.ErrDigest},
		"another digest, again": {used, asked(func(u *store.UseParams) { u.Digest = "e" }), false, store.ErrDigest},

		"its own repeat":            {used, first, false, nil},
		"its own repeat, too late":  {used, asked(func(u *store.UseParams) { u.At = at.Add(time.Hour) }), false, nil},
		"another execution":         {used, another, false, store.ErrStarted},
		"without a token":           {with(used, func(s *store.PermitState) { s.Token = "" }), asked(func(u *store.UseParams) { u.Token = "" }), false, store.ErrStarted},
		"a retry":                   {used, asked(func(u *store.UseParams) { u.Token, u.Retry = "other", true }), false, nil},
		"a retry of another run":    {used, asked(func(u *store.UseParams) { u.Token, u.Retry, u.Run = "other", true, "r2" }), false, store.ErrStarted},
		"a retry of another step":   {used, asked(func(u *store.UseParams) { u.Token, u.Retry, u.Activity = "other", true, "6" }), false, store.ErrStarted},
		"a retry without a step":    {with(used, func(s *store.PermitState) { s.Activity = "" }), asked(func(u *store.UseParams) { u.Token, u.Retry, u.Activity = "other", true, "" }), false, store.ErrStarted},
		"a retry, but no use yet":   {good, asked(func(u *store.UseParams) { u.Retry = true }), true, nil},
		"another execution, signed": {with(used, func(s *store.PermitState) { s.Signed = true }), another, false, store.ErrStarted},

		"at the last microsecond": {good, asked(func(u *store.UseParams) { u.At = store.Micros(at).Add(999) }), true, nil},
		"a microsecond late":      {good, asked(func(u *store.UseParams) { u.At = at.Add(time.Microsecond) }), false, store.ErrRunOut},

		"signed, not verified":          {with(good, func(s *store.PermitState) { s.Signed = true }), first, false, store.ErrUnverified},
		"signed and verified":           {with(good, func(s *store.PermitState) { s.Signed = true }), asked(func(u *store.UseParams) { u.Verified = true }), true, nil},
		"signed, not verified and late": {with(good, func(s *store.PermitState) { s.Signed = true }), asked(func(u *store.UseParams) { u.At = at.Add(time.Hour) }), false, store.ErrRunOut},
	} {
		if fresh, err := store.ApplyUse(c.state, c.use); fresh != c.fresh || !errors.Is(err, c.err) {
			t.Errorf("%s: fresh %v, %v; want %v, %v", name, fresh, err, c.fresh, c.err)
		}
	}
}

func TestApplyFinish(t *testing.T) {
	var (
		unused   = store.Permit{Run: "r1"}
		usedOnce = store.Permit{Run: "r1", UsedAt: at}
		remote   = store.Permit{Run: "r1", Queue: "q"}
		no       *store.Permit
	)
	const (
		ends   = "ends"
		voids  = "voids"
		before = "ended before"
		lost   = "lost" // as the run
	)
	for name, c := range map[string]struct {
		status approval.Status // before
		permit *store.Permit
		end    approval.Status
		run    string
		want   any // ends, voids, before or an error
	}{
		"a denial":                     {approval.StatusPending, no, approval.StatusRejected, "r1", ends},
		"it ended before":              {approval.StatusRejected, no, approval.StatusExecuted, "r1", before},
		"executed":                     {approval.StatusExecuting, &usedOnce, approval.StatusExecuted, "r1", ends},
		"executed by another queue":    {approval.StatusExecuting, &remote, approval.StatusExecuted, "r1", ends},
		"executed, never used":         {approval.StatusExecuting, &unused, approval.StatusExecuted, "r1", store.ErrNoPermit},
		"executed, never claimed":      {approval.StatusPending, no, approval.StatusExecuted, "r1", store.ErrNoPermit},
		"failed, never used":           {approval.StatusExecuting, &unused, approval.StatusFailed, "r1", ends},
		"failed, never claimed":        {approval.StatusPending, no, approval.StatusFailed, "r1", store.ErrNoPermit},
		"unknown, never claimed":       {approval.StatusPending, no, approval.StatusOutcomeUnknown, "r1", store.ErrNoPermit},
		"unknown, used":                {approval.StatusExecuting, &usedOnce, approval.StatusOutcomeUnknown, "r2", ends},
		"cancelled, never used":        {approval.StatusExecuting, &unused, approval.StatusCancelled, "r2", voids},
		"cancelled, used":              {approval.StatusExecuting, &usedOnce, approval.StatusCancelled, "r1", store.ErrStarted},
		"cancelled by whom it is with": {approval.StatusExecuting, &remote, approval.StatusCancelled, "r1", voids},
		"cancelled by another run":     {approval.StatusExecuting, &remote, approval.StatusCancelled, "r2", store.ErrStarted},
		"cancelled by no run":          {approval.StatusExecuting, &remote, approval.StatusCancelled, "", store.ErrStarted},

		"lost, never claimed":            {approval.StatusPending, no, approval.StatusOutcomeUnknown, lost, ends},
		"lost, never used":               {approval.StatusExecuting, &unused, approval.StatusOutcomeUnknown, lost, ends},
		"lost, with a caller's permit":   {approval.StatusApproved, &store.Permit{Executor: approval.ExecutionCaller}, approval.StatusOutcomeUnknown, lost, ends},
		"lost, and ended before":         {approval.StatusRejected, no, approval.StatusOutcomeUnknown, lost, before},
		"lost is no way to executed":     {approval.StatusPending, no, approval.StatusExecuted, lost, store.ErrNoPermit},
		"lost is no way to failed":       {approval.StatusPending, no, approval.StatusFailed, lost, store.ErrNoPermit},
		"lost is no way out of a permit": {approval.StatusExecuting, &usedOnce, approval.StatusCancelled, lost, store.ErrStarted},
	} {
		for _, votes := range [][]approval.Decision{nil, {}, {{ID: "dec-2"}}} {
			stored := record(c.status, c.permit)
			stored.View.Votes = []approval.Decision{{ID: "dec-1"}}
			f := store.FinishParams{Outcome: approval.Outcome{ID: "c", Status: c.end}, Run: c.run, Votes: votes, At: at, Lost: c.run == lost}
			next, changed, err := store.ApplyFinish(stored, f)
			want, wantErr := stored, error(nil)
			switch w := c.want.(type) {
			case error:
				wantErr = w
			case string:
				if w != before {
					ended := store.Micros(at)
					want.View.Status, want.View.EndedAt = c.end, &ended
					if votes != nil {
						want.View.Votes = votes
					}
				}
				if w == voids {
					void := *c.permit
					void.Void = true
					want.Permit = &void
				}
			}
			if wantChanged := c.want == any(ends) || c.want == any(voids); changed != wantChanged || !errors.Is(err, wantErr) || !reflect.DeepEqual(next, want) {
				t.Errorf("%s: %+v, changed %v, %v", name, next, changed, err)
			}
			if c.permit != nil && c.permit.Void {
				t.Fatalf("%s: the permit that was read is changed", name)
			}
			if c.want == any(ends) && next.Permit != c.permit {
				t.Errorf("%s: backends would void the permit", name)
			}
		}
	}
}
