package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

func noticesTold(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "before"))
	_, place, err := s.Changes(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	a := waiting(t, "a")
	a.View.Agent, a.View.Risk = "coder", approval.RiskHigh
	admit(t, s, a)
	for _, id := range []string{"done", "lost"} { // allowed outright
		admit(t, s, allowed(t, id))
		use(t, s, using(t, id))
	}
	finish(t, s, ending(t, "done", approval.StatusExecuted))
	finish(t, s, ending(t, "lost", approval.StatusOutcomeUnknown))
	claim(t, s, claiming(t, "a"))
	use(t, s, using(t, "a"))
	finish(t, s, ending(t, "a", approval.StatusExecuted))

	found, next, err := s.Notices(t.Context(), place)
	if err != nil || next <= place {
		t.Fatalf("up to %d: %v", next, err)
	}
	var got []string
	last := place
	for _, n := range found {
		if n.Place <= last || n.Place > next || n.At.IsZero() || n.Step == "" || n.Tool != "charge_card" {
			t.Errorf("a notice is %+v", n)
		}
		last = n.Place
		got = append(got, fmt.Sprintf("%s %s %s %s %s", n.ID, n.Kind, n.Status, n.Agent, n.Risk))
	}
	want := []string{
		"a call.requested executed coder high", "lost call.ended outcome_unknown  ", "a call.ended executed coder high",
	}
	got = slices.DeleteFunc(got, func(s string) bool { return s == "a decision.counted executed coder high" })
	if !slices.Equal(got, want) {
		t.Errorf("the notices are %q, want %q", got, want)
	}
	if found, again, err := s.Notices(t.Context(), next); err != nil || len(found) != 0 || again != next {
		t.Errorf("after them: %v up to %d, %v", found, again, err)
	}
}

func channelsLeased(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "before"))
	_, end, err := s.Changes(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	take := func(name, owner string, place int64, want bool) {
		t.Helper()
		got, taken, err := s.TakeChannel(t.Context(), name, owner)
		if err != nil || taken != want || got != place {
			t.Errorf("%s takes %s: place %d, %v, %v; want %d, %v", owner, name, got, taken, err, place, want)
		}
	}
	move := func(name, owner string, place int64, want bool) {
		t.Helper()
		if held, err := s.MoveChannel(t.Context(), name, owner, place); err != nil || held != want {
			t.Errorf("%s moves %s to %d: %v, %v; want %v", owner, name, place, held, err, want)
		}
	}
	take("ops", "one", end, true) // it begins at the log's end
	take("ops", "two", 0, false)
	take("dev", "two", end, true)
	move("ops", "two", end+1, false)
	move("ops", "one", end+5, true)
	move("ops", "one", end+4, false) // never back
	move("none", "one", end, false)
	take("ops", "one", end+5, true)
	take("dev", "two", end, true)
}
