package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

func settling(t *testing.T, id, by string, ran bool) store.SettleParams {
	return store.SettleParams{
		ID: id, Settled: approval.Settled{Ran: ran, By: by, At: after(9), Notes: "looked it up"},
		Entries: []audit.Entry{entry(t, id, "settled", audit.KindSettled)},
	}
}

// unknown admits a call that waited for people and ended as outcome_unknown.
func unknown(t *testing.T, s store.Store, id string) {
	t.Helper()
	admit(t, s, waiting(t, id))
	claim(t, s, claiming(t, id))
	use(t, s, using(t, id))
	finish(t, s, ending(t, id, approval.StatusOutcomeUnknown))
}

func settleOnce(t *testing.T, s store.Store) {
	_, _, err := s.Settle(t.Context(), settling(t, "a", "ana", true))
	fails(t, "Settle of an unknown call", err, store.ErrNotFound)
	unknown(t, s, "a")

	p := settling(t, "a", "ana", true)
	p.Settled.Result = json.RawMessage(`{"paid":true,"text":"<a>"}`)
	r, fresh, err := s.Settle(t.Context(), p)
	if err != nil || !fresh {
		t.Fatalf("Settle: fresh %v, %v", fresh, err)
	}
	if got := r.View.Settled; got == nil || !got.Same(p.Settled) || !got.At.Equal(p.Settled.At) {
		t.Errorf("settled is %+v, want %+v", got, p.Settled)
	}
	if r.View.Status != approval.StatusOutcomeUnknown {
		t.Errorf("the status became %s", r.View.Status)
	}
	same(t, "the outcome's", r.View.Outcome().Settled, r.View.Settled)
	isStored(t, s, r)

	p.Settled.At = after(10)
	again, fresh, err := s.Settle(t.Context(), p)
	if err != nil || fresh {
		t.Errorf("a repeat: fresh %v, %v", fresh, err)
	}
	same(t, "the answer to a repeat", again, r)
	for what, change := range map[string]func(*approval.Settled){
		"otherwise":          func(s *approval.Settled) { s.Ran, s.Result = false, nil },
		"by somebody else":   func(s *approval.Settled) { s.By = "bo" },
		"with other notes":   func(s *approval.Settled) { s.Notes = "guessed" },
		"with other results": func(s *approval.Settled) { s.Result = json.RawMessage(`{"paid":false}`) },
	} {
		other := p
		change(&other.Settled)
		got, fresh, err := s.Settle(t.Context(), other)
		if fails(t, "Settle "+what, err, store.ErrSettled); fresh {
			t.Errorf("Settle %s is fresh", what)
		}
		same(t, "what was settled before", got, r)
	}
	isStored(t, s, r)
	wrote(t, s, "a", "requested", "claimed", "started", "ended", "settled")
}

func settleConcurrently(t *testing.T, s store.Store) {
	unknown(t, s, "a")
	var fresh atomic.Int32
	kept := make([]*approval.Settled, many)
	together(many, func(i int) {
		r, now, err := s.Settle(t.Context(), settling(t, "a", fmt.Sprint("reviewer ", i%3), i%2 == 0))
		if err != nil && !errors.Is(err, store.ErrSettled) {
			t.Errorf("Settle: %v", err)
		}
		if kept[i] = r.View.Settled; now {
			fresh.Add(1)
		}
	})
	if fresh.Load() != 1 {
		t.Errorf("%d are fresh, want 1", fresh.Load())
	}
	for _, k := range kept {
		same(t, "what everybody is told", k, kept[0])
	}
	wrote(t, s, "a", "requested", "claimed", "started", "ended", "settled")
}

func settleRefused(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "waits"))
	admit(t, s, allowed(t, "runs"))
	admit(t, s, allowed(t, "ran"))
	use(t, s, using(t, "ran"))
	finish(t, s, ending(t, "ran", approval.StatusExecuted))
	for _, id := range []string{"waits", "runs", "ran"} {
		_, _, err := s.Settle(t.Context(), settling(t, id, "ana", true))
		fails(t, "Settle of a call that "+id, err, store.ErrNotUnknown)
	}
	unknown(t, s, "a")
	for what, change := range map[string]func(*store.SettleParams){
		"by nobody":                       func(p *store.SettleParams) { p.Settled.By = "" },
		"without a reason":                func(p *store.SettleParams) { p.Settled.Notes = " " },
		"without a time":                  func(p *store.SettleParams) { p.Settled.At = approval.Settled{}.At },
		"with a result that did not come": func(p *store.SettleParams) { p.Settled.Ran, p.Settled.Result = false, []byte(`1`) },
		"with an entry of something else": func(p *store.SettleParams) { p.Entries[0].Subject = audit.SubjectPolicy },
	} {
		p := settling(t, "a", "ana", true)
		change(&p)
		_, _, err := s.Settle(t.Context(), p)
		invalid(t, "Settle "+what, err)
	}
	wrote(t, s, "a", "requested", "claimed", "started", "ended")
}

// settleList: only what somebody still has to look into is listed.
func settleList(t *testing.T, s store.Store) {
	for _, id := range []string{"a", "b", "c"} {
		unknown(t, s, id)
	}
	admit(t, s, waiting(t, "waits"))
	admit(t, s, allowed(t, "nobody was asked"))
	use(t, s, using(t, "nobody was asked"))
	finish(t, s, ending(t, "nobody was asked", approval.StatusOutcomeUnknown))
	if _, _, err := s.Settle(t.Context(), settling(t, "b", "ana", false)); err != nil {
		t.Fatal(err)
	}
	listed := func(q store.CallQuery) (ids []string) {
		t.Helper()
		for {
			p, err := s.Calls(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range p.Items {
				ids = append(ids, v.ID)
			}
			if q.Cursor = p.Next; p.Next == "" {
				return ids
			}
		}
	}
	same(t, "unsettled requests", listed(store.CallQuery{Requests: true, Unsettled: true, Limit: 1}), []string{"c", "a"})
	same(t, "of a tool", listed(store.CallQuery{Requests: true, Unsettled: true, Tool: "none"}), []string(nil))
	all := store.CallQuery{Requests: true, Statuses: []approval.Status{approval.StatusOutcomeUnknown}}
	same(t, "all unknown outcomes", listed(all), []string{"c", "b", "a"})
}
