package pawl_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/pawltest"
)

var errNoIdea = errors.New("no idea what to change")

// What ends a call decides whether it is tried again: a rejection with notes is, and nothing else.
func TestRetry(t *testing.T) {
	no := pawltest.Reject("ana", "half of it")
	for name, c := range map[string]struct {
		answers []pawltest.Answer
		n       int
		redraft error
		amounts []float64 // that were asked for
		is      []error
	}{
		"at once":         {answers: []pawltest.Answer{pawltest.Approve("ana")}, n: 3, amounts: []float64{8}},
		"the third time":  {answers: []pawltest.Answer{no, no, pawltest.Approve("ana")}, n: 3, amounts: []float64{8, 4, 2}},
		"never":           {answers: []pawltest.Answer{no}, n: 2, amounts: []float64{8, 4, 2}, is: []error{pawl.ErrRejected}},
		"not allowed to":  {answers: []pawltest.Answer{no}, n: 0, amounts: []float64{8}, is: []error{pawl.ErrRejected}},
		"without notes":   {answers: []pawltest.Answer{pawltest.Reject("ana", "")}, n: 3, amounts: []float64{8}, is: []error{pawl.ErrRejected}},
		"expired":         {answers: []pawltest.Answer{pawltest.Expire()}, n: 3, amounts: []float64{8}, is: []error{pawl.ErrExpired}},
		"blocked":         {answers: []pawltest.Answer{pawltest.Block("never")}, n: 3, amounts: []float64{8}, is: []error{pawl.ErrBlocked}},
		"unknown":         {answers: []pawltest.Answer{pawltest.Lose()}, n: 3, amounts: []float64{8}, is: []error{pawl.ErrOutcomeUnknown}},
		"unknown later":   {answers: []pawltest.Answer{no, pawltest.Lose()}, n: 3, amounts: []float64{8, 4}, is: []error{pawl.ErrOutcomeUnknown}},
		"no other draft":  {answers: []pawltest.Answer{no}, n: 3, redraft: errNoIdea, amounts: []float64{8}, is: []error{pawl.ErrRejected, errNoIdea}},
		"expired at last": {answers: []pawltest.Answer{no, pawltest.Expire()}, n: 3, amounts: []float64{8, 4}, is: []error{pawl.ErrExpired}},
		"blocked at last": {answers: []pawltest.Answer{no, pawltest.Block("never")}, n: 3, amounts: []float64{8, 4}, is: []error{pawl.ErrBlocked}},
		"exactly n times": {answers: []pawltest.Answer{no, pawltest.Approve("ana")}, n: 1, amounts: []float64{8, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := pawltest.New(t, pawl.Options{})
			fake.On("transfer", c.answers...)
			runs := 0
			guarded := pawl.MustGuard(fake.Agent(), "transfer", func(_ context.Context, in transfer) (float64, error) {
				runs++
				return in.Amount, nil
			}, pawl.Tool{})
			again := pawl.Retry(guarded, c.n, func(_ context.Context, in transfer, e *pawl.DeniedError) (transfer, error) {
				if e.Decision.Notes != "half of it" || e.Decision.By != "ana" {
					t.Errorf("the notes are %+v", e.Decision)
				}
				in.Amount /= 2
				return in, c.redraft
			})
			ctx := pawl.With(t.Context(), pawl.About{Key: "k", Reason: "they asked"})
			got, err := again(ctx, transfer{To: "bo", Amount: 8})
			if (err == nil) != (len(c.is) == 0) || err == nil && (got != c.amounts[len(c.amounts)-1] || runs != 1) || err != nil && runs != 0 {
				t.Errorf("%v, %v, %d runs", got, err, runs)
			}
			for _, is := range c.is {
				if !errors.Is(err, is) {
					t.Errorf("%v is not %v", err, is)
				}
			}
			calls := fake.Calls("transfer")
			if len(calls) != len(c.amounts) {
				t.Fatalf("%d calls, want %d", len(calls), len(c.amounts))
			}
			keys := map[string]bool{}
			for i, call := range calls {
				before := ""
				if i > 0 {
					before = calls[i-1].ID
				}
				keys[call.Call.IdempotencyKey] = true
				if call.Call.AttemptOf != before || call.Call.Reason != "they asked" || call.Call.IdempotencyKey == "" {
					t.Errorf("attempt %d: %+v", i+1, call.Call)
				}
			}
			if len(keys) != len(calls) {
				t.Errorf("keys: %v", keys)
			}
			if before := len(calls); before > 0 { // a process that comes back finds what it started
				_, repeated := again(ctx, transfer{To: "bo", Amount: 8})
				if n := len(fake.Calls("transfer")); n != before || (repeated == nil) != (err == nil) {
					t.Errorf("again: %d calls, %v", n, repeated)
				}
			}
		})
	}
}

// A draft that differs when the process comes back asks nobody again.
func TestRetryDoesNotAskTwice(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{})
	fake.On("transfer", pawltest.Reject("ana", "less"), pawltest.Approve("ana"))
	guarded := pawl.MustGuard(fake.Agent(), "transfer", func(_ context.Context, in transfer) (float64, error) {
		return in.Amount, nil
	}, pawl.Tool{})
	amount := 4.0
	again := pawl.Retry(guarded, 3, func(_ context.Context, in transfer, _ *pawl.DeniedError) (transfer, error) {
		in.Amount = amount
		return in, nil
	})
	ctx := pawl.With(t.Context(), pawl.About{Key: "k"})
	if _, err := again(ctx, transfer{Amount: 8}); err != nil {
		t.Fatal(err)
	}
	amount = 3
	if _, err := again(ctx, transfer{Amount: 8}); !errors.Is(err, pawl.ErrConflict) {
		t.Errorf("another draft: %v", err)
	}
	if calls := fake.Calls(); len(calls) != 2 || calls[0].Outcome.Status != approval.StatusRejected {
		t.Errorf("%+v", calls)
	}
}
