package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/tool"
)

const sdkPolicy = `
redact_fields: [secret]
rules:
  - {tool: look_up, auto_approve: true}
  - {tool: hasty_refund, require_approval: true, timeout: 1}
  - {tool: "*", require_approval: true}
`

type refund struct {
	Order  string `json:"order"`
	Cents  int    `json:"cents"`
	Secret string `json:"secret,omitempty"`
}

type receipt struct {
	Paid int    `json:"paid"`
	Call string `json:"call"`
}

var errDeclined = errors.New("the bank declined")

// bank is what the guarded functions reach.
type bank struct {
	mu   sync.Mutex
	runs map[string]int // by order
}

func (b *bank) pay(ctx context.Context, in refund) (receipt, error) {
	b.mu.Lock()
	b.runs[in.Order]++
	b.mu.Unlock()
	call, _ := tool.FromContext(ctx)
	switch in.Order {
	case "declined":
		return receipt{}, errDeclined
	case "torn":
		return receipt{}, tool.Unknown(errDeclined)
	case "panic":
		panic(in.Secret)
	}
	return receipt{Paid: in.Cents, Call: call.CallID}, nil
}

func (b *bank) ran(order string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.runs[order]
}

func sdkWorld(t *testing.T, change ...func(*stack.Config)) *world {
	t.Helper()
	return newWorld(t, append(change, func(c *stack.Config) {
		c.Policy = []string{write(t, filepath.Dir(c.Tools), "sdk-policy.yaml", sdkPolicy)}
	})...)
}

type guardedRefund = func(context.Context, refund) (receipt, error)

// agent makes an agent on the world's Temporal and guards names with the bank.
func (w *world) agent(t *testing.T, o pawl.Options, b *bank, names ...string) (*pawl.Agent, []guardedRefund) {
	t.Helper()
	agent, err := pawl.New(w.Client, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(agent.Close)
	var guarded []guardedRefund
	for _, name := range names {
		guarded = append(guarded, pawl.MustGuard(agent, name, b.pay, pawl.Tool{Description: "Pay an order's money back."}))
	}
	return agent, guarded
}

// find returns the ID of the pending call of this title.
func (w *world) find(title string) (id string) {
	w.t.Helper()
	w.until(title+" waits for people", func() bool {
		page, err := w.Store.Calls(context.Background(), store.CallQuery{Statuses: []approval.Status{approval.StatusPending}})
		if err != nil {
			w.t.Error(err)
		}
		for _, r := range page.Items {
			if r.Title == title {
				id = r.ID
			}
		}
		return id != ""
	})
	return id
}

func (w *world) settle(title, what string) {
	w.t.Helper()
	if a := w.decide(w.find(title), what, "ana", `{"notes":"as you like"}`); a.code != http.StatusOK {
		w.t.Errorf("%s of %s: %d %v", what, title, a.code, a.doc)
	}
}

func titled(ctx context.Context, title string) context.Context {
	return pawl.With(ctx, pawl.About{Title: title})
}

func TestSDK(t *testing.T) {
	w := sdkWorld(t)
	b := &bank{runs: map[string]int{}}
	agent, guarded := w.agent(t, pawl.Options{Agent: "billing"}, b, "look_up", "refund", "hasty_refund")
	lookUp, pay, hasty := guarded[0], guarded[1], guarded[2]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	t.Run("allowed", func(t *testing.T) {
		got, err := lookUp(ctx, refund{Order: "1", Cents: 5})
		if err != nil || got.Paid != 5 || b.ran("1") != 1 {
			t.Fatalf("%+v, %v, %d runs", got, err, b.ran("1"))
		}
		w.ends(got.Call, approval.StatusExecuted, 0)
		if n := w.events(got.Call); n > 13 {
			t.Errorf("%d events, at most 13 were promised", n)
		}
	})
	t.Run("approved", func(t *testing.T) {
		go w.settle("approved", "approve")
		got, err := pay(titled(ctx, "approved"), refund{Order: "2", Cents: 5, Secret: "hunter2"})
		if err != nil || got.Paid != 5 || b.ran("2") != 1 {
			t.Fatalf("%+v, %v, %d runs", got, err, b.ran("2"))
		}
		w.checkEntries(got.Call)
	})
	t.Run("rejected", func(t *testing.T) {
		go w.settle("rejected", "reject")
		got, err := pay(titled(ctx, "rejected"), refund{Order: "3"})
		var denied *pawl.DeniedError
		if !errors.Is(err, pawl.ErrRejected) || !errors.As(err, &denied) || denied.ID == "" ||
			!strings.Contains(denied.Reason, "as you like") || denied.Decision.By != "ana" || got != (receipt{}) || b.ran("3") != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("expired", func(t *testing.T) {
		if _, err := hasty(ctx, refund{Order: "4"}); !errors.Is(err, pawl.ErrExpired) || b.ran("4") != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("blocked", func(t *testing.T) {
		for code, call := range map[string]approval.Call{
			approval.CodeUnknownTool:  {Tool: "nobody_offers_it"},
			approval.CodeBadArguments: {Tool: "refund", Args: []byte(`{"order":5}`)},
		} {
			started, err := agent.Start(ctx, call)
			if err != nil {
				t.Fatal(err)
			}
			_, err = pawl.Await[receipt](ctx, started)
			var denied *pawl.DeniedError
			if !errors.Is(err, pawl.ErrBlocked) || !errors.As(err, &denied) || denied.Code != code {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		call, err := agent.Start(ctx, approval.Call{Tool: "refund", Args: []byte(`{"order":"6","cents":1}`)})
		if err != nil {
			t.Fatal(err)
		}
		if err := call.Cancel(ctx, "never mind"); err != nil {
			t.Fatal(err)
		}
		if _, err := pawl.Await[receipt](ctx, call); !errors.Is(err, pawl.ErrCancelled) || b.ran("6") != 0 {
			t.Errorf("%v", err)
		}
		if err := call.Cancel(ctx, "again"); !errors.Is(err, pawl.ErrEnded) {
			t.Errorf("%v", err)
		}
	})
	t.Run("the function fails", func(t *testing.T) {
		if _, err := lookUp(ctx, refund{Order: "declined"}); !errors.Is(err, pawl.ErrFailed) || !errors.Is(err, errDeclined) {
			t.Errorf("%v", err)
		}
		if _, err := lookUp(ctx, refund{Order: "torn"}); !errors.Is(err, pawl.ErrOutcomeUnknown) || !errors.Is(err, errDeclined) {
			t.Errorf("%v", err)
		}
		if _, err := lookUp(ctx, refund{Order: "panic", Secret: "hunter2"}); !errors.Is(err, pawl.ErrOutcomeUnknown) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	})
	t.Run("one key is one call", func(t *testing.T) {
		keyed := pawl.With(ctx, pawl.About{Key: "k1"})
		first, err := lookUp(keyed, refund{Order: "7", Cents: 7})
		if err != nil {
			t.Fatal(err)
		}
		again, err := lookUp(keyed, refund{Order: "7", Cents: 7})
		if err != nil || again != first || b.ran("7") != 1 {
			t.Errorf("%+v and %+v, %v, %d runs", first, again, err, b.ran("7"))
		}
		if _, err := lookUp(keyed, refund{Order: "7", Cents: 8}); !errors.Is(err, pawl.ErrConflict) {
			t.Errorf("%v", err)
		}
		call, err := agent.ContinueKey(ctx, "k1")
		if err != nil || call.ID() != first.Call {
			t.Errorf("%v", err)
		}
	})
	t.Run("the waiting ends first", func(t *testing.T) {
		short, stop := context.WithCancel(titled(ctx, "patient"))
		go func() {
			w.find("patient")
			stop()
		}()
		_, err := pay(short, refund{Order: "8", Cents: 8})
		var pending *pawl.PendingError
		if !errors.As(err, &pending) || !errors.Is(err, context.Canceled) || pending.Uncertain {
			t.Fatalf("%v", err)
		}
		call, err := agent.Continue(ctx, pending.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := call.Outcome(ctx); !errors.Is(err, pawl.ErrPending) {
			t.Errorf("%v", err)
		}
		if v, err := call.View(ctx); err != nil || v.Status != approval.StatusPending || v.Deadline == nil {
			t.Errorf("%+v, %v", v, err)
		}
		w.settle("patient", "approve")
		if got, err := pawl.Await[receipt](ctx, call); err != nil || got.Paid != 8 || b.ran("8") != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("no such call", func(t *testing.T) {
		if _, err := agent.Continue(ctx, approval.NewID()); !errors.Is(err, pawl.ErrUnknownCall) {
			t.Errorf("%v", err)
		}
		if _, err := agent.ContinueKey(ctx, "never used"); !errors.Is(err, pawl.ErrUnknownCall) {
			t.Errorf("%v", err)
		}
	})
	t.Run("terminated", func(t *testing.T) {
		call, err := agent.Start(ctx, approval.Call{Tool: "refund", Args: []byte(`{"order":"9","cents":1}`), Title: "terminated"})
		if err != nil {
			t.Fatal(err)
		}
		done := call.Done()
		if err := w.Client.TerminateWorkflow(ctx, w.find("terminated"), "", "an operator's whim"); err != nil {
			t.Fatal(err)
		}
		<-done
		if _, err := call.Wait(ctx); !errors.Is(err, pawl.ErrGone) {
			t.Errorf("%v", err)
		}
	})
	t.Run("another agent's name", func(t *testing.T) {
		_, theirs := w.agent(t, pawl.Options{Agent: "thief"}, b, "refund")
		_, err := theirs[0](ctx, refund{Order: "10"})
		var refused *pawl.PublishError
		if !errors.As(err, &refused) || refused.Reason == "" {
			t.Errorf("%v", err)
		}
	})
	t.Run("an approver in the process", func(t *testing.T) {
		var asked atomic.Int32
		o := pawl.Options{Agent: "local", API: w.API, Approver: pawl.ApproverFunc(func(_ context.Context, v approval.View) (pawl.Decision, error) {
			asked.Add(1)
			if strings.Contains(string(v.Args), "hunter2") {
				t.Error("the approver is shown a secret")
			}
			switch v.Title {
			case "yes":
				return pawl.Decision{Kind: approval.Approve}, nil
			case "no":
				return pawl.Decision{Kind: approval.Reject, Notes: "no"}, nil
			}
			panic(v)
		})}
		_, mine := w.agent(t, o, b, "local_refund")
		if got, err := mine[0](titled(ctx, "yes"), refund{Order: "11", Cents: 3, Secret: "hunter2"}); err != nil || got.Paid != 3 {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := mine[0](titled(ctx, "no"), refund{Order: "12"}); !errors.Is(err, pawl.ErrRejected) || b.ran("12") != 0 {
			t.Errorf("%v", err)
		}
		go func() { // the panic decides nothing, so people do
			w.until("the approver was asked", func() bool { return asked.Load() == 3 })
			w.settle("panic", "reject")
		}()
		if _, err := mine[0](titled(ctx, "panic"), refund{Order: "13"}); !errors.Is(err, pawl.ErrRejected) {
			t.Errorf("%v", err)
		}
	})
}
