package storetest

import (
	"slices"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

func changesFollow(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "before"))
	changed, place, err := s.Changes(t.Context(), -1)
	if err != nil || len(changed) != 0 || place < 1 {
		t.Fatalf("the end of the log is found at %d with %v, %v", place, changed, err)
	}
	look := func(what string, want ...store.Change) {
		t.Helper()
		changed, next, err := s.Changes(t.Context(), place)
		slices.SortFunc(changed, func(a, b store.Change) int { return len(a.ID) - len(b.ID) })
		if err != nil || !slices.Equal(changed, want) || next < place {
			t.Errorf("%s: %v changed up to %d, %v; want %v after %d", what, changed, next, err, want, place)
		}
		place = next
	}
	look("nothing happened")
	a := waiting(t, "a")
	a.View.Requester = "bot"
	admit(t, s, a)
	admit(t, s, allowed(t, "allowed"))
	admit(t, s, waiting(t, "another"))
	look("new calls", store.Change{ID: "a", Requester: "bot"}, store.Change{ID: "another"})
	if _, err := s.Tighten(t.Context(), tightening(t, "a", 0, 2)); err != nil {
		t.Fatal(err)
	}
	look("a call that needs more", store.Change{ID: "a", Requester: "bot", Revision: 1})
	for _, step := range []string{"sent/1", "sent/2"} {
		if err := s.Append(t.Context(), entry(t, "another", step, audit.KindRefused)); err != nil {
			t.Fatal(err)
		}
	}
	look("answers to a call", store.Change{ID: "another"})
	claim(t, s, claiming(t, "another"))
	look("a claim", store.Change{ID: "another"})
	use(t, s, using(t, "another"))
	look("a start", store.Change{ID: "another"})
	finish(t, s, ending(t, "another", approval.StatusExecuted))
	look("an end", store.Change{ID: "another"})
	look("nothing more")
}
