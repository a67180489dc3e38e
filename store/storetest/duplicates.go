package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

func twin(t *testing.T, id, twin string) store.AdmitParams {
	a := waiting(t, id)
	a.DuplicateKey = twin
	return a
}

// heldBack fails unless a call is kept out by the other one, which is pending.
func heldBack(t *testing.T, s store.Store, a store.AdmitParams, other string) {
	t.Helper()
	_, fresh, err := s.Admit(t.Context(), a)
	var held *store.DuplicateError
	if fresh || !errors.As(err, &held) || held.ID != other {
		t.Errorf("Admit(%q): fresh %v, %v; want to hear of %q", a.View.ID, fresh, err, other)
	}
	_, err = s.Call(t.Context(), a.View.ID)
	fails(t, "a call that was kept out", err, store.ErrNotFound)
	wrote(t, s, a.View.ID)
}

func twinsCollapse(t *testing.T, s store.Store) {
	first := admit(t, s, twin(t, "a", "x"))
	heldBack(t, s, twin(t, "b", "x"), "a")
	again, fresh, err := s.Admit(t.Context(), twin(t, "a", "x"))
	if fresh || err != nil {
		t.Errorf("a repeat: fresh %v, %v", fresh, err)
	}
	same(t, "the answer to a repeat", again, first)
	admit(t, s, twin(t, "of another kind", "y"))
	admit(t, s, waiting(t, "of no kind"))
	admit(t, s, waiting(t, "of no kind either"))

	// Once it runs or has ended, the like of it is a new request.
	claim(t, s, claiming(t, "a"))
	admit(t, s, twin(t, "b", "x"))
	heldBack(t, s, twin(t, "c", "x"), "b")
	finish(t, s, ending(t, "b", approval.StatusRejected))
	admit(t, s, twin(t, "c", "x"))

	// A call that is known stays as it is, whatever waits by now.
	again, fresh, err = s.Admit(t.Context(), twin(t, "a", "x"))
	if fresh || err != nil || again.View.Status != approval.StatusExecuting {
		t.Errorf("a repeat: fresh %v, %v, %s", fresh, err, again.View.Status)
	}

	a := ended(t, "d", approval.StatusBlocked)
	a.DuplicateKey = "z"
	_, _, err = s.Admit(t.Context(), a)
	invalid(t, "a twin that does not wait", err)
}

func twinsConcurrently(t *testing.T, s store.Store) {
	var fresh atomic.Int32
	told := make([]string, many)
	together(many, func(i int) {
		id := fmt.Sprintf("call-%d", i)
		_, won, err := s.Admit(t.Context(), twin(t, id, "x"))
		var held *store.DuplicateError
		switch {
		case won:
			fresh.Add(1)
			told[i] = id
		case errors.As(err, &held):
			told[i] = held.ID
		default:
			t.Errorf("Admit: fresh %v, %v", won, err)
		}
	})
	page, err := s.Calls(t.Context(), store.CallQuery{})
	if err != nil || len(page.Items) != 1 || fresh.Load() != 1 {
		t.Fatalf("%d calls are stored, %d were fresh, %v; want one", len(page.Items), fresh.Load(), err)
	}
	for _, id := range told {
		if id != page.Items[0].ID {
			t.Errorf("one was told of %q, pending is %q", id, page.Items[0].ID)
		}
	}
}

// twinsRepeated races repeats of one call against each other: none of them may take the call for
// its own twin.
func twinsRepeated(t *testing.T, s store.Store) {
	together(many, func(int) {
		r, _, err := s.Admit(t.Context(), twin(t, "a", "x"))
		if err != nil || r.View.ID != "a" {
			t.Errorf("Admit: %q, %v", r.View.ID, err)
		}
	})
}

// twinsFollow lets calls end while the like of them come.
func twinsFollow(t *testing.T, s store.Store) {
	var pending atomic.Int32
	together(many/4, func(i int) {
		for n := range 8 {
			id := fmt.Sprintf("call-%d-%d", i, n)
			_, fresh, err := s.Admit(t.Context(), twin(t, id, "x"))
			if !fresh {
				if !errors.As(err, new(*store.DuplicateError)) {
					t.Errorf("Admit: %v", err)
				}
				continue
			}
			if pending.Add(1) > 1 {
				t.Error("two of a kind are pending at once")
			}
			if _, err := s.Call(t.Context(), id); err != nil {
				t.Errorf("Call: %v", err)
			}
			pending.Add(-1)
			if _, _, err := s.Finish(t.Context(), ending(t, id, approval.StatusExpired)); err != nil {
				t.Errorf("Finish: %v", err)
			}
		}
	})
}

// previousCalls checks that Previous tells of a call's own kind alone, of those before it, and how they
// ended.
func previousCalls(t *testing.T, s store.Store) {
	previous := func(id string) []approval.View {
		t.Helper()
		views, err := s.Previous(t.Context(), id)
		if err != nil {
			t.Fatalf("Previous(%q): %v", id, err)
		}
		return views
	}
	for i := range 8 {
		a := waiting(t, fmt.Sprintf("same-%d", i))
		a.Identical = "k"
		if i%3 == 1 { // an allowed call tells as much
			a = allowed(t, fmt.Sprintf("same-%d", i))
			a.Identical = "k"
		}
		admit(t, s, a)
		other := waiting(t, fmt.Sprintf("other-%d", i))
		other.Identical = fmt.Sprintf("another %d", i%2)
		admit(t, s, other)
		admit(t, s, waiting(t, fmt.Sprintf("none-%d", i))) // of before there was any, or a duplicate
	}
	for id, want := range map[string][]string{
		"same-0":  nil,
		"same-1":  {"same-0"},
		"same-3":  {"same-2", "same-1", "same-0"},
		"same-7":  {"same-6", "same-5", "same-4", "same-3", "same-2"},
		"other-4": {"other-2", "other-0"},
		"none-7":  nil,
		"unknown": nil,
		"":        nil,
		"a\x00b":  nil,
	} {
		if got := ids(previous(id)); !slices.Equal(got, want) {
			t.Errorf("Previous(%q): %q, want %q", id, got, want)
		}
	}
	f := ending(t, "same-6", approval.StatusRejected)
	f.Outcome.Decision = &approval.FinalDecision{Kind: approval.FinalReject, By: "ana", Notes: "too much", At: f.At}
	if _, _, err := s.Finish(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	last := previous("same-7")[0]
	if last.Status != approval.StatusRejected || last.Decision == nil || last.Decision.Notes != "too much" {
		t.Errorf("the last one before is %+v", last)
	}
}
