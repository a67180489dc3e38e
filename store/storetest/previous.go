package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

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
