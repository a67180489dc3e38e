package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

// What the SDK's waits and functions go through when processes go and come back.

// An agent's process goes, its call is approved meanwhile, and another process of the agent runs
// it, once, and gets its result.
func TestSDKAgentComesBack(t *testing.T) {
	w := sdkWorld(t)
	b := &bank{runs: map[string]int{}}
	first, _ := w.agent(t, pawl.Options{Agent: "billing"}, b, "refund")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	call, err := first.Start(ctx, approval.Call{
		Tool: "refund", Args: []byte(`{"order":"1","cents":19}`), Title: "left alone", IdempotencyKey: "k",
	})
	if err != nil {
		t.Fatal(err)
	}
	done := call.Done()
	first.Close()
	<-done
	if _, err := call.Wait(ctx); !errors.Is(err, pawl.ErrPending) || !errors.Is(err, pawl.ErrClosed) {
		t.Errorf("%v", err)
	}
	w.settle("left alone", "approve")

	second, _ := w.agent(t, pawl.Options{Agent: "billing"}, b, "refund")
	serving, stop := context.WithCancel(ctx)
	served := make(chan error)
	go func() { served <- second.Serve(serving) }()
	w.until("the approved call has run", func() bool { return b.ran("1") == 1 })
	again, err := second.ContinueKey(ctx, "k")
	if err != nil || again.ID() != call.ID() {
		t.Fatalf("%v", err)
	}
	if got, err := pawl.Await[receipt](ctx, again); err != nil || got.Paid != 19 || b.ran("1") != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Waits go on when Temporal, Pawl's worker and the API have gone and come back.
func TestSDKWaitsThroughAnOutage(t *testing.T) {
	w := sdkWorld(t)
	w.config.TemporalListen, w.config.APIListen = w.Temporal, strings.TrimPrefix(w.API, "http://")
	t.Setenv("TEMPORAL_ADDRESS", w.Temporal)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	agent, err := pawl.Connect(ctx, pawl.Options{Agent: "billing"})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	b := &bank{runs: map[string]int{}}
	pay := pawl.MustGuard(agent, "refund", b.pay, pawl.Tool{})
	ended := make(chan error, 1)
	go func() {
		got, err := pay(titled(ctx, "patient"), refund{Order: "1", Cents: 4})
		if err == nil && got.Paid != 4 {
			err = fmt.Errorf("paid %d", got.Paid)
		}
		ended <- err
	}()
	w.find("patient")
	w.stop()
	w.start()
	w.settle("patient", "approve")
	if err := <-ended; err != nil || b.ran("1") != 1 {
		t.Errorf("%v, %d runs", err, b.ran("1"))
	}
}

// More calls wait than there are long polls, without a goroutine each.
func TestSDKManyWaits(t *testing.T) {
	const many = 130
	w := sdkWorld(t)
	b := &bank{runs: map[string]int{}}
	agent, _ := w.agent(t, pawl.Options{Agent: "billing"}, b, "refund")
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	calls := make([]*pawl.Call, many)
	for i := range calls {
		call, err := agent.Start(ctx, approval.Call{Tool: "refund", Args: fmt.Appendf(nil, `{"order":"%d","cents":1}`, i)})
		if err != nil {
			t.Fatal(err)
		}
		call.Done()
		calls[i] = call
	}
	for _, call := range calls {
		w.until("the call is pending", func() bool { return w.status(call.ID()) == approval.StatusPending })
		if a := w.decide(call.ID(), "reject", "ana", ""); a.code != http.StatusOK {
			t.Fatalf("%d %v", a.code, a.doc)
		}
	}
	for i, call := range calls {
		select {
		case <-call.Done():
		case <-ctx.Done():
			t.Fatalf("call %d: %v", i, ctx.Err())
		}
		if o, err := call.Wait(ctx); err != nil || o.Status != approval.StatusRejected {
			t.Errorf("%+v, %v", o, err)
		}
	}
}

// A process that stops while its function runs leaves an unknown outcome, and nobody runs the
// function again.
func TestSDKCutOffWhileItRuns(t *testing.T) {
	w := sdkWorld(t)
	agent, err := pawl.New(w.Client, pawl.Options{Agent: "billing", Drain: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int32
	running := make(chan string, 10)
	slow := func(ctx context.Context, _ refund) (receipt, error) {
		runs.Add(1)
		call, _ := tool.FromContext(ctx)
		running <- call.CallID
		<-ctx.Done()
		return receipt{}, ctx.Err()
	}
	lookUp := pawl.MustGuard(agent, "look_up", slow, pawl.Tool{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := lookUp(ctx, refund{Order: "1"})
		ended <- err
	}()
	id := <-running
	agent.Close()
	if err := <-ended; !errors.Is(err, pawl.ErrPending) && !errors.Is(err, pawl.ErrOutcomeUnknown) {
		t.Errorf("%v", err)
	}

	back, err := pawl.New(w.Client, pawl.Options{Agent: "billing"})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	pawl.MustGuard(back, "look_up", slow, pawl.Tool{})
	call, err := back.Continue(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pawl.Await[receipt](ctx, call); !errors.Is(err, pawl.ErrOutcomeUnknown) || runs.Load() != 1 {
		t.Errorf("%v after %d runs", err, runs.Load())
	}
}
