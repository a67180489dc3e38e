package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

// Version1 writes what an upgrade of a store of version 1 must keep: a permit that was used, one that
// was not, and calls that wait, whose deadlines differ by microseconds.
func Version1(t *testing.T, s store.Store) {
	t.Helper()
	admit(t, s, allowed(t, "unused"))
	admit(t, s, allowed(t, "used"))
	use(t, s, using(t, "used"))
	for i, id := range []string{"last", "second", "first"} {
		a := waiting(t, id)
		deadline := after(60).Add(time.Duration(544-i) * time.Microsecond) // 124, 123.999 and 123.998 ms
		a.View.Deadline = &deadline
		admit(t, s, a)
	}
}

// Unpack gives the calls of Version1 the views and verdicts that were not packed then, without what
// Upgraded does not look at.
const Unpack = `UPDATE pawl.calls SET packed = NULL, verdict = '{"verdict":"allow","policy":{"digest":"d"}}',
	view = '{"id":"' || id || '","digest":"' || digest || '","status":"' || status || '"}' WHERE packed IS NOT NULL`

// Upgraded checks that a store with what Version1 wrote, and with a tool search of the queue pawl,
// goes on.
func Upgraded(t *testing.T, s store.Store) {
	t.Helper()
	for id, used := range map[string]bool{"unused": false, "used": true} {
		r, err := s.Call(t.Context(), id)
		if err != nil || r.Permit == nil || r.Permit.Queue != "" || r.Permit.UsedAt.IsZero() == used {
			t.Errorf("%s: %+v, %v", id, r.Permit, err)
		}
	}
	fails(t, "a second use of a permit", s.Use(t.Context(), using(t, "used")), store.ErrStarted)
	if err := s.Use(t.Context(), using(t, "unused")); err != nil {
		t.Errorf("a permit of before can't be used: %v", err)
	}
	_, err := s.ActivePolicy(t.Context())
	fails(t, "the active policy of a store that had none", err, store.ErrNotFound)
	apply(t, s, applying(0, "a"))
	waiting := calls(t, s, store.CallQuery{Nearest: true, Statuses: []approval.Status{approval.StatusPending}})
	same(t, "what waits, by deadline", ids(waiting.Items), []string{"first", "second", "last"})
	tool, err := s.Tool(t.Context(), "search")
	if err != nil || tool.Queue != "pawl" || tool.Publisher != "pawl" {
		t.Errorf("the tool is %+v, %v", tool, err)
	}
}

// PolicyNotRecorded checks that a store's first policy is not applied where its audit entry can't
// be written, which the backend sees to.
func PolicyNotRecorded(t *testing.T, s store.Store) {
	t.Helper()
	a := applying(0, "a")
	v, fresh, err := s.ApplyPolicy(t.Context(), a)
	if err == nil || errors.Is(err, store.ErrPolicyChanged) || fresh || v.Version != 0 {
		t.Errorf("version %d, fresh %v, %v", v.Version, fresh, err)
	}
	_, err = s.Policy(t.Context(), a.Set.Digest)
	fails(t, "the set of a policy that was not applied", err, store.ErrNotFound)
	_, err = s.ActivePolicy(t.Context())
	fails(t, "the active policy", err, store.ErrNotFound)
}
