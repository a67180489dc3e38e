package workflows_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/store"
)

// Several runs of one call, and stores that come and go.

func TestStoreAwayHoldsTheCallAndLosesNothing(t *testing.T) {
	h := setup(t)
	flaky := &flakyStore{Store: h.store}
	h.acts.Store = flaky
	flaky.failing.Store(7)
	h.after(time.Hour, func() { h.SignalWorkflow(approval.SignalApprove, nil) })
	h.after(30*time.Second, func() {
		if s := h.state(); s.Status != approval.StatusPending {
			t.Errorf("status %s when the store is back", s.Status)
		}
		flaky.failing.Store(5)
		h.SignalWorkflow(approval.SignalApprove, nil)
	})
	h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
	equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindDecided, audit.KindClaimed, audit.KindStarted, audit.KindEnded})
}

// flakyStore fails the next so many writes, every other time after having done them: the answer
// that is lost on the way.
type flakyStore struct {
	store.Store
	failing atomic.Int32
}

var errAway = errors.New("store is away")

func (f *flakyStore) try(write func() error) error {
	n := f.failing.Add(-1)
	if n >= 0 && n%2 == 0 {
		return errAway
	}
	err := write()
	if n >= 0 {
		return errAway
	}
	return err
}

func (f *flakyStore) Admit(ctx context.Context, a store.AdmitParams) (r store.Record, fresh bool, err error) {
	if err := f.try(func() error { r, fresh, err = f.Store.Admit(ctx, a); return err }); err != nil {
		return store.Record{}, false, err
	}
	return r, fresh, nil
}

func (f *flakyStore) Claim(ctx context.Context, c store.ClaimParams) (r store.Record, err error) {
	if err := f.try(func() error { r, err = f.Store.Claim(ctx, c); return err }); err != nil {
		return store.Record{}, err
	}
	return r, nil
}

func (f *flakyStore) Use(ctx context.Context, u store.UseParams) error {
	return f.try(func() error { return f.Store.Use(ctx, u) })
}

func (f *flakyStore) Finish(ctx context.Context, e store.FinishParams) (r store.Record, fresh bool, err error) {
	if err := f.try(func() error { r, fresh, err = f.Store.Finish(ctx, e); return err }); err != nil {
		return store.Record{}, false, err
	}
	return r, fresh, nil
}

// A fresh run of an ID that the store knows: after a reset, or after Temporal forgot the first one.
func TestSecondRunOfOneCall(t *testing.T) {
	const keyed = `{"tool":"send","args":{"to":"ann"},"nonce":"n1"}`
	const otherNonce = `{"tool":"send","args":{"to":"ann"},"nonce":"n2"}`
	approveIt := func(h *harness) { h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, nil) }) }

	for name, doc := range map[string]string{"same input": keyed, "other nonce": otherNonce} {
		t.Run("ended, "+name, func(t *testing.T) {
			h := setup(t)
			approveIt(h)
			h.want(h.call(keyed), approval.StatusExecuted, "", 1)
			h.again("call-1")
			approveIt(h)
			out := h.call(doc)
			h.want(out, approval.StatusExecuted, "", 1)
			if string(out.Result) != `{"echo":"","sent":"ann"}` {
				t.Errorf("result %s", out.Result)
			}
		})
	}
	for name, doc := range map[string]string{
		"another call":                  `{"tool":"send","args":{"to":"bob"},"nonce":"n2"}`,
		"a call that can't be compared": `{"tool":"send","args":{"to":"ann","secret":"hunter2"},"nonce":"n2"}`,
		"a call that asks for more":     `{"tool":"send","args":{"to":"ann"},"require_approval":true,"nonce":"n2"}`,
	} {
		t.Run(name, func(t *testing.T) {
			h := setup(t)
			approveIt(h)
			h.want(h.call(keyed), approval.StatusExecuted, "", 1)
			h.again("call-1")
			h.want(h.call(doc), approval.StatusBlocked, approval.CodeConflict, 1)
			if k := h.kinds("call-1"); k[len(k)-1] != audit.KindBlocked {
				t.Errorf("the conflict is not on record: %v", k)
			}
		})
	}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		left   func(h *harness) // by the first run
		doc    string
		status approval.Status
		code   string
		runs   int32
	}{
		"tool was started, end unknown":              {func(h *harness) { h.started(keyed) }, keyed, approval.StatusOutcomeUnknown, approval.CodeAlreadyRan, 0},
		"tool was started, end unknown, other nonce": {func(h *harness) { h.started(keyed) }, otherNonce, approval.StatusOutcomeUnknown, approval.CodeAlreadyRan, 0},
		"terminated while pending, other nonce":      {func(h *harness) { h.admitted(keyed) }, otherNonce, approval.StatusCancelled, approval.CodeCancelled, 0},
		"claimed, not started":                       {func(h *harness) { h.claimed(keyed, 0) }, keyed, approval.StatusExecuted, "", 1},
		"claimed days ago, not started":              {func(h *harness) { h.claimed(keyed, 3*day) }, keyed, approval.StatusExpired, approval.CodeExpired, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := setup(t)
			c.left(h)
			h.again("call-1")
			h.want(h.call(c.doc), c.status, c.code, c.runs)
		})
	}
	t.Run("reset while pending", func(t *testing.T) {
		h := setup(t)
		h.admitted(keyed)
		h.again("call-1")
		approveIt(h)
		h.want(h.call(keyed), approval.StatusExecuted, "", 1)
	})
}

// admitted leaves the call as a first run that got no further would.
func (h *harness) admitted(doc string) store.Record {
	h.t.Helper()
	call, err := approval.ParseCall([]byte(doc))
	if err != nil {
		h.t.Fatal(err)
	}
	digest, err := call.Digest("call-1")
	if err != nil {
		h.t.Fatal(err)
	}
	deadline := h.Now().Add(time.Minute)
	r := redact.New([]string{"secret"}, approval.RedactNone)
	record, _, err := h.store.Admit(context.Background(), store.AdmitParams{
		View: approval.View{ID: "call-1", Tool: call.Tool, Args: r.Args(call.Args), Digest: digest, Status: approval.StatusPending,
			CreatedAt: h.Now(), Deadline: &deadline, Requirement: approval.OneApproval()},
		Verdict: approval.Verdict{Kind: approval.VerdictRequire, Requirement: approval.OneApproval(), Timeout: approval.DefaultTimeout,
			ValidFor: approval.DefaultValidFor, Redact: []string{"secret"}},
		Run: "run-0", IsRequest: true,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return record
}

// claimed leaves it with a permit that was taken so long ago.
func (h *harness) claimed(doc string, ago time.Duration) (digest string) {
	h.t.Helper()
	digest = h.admitted(doc).View.Digest
	at := h.Now().Add(-ago)
	if _, err := h.store.Claim(context.Background(), store.ClaimParams{ID: "call-1", Run: "run-0", Digest: digest, At: at, GoodUntil: at.Add(time.Hour),
		Decision: &approval.FinalDecision{Kind: approval.FinalApprove, At: at}}); err != nil {
		h.t.Fatal(err)
	}
	return digest
}

func (h *harness) started(doc string) {
	h.t.Helper()
	digest := h.claimed(doc, 0)
	if err := h.store.Use(context.Background(), store.UseParams{ID: "call-1", Digest: digest, Run: "run-0", Activity: "a", At: h.Now()}); err != nil {
		h.t.Fatal(err)
	}
}
