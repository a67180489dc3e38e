package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

func tightening(t *testing.T, id string, revision int64, count int) store.TightenParams {
	return store.TightenParams{
		ID: id, Digest: digestOf(id), Revision: revision, At: after(2),
		Requirement: approval.Requirement{Approvals: []approval.Approvals{{Count: count}}},
		Entries:     []audit.Entry{entry(t, id, fmt.Sprintf("tightened to %d", count), audit.KindTightened)},
	}
}

func claimByActivePolicy(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "a"))
	if _, _, err := s.ApplyPolicy(t.Context(), applying(0, "a")); err != nil {
		t.Fatal(err)
	}
	for _, version := range []int64{0, 2, 3} {
		c := claiming(t, "a")
		c.Policy = version
		_, err := s.Claim(t.Context(), c)
		fails(t, fmt.Sprintf("Claim by version %d", version), err, store.ErrPolicyChanged)
	}
	wrote(t, s, "a", "requested")
	c := claiming(t, "a")
	c.Policy = 1
	if r := claim(t, s, c); r.Permit == nil {
		t.Error("the active version took no permit")
	}
	c.Policy = 0
	if r := claim(t, s, c); r.Permit == nil {
		t.Error("a repeat does not find the permit")
	}
	admit(t, s, waiting(t, "b"))
	c = claiming(t, "b")
	c.Policy = store.UnversionedPolicy
	if r := claim(t, s, c); r.Permit == nil {
		t.Error("a policy that is not the store's took no permit")
	}
}

func tightenOnce(t *testing.T, s store.Store) {
	_, err := s.Tighten(t.Context(), tightening(t, "a", 0, 2))
	fails(t, "Tighten of an unknown call", err, store.ErrNotFound)
	admit(t, s, waiting(t, "a"))

	wrong := tightening(t, "a", 0, 2)
	wrong.Digest = "another"
	_, err = s.Tighten(t.Context(), wrong)
	fails(t, "Tighten of another digest", err, store.ErrDigest)
	empty := tightening(t, "a", 0, 2)
	empty.Requirement.Approvals = nil
	_, err = s.Tighten(t.Context(), empty)
	invalid(t, "Tighten to nothing", err)

	for range 2 { // a repeat changes nothing
		r, err := s.Tighten(t.Context(), tightening(t, "a", 0, 2))
		if err != nil || r.Revision != 1 || r.View.Requirement.Approvals[0].Count != 2 {
			t.Fatalf("revision %d, %+v, %v", r.Revision, r.View.Requirement, err)
		}
		isStored(t, s, r)
	}
	if r, err := s.Tighten(t.Context(), tightening(t, "a", 0, 3)); err != nil || r.Revision != 1 {
		t.Errorf("what was judged before: revision %d, %v", r.Revision, err)
	}
	_, err = s.Claim(t.Context(), claiming(t, "a"))
	fails(t, "Claim of what was judged before", err, store.ErrRevised)
	wrote(t, s, "a", "requested", "tightened to 2")

	c := claiming(t, "a")
	c.Revision = 1
	claim(t, s, c)
	r, err := s.Tighten(t.Context(), tightening(t, "a", 1, 3))
	if err != nil || r.Revision != 1 || r.Permit == nil {
		t.Errorf("a claimed call: revision %d, %v", r.Revision, err)
	}
	wrote(t, s, "a", "requested", "tightened to 2", "claimed")
}

func tightenConcurrently(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "a"))
	var claimed, revised atomic.Int32
	together(many, func(i int) {
		if i%2 == 0 {
			if _, err := s.Tighten(t.Context(), tightening(t, "a", 0, i+2)); err != nil {
				t.Errorf("Tighten: %v", err)
			}
			return
		}
		switch r, err := s.Claim(t.Context(), claiming(t, "a")); {
		case errors.Is(err, store.ErrRevised):
			revised.Add(1)
		case err != nil:
			t.Errorf("Claim: %v", err)
		case r.Permit != nil:
			claimed.Add(1)
		}
	})
	r, err := s.Call(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	tightened, taken := r.Revision == 1, r.Permit != nil
	if tightened == taken || taken != (claimed.Load() > 0) || tightened != (revised.Load() > 0) {
		t.Errorf("revision %d, permit %+v; %d claims were answered with a permit, %d as revised",
			r.Revision, r.Permit, claimed.Load(), revised.Load())
	}
}
