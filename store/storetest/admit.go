package storetest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

func admitFirstWins(t *testing.T, s store.Store) {
	first := admit(t, s, waiting(t, "a"))
	isStored(t, s, first)
	if first.Run != "run-1" || !first.IsRequest || first.Permit != nil {
		t.Errorf("the record is %+v", first)
	}

	other := allowed(t, "a")
	other.Run, other.View.Digest = "run-2", "another digest"
	other.Entries = []audit.Entry{entry(t, "a", "requested again", audit.KindRequested)}
	r, fresh, err := s.Admit(t.Context(), other)
	if err != nil || fresh {
		t.Fatalf("a repeat: fresh %v, %v", fresh, err)
	}
	same(t, "the answer to a repeat", r, first)
	isStored(t, s, first)
	wrote(t, s, "a", "requested")

	_, err = s.Call(t.Context(), "b")
	fails(t, "Call of an unknown ID", err, store.ErrNotFound)
}

func admitConcurrently(t *testing.T, s store.Store) {
	var fresh atomic.Int32
	runs := make([]string, many)
	together(many, func(i int) {
		a := waiting(t, "a")
		a.Run = fmt.Sprintf("run-%d", i)
		a.Entries = []audit.Entry{entry(t, "a", "requested by "+a.Run, audit.KindRequested)}
		r, won, err := s.Admit(t.Context(), a)
		if err != nil {
			t.Errorf("Admit: %v", err)
		}
		if won {
			fresh.Add(1)
		}
		runs[i] = r.Run
	})
	if fresh.Load() != 1 {
		t.Errorf("%d of %d were fresh, want 1", fresh.Load(), many)
	}
	r, err := s.Call(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for i, run := range runs {
		if run != r.Run {
			t.Errorf("caller %d was told of run %q, stored is %q", i, run, r.Run)
		}
	}
	wrote(t, s, "a", "requested by "+r.Run)
}

func admitAllowed(t *testing.T, s store.Store) {
	r := admit(t, s, allowed(t, "a"))
	want := store.Permit{Run: "run-1", At: began, GoodUntil: after(1000)}
	if r.Permit == nil || *r.Permit != want {
		t.Fatalf("the claim is %+v, want %+v", r.Permit, want)
	}
	isStored(t, s, r)
	wrote(t, s, "a", "requested", "claimed")

	again, fresh, err := s.Admit(t.Context(), allowed(t, "a"))
	if err != nil || fresh {
		t.Fatalf("a repeat: fresh %v, %v", fresh, err)
	}
	same(t, "the answer to a repeat", again, r)
	use(t, s, using(t, "a"))
	wrote(t, s, "a", "requested", "claimed", "started")
}

func admitEnded(t *testing.T, s store.Store) {
	for _, status := range denials {
		id := "call-" + string(status)
		r := admit(t, s, ended(t, id, status))
		isStored(t, s, r)
		fails(t, "Use of an ended call", s.Use(t.Context(), using(t, id)), store.ErrNoPermit)
		again, fresh, err := s.Finish(t.Context(), ending(t, id, approval.StatusCancelled))
		if err != nil || fresh {
			t.Errorf("Finish of an ended call: fresh %v, %v", fresh, err)
		}
		same(t, "the answer to Finish", again, r)
		wrote(t, s, id, "requested")
	}
}

// ended is a call that ends as it is admitted.
func ended(t *testing.T, id string, status approval.Status) store.AdmitParams {
	a := waiting(t, id)
	end := after(1)
	a.View.Status, a.View.EndedAt, a.View.Deadline, a.IsRequest = status, &end, nil, false
	a.View.Error = &approval.CallError{Code: approval.CodePolicyDenied, Message: "no"}
	return a
}

func admitInvalid(t *testing.T, s store.Store) {
	for name, spoil := range map[string]func(*store.AdmitParams){
		"no ID":                   func(a *store.AdmitParams) { a.View.ID = "" },
		"NUL in the ID":           func(a *store.AdmitParams) { a.View.ID = "a\x00b" },
		"ID is not UTF-8":         func(a *store.AdmitParams) { a.View.ID = "a\xff" },
		"no time":                 func(a *store.AdmitParams) { a.View.CreatedAt = time.Time{} },
		"no status":               func(a *store.AdmitParams) { a.View.Status = "" },
		"unknown status":          func(a *store.AdmitParams) { a.View.Status = "maybe" },
		"unknown risk":            func(a *store.AdmitParams) { a.View.Risk = "some" },
		"approved":                func(a *store.AdmitParams) { a.View.Status = approval.StatusApproved },
		"executing, no claim":     func(a *store.AdmitParams) { a.View.Status = approval.StatusExecuting },
		"pending with a claim":    func(a *store.AdmitParams) { a.TakePermit = true },
		"ended without a time":    func(a *store.AdmitParams) { a.View.Status = approval.StatusBlocked },
		"pending with an ending":  func(a *store.AdmitParams) { a.View.EndedAt = &a.View.CreatedAt },
		"executed before a claim": func(a *store.AdmitParams) { *a = ended(t, "a", approval.StatusExecuted) },
		"args are not JSON":       func(a *store.AdmitParams) { a.View.Args = []byte(`{`) },
		"an entry that is forged": func(a *store.AdmitParams) { a.Entries[0].Kind = audit.KindEnded },
	} {
		a := waiting(t, "a")
		spoil(&a)
		_, fresh, err := s.Admit(t.Context(), a)
		if fresh {
			t.Errorf("%s: was admitted", name)
		}
		invalid(t, name, err)
	}
	page, err := s.Calls(t.Context(), store.CallQuery{})
	if err != nil || page.Total != 0 {
		t.Errorf("%d calls were written, %v", page.Total, err)
	}
	wrote(t, s, "a")
}
