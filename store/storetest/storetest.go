// Package storetest checks that a backend keeps what package store promises. Every backend runs it
// from a test of its own.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
)

// Run checks a backend. open makes an empty store that may be written, and closes it with
// t.Cleanup; a store may be closed twice. Run calls it for each promise, several at a time, and
// returns when all are checked.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	t.Run("store", func(t *testing.T) {
		for _, promise := range []struct {
			name  string
			check func(*testing.T, store.Store)
		}{
			{"admit: the first write wins", admitFirstWins},
			{"admit: one of many at once is fresh", admitConcurrently},
			{"admit: an allowed call is claimed with it", admitAllowed},
			{"admit: an ended call stays ended", admitEnded},
			{"admit: what can't be is refused", admitInvalid},
			{"twins: one at a time waits", twinsCollapse},
			{"twins: one of many at once is admitted", twinsConcurrently},
			{"twins: nobody is their own", twinsRepeated},
			{"twins: one after the other", twinsFollow},
			{"claim: the permit is given once", claimOnce},
			{"claim: one of many at once takes it", claimConcurrently},
			{"claim: only for the admitted digest", claimDigest},
			{"claim: not for a call that ended", claimEnded},
			{"claim: only by the policy that is active", claimByActivePolicy},
			{"tighten: once for what was judged", tightenOnce},
			{"tighten: many at once, and claims beside them", tightenConcurrently},
			{"use: once", useOnce},
			{"use: once among many at once", useConcurrently},
			{"use: again only by the same execution or retried activity", useRetry},
			{"use: not after the permit ran out", useRunOut},
			{"use: not without a claim that holds", useWithoutClaim},
			{"claim: not over a rejection on record", claimOfARejectedCall},
			{"finish: the first ending is final", finishFirstWins},
			{"finish: one of many at once is fresh", finishConcurrently},
			{"finish: a denial voids an unused permit", finishVoids},
			{"finish: no denial after the tool started", finishStarted},
			{"finish: no result without a claim", finishUnclaimed},
			{"finish: votes are kept unless given", finishVotes},
			{"finish: what can't be is refused", finishInvalid},
			{"finish: no result before the permit was used", finishUnused},
			{"settle: once, by one", settleOnce},
			{"settle: one of many at once is fresh", settleConcurrently},
			{"settle: only what is unknown, and with a reason", settleRefused},
			{"settle: what is not is listed", settleList},
			{"claim or finish: one of them wins", claimAgainstFinish},
			{"the view follows the call's life", viewFollows},
			{"append: once for each call and step", appendOnce},
			{"entries: in order, by pages", entriesPaged},
			{"entries: filters and totals", entriesFiltered},
			{"entries: of calls and by people", entriesOfCalls},
			{"entries: large ones end a page early", entriesLarge},
			{"entries: none that would not verify", entriesChecked},
			{"calls: what the log says of them is not kept twice", inLog},
			{"calls: nor of those that their callers run", inLogOfCallers},
			{"erase: payloads, then rows, and the log verifies", eraseInSteps},
			{"erase: nothing of what is open", eraseOpen},
			{"erase: what is written afterwards", erasedStays},
			{"erase: by age", erasableByAge},
			{"tokens: ended ones are pruned", tokensPruned},
			{"restored: permits that were not used are void", restoredVoids},
			{"calls: newest first, by stable pages", callsPaged},
			{"calls: filters", callsFiltered},
			{"calls: days and people", callsByDaysAndPeople},
			{"calls: by people, whatever tools answered", callsOfOddAnswers},
			{"calls: the nearest deadline first", callsByDeadline},
			{"calls: totals are exact up to a thousand", callsTotal},
			{"lists: bad cursors, limits and filters", listsInvalid},
			{"changes: of requests, each once", changesFollow},
			{"notices: of requests, and of unknown ends", noticesTold},
			{"channels: one owner at a time", channelsLeased},
			{"resolve: prefixes", resolvePrefixes},
			{"claim: handed to other workers, it is not used here", claimElsewhere},
			{"finish: only the run that handed it over knows that nothing ran", finishElsewhere},
			{"tools: an operator's are what it says, and its names", toolsOfOperators},
			{"tools: an agent's are changed by nobody else", toolsOfAgents},
			{"tools: one of many at once gets the name", toolsAtOnce},
			{"tools: forgotten ones leave their names to others", toolsForgotten},
			{"tools: what can't be is refused", toolsInvalid},
			{"sessions: kept until they expire", sessionsKept},
			{"sessions: taken once", sessionsTaken},
			{"sessions: ended everywhere", sessionsEnd},
			{"policies: one is active, and all are kept", policiesApplied},
			{"policies: a repeat changes nothing", policiesRepeated},
			{"policies: one of many at once replaces a version", policiesAtOnce},
			{"policies: not without its record", policiesRecorded},
			{"policies: by digest, or by its beginning", policiesByDigest},
			{"policies: the latest first, by pages", policiesPaged},
			{"policies: what can't be is refused", policiesInvalid},
			{"tokens: they are kept as they are", tokensKept},
			{"tokens: revoked ones stay so", tokensRevoked},
			{"tokens: one of many revocations at once is fresh", tokensAtOnce},
			{"tokens: newest first, by pages", tokensPaged},
			{"tokens: what can't be is refused", tokensInvalid},
			{"keys: they are kept as they are", keysKept},
			{"keys: they are retired once and revoked once", keysEnded},
			{"keys: one of many changes at once is fresh", keysAtOnce},
			{"keys: the newest, or by name, and never a revoked one", keysTrusted},
			{"keys: newest first, by pages", keysPaged},
			{"keys: what can't be is refused", keysInvalid},
			{"use: signed decisions are verified first", useVerified},
			{"start: once, by the caller alone", startOnce},
			{"start: one of many at once, or the end", startConcurrently},
			{"start: what can't be is refused", startRefused},
			{"report: the first one ends the call", reportOnce},
			{"report: a late one is evidence, once", reportLate},
			{"report or silence: one of them wins", reportConcurrently},
			{"attach: to what nobody uses", attachOnce},
			{"attach: many at once", attachConcurrently},
			{"previous: the last identical calls before one", previousCalls},
			{"own tools: an agent's list is what it says", ownTools},
			{"log: sealed in order, once", logSealed},
			{"log: 64 writers, two sealers", logSealedConcurrently},
			{"identity: every store has its own", identity},
			{"values: they come back as they were", valuesRoundTrip},
			{"values: large ones too", valuesLarge},
			{"a cancelled context writes nothing", cancelled},
			{"a closed store answers nothing", closed},
		} {
			t.Run(promise.name, func(t *testing.T) {
				t.Parallel()
				promise.check(t, open(t))
			})
		}
	})
}

// many is how many callers do the same thing at once.
const many = 32

var began = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

// after is a time that differs in every microsecond digit.
func after(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }

func digestOf(id string) string { return "digest of " + id }

// waiting is a call that people must approve.
func waiting(t *testing.T, id string) store.AdmitParams {
	deadline := after(3600)
	return store.AdmitParams{
		View: approval.View{
			ID: id, Tool: "charge_card", Args: json.RawMessage(`{"amount":5}`), Digest: digestOf(id),
			Status: approval.StatusPending, CreatedAt: began, Deadline: &deadline, Requirement: approval.OneApproval(),
		},
		Verdict: approval.Verdict{
			Kind: approval.VerdictRequire, Requirement: approval.OneApproval(),
			Timeout: approval.DefaultTimeout, ValidFor: approval.DefaultValidFor,
		},
		Run: "run-1", IsRequest: true,
		Entries: []audit.Entry{entry(t, id, "requested", audit.KindRequested)},
	}
}

// allowed is a call that the policy lets run at once.
func allowed(t *testing.T, id string) store.AdmitParams {
	a := waiting(t, id)
	a.View.Status, a.View.Deadline, a.View.Requirement = approval.StatusExecuting, nil, nil
	a.Verdict = approval.Verdict{Kind: approval.VerdictAllow}
	a.IsRequest, a.TakePermit, a.GoodUntil = false, true, after(1000)
	a.Entries = append(a.Entries, entry(t, id, "claimed", audit.KindClaimed))
	return a
}

func claiming(t *testing.T, id string) store.ClaimParams {
	vote := approval.Decision{
		ID: "d-1", Kind: approval.Approve, Reviewer: "alice", Authenticated: true, At: after(1),
	}
	return store.ClaimParams{
		ID: id, Run: "run-1", Digest: digestOf(id), At: after(2), GoodUntil: after(1000),
		Votes: []approval.Decision{vote}, Decision: vote.Final(),
		Entries: []audit.Entry{entry(t, id, "claimed", audit.KindClaimed)},
	}
}

func using(t *testing.T, id string) store.UseParams {
	return store.UseParams{
		ID: id, Digest: digestOf(id), Run: "run-1", Activity: "7", At: after(3),
		Entries: []audit.Entry{entry(t, id, "started", audit.KindStarted)},
	}
}

func ending(t *testing.T, id string, status approval.Status) store.FinishParams {
	return store.FinishParams{
		Outcome: approval.Outcome{ID: id, Tool: "charge_card", Status: status, Digest: digestOf(id)},
		At:      after(4),
		Entries: []audit.Entry{entry(t, id, "ended", audit.KindEnded)},
	}
}

// Payload takes the place of any kind's: a backend reads no payloads.
type Payload struct {
	Of   audit.Kind      `json:"-"`
	Note string          `json:"note,omitempty"`
	JSON json.RawMessage `json:"json,omitempty"`
}

// Kind implements audit.Payload.
func (p Payload) Kind() audit.Kind { return p.Of }

func admit(t *testing.T, s store.Store, a store.AdmitParams) store.Record {
	t.Helper()
	r, fresh, err := s.Admit(t.Context(), a)
	if err != nil || !fresh {
		t.Fatalf("Admit(%q): fresh %v, %v; want a fresh call", a.View.ID, fresh, err)
	}
	return r
}

func claim(t *testing.T, s store.Store, c store.ClaimParams) store.Record {
	t.Helper()
	r, err := s.Claim(t.Context(), c)
	if err != nil {
		t.Fatalf("Claim(%q): %v", c.ID, err)
	}
	return r
}

func use(t *testing.T, s store.Store, u store.UseParams) {
	t.Helper()
	if err := s.Use(t.Context(), u); err != nil {
		t.Fatalf("Use(%q): %v", u.ID, err)
	}
}

func finish(t *testing.T, s store.Store, f store.FinishParams) store.Record {
	t.Helper()
	r, fresh, err := s.Finish(t.Context(), f)
	if err != nil || !fresh {
		t.Fatalf("Finish(%q): fresh %v, %v; want it to end now", f.Outcome.ID, fresh, err)
	}
	return r
}

// isStored fails unless the stored call is r, and returns it.
func isStored(t *testing.T, s store.Store, r store.Record) store.Record {
	t.Helper()
	stored, err := s.Call(t.Context(), r.View.ID)
	if err != nil {
		t.Fatalf("Call(%q): %v", r.View.ID, err)
	}
	same(t, "the stored call", stored, r)
	return stored
}

// wrote fails unless the log of a call has exactly these steps, in order.
func wrote(t *testing.T, s store.Store, id string, steps ...string) {
	t.Helper()
	page, err := s.Entries(t.Context(), store.EntryQuery{Subject: id})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Items {
		if err := e.Check(); err != nil {
			t.Error(err)
		}
		got = append(got, e.Step)
	}
	if !slices.Equal(got, steps) {
		t.Errorf("the log of %q has steps %q, want %q", id, got, steps)
	}
}

// same compares values by what they say in JSON, in which times are compared with their zone:
// stores answer in UTC.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, gerr := strictjson.Canonical([]any{got})
	w, werr := strictjson.Canonical([]any{want})
	if err := errors.Join(gerr, werr); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if string(g) != string(w) {
		t.Errorf("%s is\n%.2000s\nwant\n%.2000s", what, g, w)
	}
}

func fails(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
	}
}

func invalid(t *testing.T, what string, err error) {
	t.Helper()
	if approval.CodeOf(err) != approval.CodeInvalid {
		t.Errorf("%s: error is %v, want code %s", what, err, approval.CodeInvalid)
	}
}

// once fails unless one of many that tried at once did it.
func once(t *testing.T, what string, did []bool) {
	t.Helper()
	if first := slices.Index(did, true); first < 0 || slices.Contains(did[first+1:], true) {
		t.Errorf("of many at once, these %s it: %v", what, did)
	}
}

// together runs f many times, all starting at once.
func together(n int, f func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

func identity(t *testing.T, s store.Store) {
	id, err := s.ID(t.Context())
	again, errAgain := s.ID(t.Context())
	if err := errors.Join(err, errAgain); err != nil {
		t.Fatal(err)
	}
	if len(id) != 32 || again != id {
		t.Errorf("the ID is %q, then %q", id, again)
	}
	if _, twice := identities.LoadOrStore(id, true); twice {
		t.Errorf("another store has the ID %q, too", id)
	}
}

// identities are the IDs that were seen.
var identities sync.Map

func cancelled(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := s.Admit(ctx, waiting(t, "b"))
	fails(t, "Admit", err, context.Canceled)
	_, err = s.Claim(ctx, claiming(t, "a"))
	fails(t, "Claim", err, context.Canceled)
	_, _, err = s.Finish(ctx, ending(t, "a", approval.StatusExpired))
	fails(t, "Finish", err, context.Canceled)
	fails(t, "Append", s.Append(ctx, entry(t, "a", "more", audit.KindRefused)), context.Canceled)
	_, err = s.Calls(ctx, store.CallQuery{})
	fails(t, "Calls", err, context.Canceled)
	_, _, err = s.ApplyPolicy(ctx, applying(0, "a"))
	fails(t, "ApplyPolicy", err, context.Canceled)
	_, err = s.ActivePolicy(ctx)
	fails(t, "ActivePolicy", err, context.Canceled)

	_, err = s.Call(t.Context(), "b")
	fails(t, "a call whose Admit was cancelled", err, store.ErrNotFound)
	_, err = s.ActivePolicy(t.Context())
	fails(t, "a policy whose ApplyPolicy was cancelled", err, store.ErrNotFound)
	wrote(t, s, "a", "requested")
	claim(t, s, claiming(t, "a"))
}

func closed(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "a"))
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping says that a closed store works")
	}
	if _, _, err := s.Admit(t.Context(), waiting(t, "b")); err == nil {
		t.Error("Admit says that a closed store wrote")
	}
	if _, err := s.Call(t.Context(), "a"); err == nil {
		t.Error("Call answered from a closed store")
	}
	if _, _, err := s.ApplyPolicy(t.Context(), applying(0, "a")); err == nil {
		t.Error("ApplyPolicy says that a closed store wrote")
	}
	if _, err := s.ActivePolicy(t.Context()); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("ActivePolicy answered %v from a closed store", err)
	}
}
