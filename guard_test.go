package pawl_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/pawltest"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/client"
)

type transfer struct {
	To     string  `json:"to"`
	Amount float64 `json:"amount"`
}

var errOwn = errors.New("own error with hunter2")

func TestGuardedEndings(t *testing.T) {
	for name, c := range map[string]struct {
		answer pawltest.Answer
		fn     func(context.Context, transfer) (string, error)
		is     []error
		runs   int
	}{
		"allowed":   {answer: pawltest.Allow(), runs: 1},
		"approved":  {answer: pawltest.Approve("ana"), runs: 1},
		"rejected":  {answer: pawltest.Reject("ana", "no"), is: []error{pawl.ErrDenied, pawl.ErrRejected}},
		"expired":   {answer: pawltest.Expire(), is: []error{pawl.ErrDenied, pawl.ErrExpired}},
		"blocked":   {answer: pawltest.Block("never"), is: []error{pawl.ErrDenied, pawl.ErrBlocked}},
		"lost":      {answer: pawltest.Lose(), is: []error{pawl.ErrOutcomeUnknown}},
		"failed":    {answer: pawltest.Allow(), fn: func(context.Context, transfer) (string, error) { return "partial", errOwn }, is: []error{pawl.ErrFailed, errOwn}, runs: 1},
		"unknown":   {answer: pawltest.Allow(), fn: func(context.Context, transfer) (string, error) { return "", tool.Unknown(errOwn) }, is: []error{pawl.ErrOutcomeUnknown, errOwn}, runs: 1},
		"panicked":  {answer: pawltest.Allow(), fn: func(context.Context, transfer) (string, error) { panic(errOwn) }, is: []error{pawl.ErrOutcomeUnknown}, runs: 1},
		"timed out": {answer: pawltest.Allow(), fn: func(ctx context.Context, _ transfer) (string, error) { <-ctx.Done(); return "", ctx.Err() }, is: []error{pawl.ErrOutcomeUnknown}, runs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			fake := pawltest.New(t, pawl.Options{})
			fake.On("transfer", c.answer)
			runs := 0
			guarded, err := pawl.Guard(fake.Agent(), "transfer", func(ctx context.Context, in transfer) (string, error) {
				runs++
				if c.fn != nil {
					return c.fn(ctx, in)
				}
				call, ok := tool.FromContext(ctx)
				if !ok || call.CallID == "" || call.Digest == "" {
					t.Errorf("the function does not know its call: %+v", call)
				}
				return "to " + in.To, nil
			}, pawl.Tool{Timeout: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			got, err := guarded(t.Context(), transfer{To: "ana", Amount: 1.5})
			if c.is == nil && (err != nil || got != "to ana") || c.is != nil && (err == nil || got != "") {
				t.Errorf("%q, %v", got, err)
			}
			for _, want := range c.is {
				if !errors.Is(err, want) {
					t.Errorf("%v is not %v", err, want)
				}
			}
			for _, other := range []error{pawl.ErrRejected, pawl.ErrExpired, pawl.ErrBlocked, pawl.ErrCancelled, pawl.ErrFailed, pawl.ErrOutcomeUnknown, pawl.ErrPending} {
				if errors.Is(err, other) != contains(c.is, other) {
					t.Errorf("errors.Is(%v, %v) = %t", err, other, errors.Is(err, other))
				}
			}
			calls := fake.Calls("transfer")
			if runs != c.runs || len(calls) != 1 || err != nil && !strings.Contains(err.Error(), calls[0].ID) {
				t.Errorf("%d runs, %d calls, error %v", runs, len(calls), err)
			}
			if name == "panicked" && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v quotes what it panicked with", err)
			}
		})
	}
}

func contains(list []error, e error) bool {
	for _, x := range list {
		if x == e {
			return true
		}
	}
	return false
}

func TestNothingStartsThatIsNoCall(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{})
	guarded := pawl.MustGuard(fake.Agent(), "transfer", func(context.Context, transfer) (string, error) { return "", nil }, pawl.Tool{})
	for name, c := range map[string]struct {
		about pawl.About
		in    transfer
		code  string
	}{
		"no JSON":       {in: transfer{To: "hunter2", Amount: math.NaN()}, code: approval.CodeBadArguments},
		"a hidden line": {about: pawl.About{Title: "a\nb"}, code: approval.CodeInvalid},
		"bad timeout":   {about: pawl.About{Timeout: -1}, code: approval.CodeInvalid},
		"long key":      {about: pawl.About{Key: strings.Repeat("k", 300)}, code: approval.CodeInvalid},
	} {
		_, err := guarded(pawl.With(t.Context(), c.about), c.in)
		if approval.CodeOf(err) != c.code || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := fake.Agent().Start(t.Context(), approval.Call{Tool: "transfer", Agent: "somebody else"}); approval.CodeOf(err) != approval.CodeInvalid {
		t.Errorf("%v", err)
	}
	for _, id := range []string{"", "a\nb"} {
		if _, err := fake.Agent().Continue(t.Context(), id); approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := fake.Agent().ContinueKey(t.Context(), "nonesuch"); !errors.Is(err, pawl.ErrUnknownCall) || !strings.Contains(err.Error(), `"nonesuch"`) {
		t.Errorf("%v", err)
	}
	if n := len(fake.Calls()); n != 0 {
		t.Errorf("%d calls were started", n)
	}
}

func TestGuardRefuses(t *testing.T) {
	agent := pawltest.New(t, pawl.Options{}).Agent()
	fine := func(context.Context, transfer) (string, error) { return "", nil }
	if _, err := pawl.Guard(agent, "transfer", fine, pawl.Tool{}); err != nil {
		t.Fatal(err)
	}
	for name, guard := range map[string]func() error{
		"name taken": func() error { _, err := pawl.Guard(agent, "transfer", fine, pawl.Tool{}); return err },
		"no name":    func() error { _, err := pawl.Guard(agent, "two words", fine, pawl.Tool{}); return err },
		"no agent":   func() error { _, err := pawl.Guard(nil, "other", fine, pawl.Tool{}); return err },
		"no schema": func() error {
			_, err := pawl.Guard(agent, "other", func(context.Context, string) (string, error) { return "", nil }, pawl.Tool{})
			return err
		},
		"no function": func() error {
			var none func(context.Context, transfer) (string, error)
			_, err := pawl.Guard(agent, "other", none, pawl.Tool{})
			return err
		},
	} {
		if err := guard(); approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatACallIsToldAbout(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{Agent: "billing", Team: "money", Session: "s0"})
	fake.On("transfer", pawltest.Allow())
	guarded := pawl.MustGuard(fake.Agent(), "transfer", func(context.Context, transfer) (string, error) { return "", nil }, pawl.Tool{})
	ctx := pawl.With(t.Context(), pawl.About{Reason: "outer", Title: "outer", Labels: map[string]string{"a": "1", "b": "1"}, RequireApproval: true})
	ctx = pawl.With(ctx, pawl.About{Reason: "inner", Session: "s1", Key: "k", Timeout: time.Minute, Labels: map[string]string{"b": "2"}})
	if _, err := guarded(ctx, transfer{To: "<ana>"}); err != nil {
		t.Fatal(err)
	}
	if _, err := guarded(t.Context(), transfer{}); err != nil {
		t.Fatal(err)
	}
	calls := fake.Calls()
	got := calls[0].Call
	if got.Reason != "inner" || got.Title != "outer" || got.Session != "s1" || got.Labels["a"] != "1" || got.Labels["b"] != "2" ||
		!got.RequireApproval || got.Timeout.Std() != time.Minute || got.Agent != "billing" || got.Team != "money" ||
		got.Requester != "agent:billing" || got.Nonce == "" || calls[0].ID != approval.KeyedID("agent:billing", "k") {
		t.Errorf("%+v", got)
	}
	plain := calls[1].Call
	if plain.Session != "s0" || plain.Reason != "" || plain.RequireApproval || plain.Nonce == got.Nonce {
		t.Errorf("%+v", plain)
	}
}

func TestKeysAttach(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{})
	fake.On("transfer", pawltest.Allow())
	var mu sync.Mutex
	runs := 0
	guarded := pawl.MustGuard(fake.Agent(), "transfer", func(context.Context, transfer) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		runs++
		return runs, nil
	}, pawl.Tool{})
	ctx := pawl.With(t.Context(), pawl.About{Key: "k"})
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if n, err := guarded(ctx, transfer{To: "ana"}); err != nil || n != 1 {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	all.Wait()
	if _, err := guarded(ctx, transfer{To: "bo"}); !errors.Is(err, pawl.ErrConflict) {
		t.Errorf("%v", err)
	}
}

func TestResultsThatLookLikeSuccess(t *testing.T) {
	o := func(status approval.Status, result string) approval.Outcome {
		return approval.Outcome{ID: "pawl-1", Tool: "t", Status: status, Result: json.RawMessage(result)}
	}
	var unfit *pawl.ResultError
	for _, doc := range []string{"", "null", `"hunter2"`, `{"amount":"hunter2"}`} {
		if got, err := pawl.Result[transfer](o(approval.StatusExecuted, doc)); !errors.As(err, &unfit) || got != (transfer{}) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %+v, %v", doc, got, err)
		}
	}
	if got, err := pawl.Result[*transfer](o(approval.StatusExecuted, "null")); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := pawl.Result[transfer](o(approval.StatusExecuted, `{"to":"ana","new":1}`)); err != nil || got.To != "ana" {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range approval.Statuses {
		if _, err := pawl.Result[transfer](o(s, `{"to":"ana"}`)); (err == nil) != (s == approval.StatusExecuted) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := pawl.Result[transfer](o("from the future", `{"to":"ana"}`)); !errors.Is(err, pawl.ErrOutcomeUnknown) {
		t.Errorf("%v", err)
	}
}

func TestErrorsAreFitToBeShown(t *testing.T) {
	_, err := pawl.Result[string](approval.Outcome{ID: "pawl-1", Tool: "t", Status: approval.StatusRejected,
		Error: &approval.CallError{Code: approval.CodeRejected, Message: "ana rejected the call: \x1b[2J\u202eno"}})
	if text := err.Error(); strings.ContainsAny(text, "\x1b\u202e") || !strings.Contains(text, "pawl-1") {
		t.Errorf("%q", text)
	}
}

func TestWaitingAndTheCall(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{})
	agent := fake.Agent()
	fake.On("transfer", pawltest.Hold())
	guarded := pawl.MustGuard(agent, "transfer", func(context.Context, transfer) (string, error) { return "done", nil }, pawl.Tool{})

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the user went home")
	call, err := agent.Start(t.Context(), approval.Call{Tool: "transfer", Args: json.RawMessage(`{"to":"ana","amount":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	cancel(why)
	var pending *pawl.PendingError
	if _, err := call.Wait(ctx); !errors.As(err, &pending) || pending.ID != call.ID() || !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	if _, err := guarded(ctx, transfer{}); err == nil {
		t.Error("a call was started under a context that has ended")
	}
	if v, err := call.View(t.Context()); err != nil || v.Status != approval.StatusPending {
		t.Errorf("%+v, %v", v, err)
	}
	if err := call.Cancel(t.Context(), "a\x00b"); approval.CodeOf(err) != approval.CodeInvalid {
		t.Errorf("%v", err)
	}
	done := call.Done()
	if err := call.Cancel(t.Context(), "never mind"); err != nil {
		t.Error(err)
	}
	<-done
	if o, err := call.Outcome(t.Context()); err != nil || o.Status != approval.StatusCancelled || o.Decision.By != "agent:test" {
		t.Errorf("%+v, %v", o, err)
	}
	if err := call.Cancel(t.Context(), ""); !errors.Is(err, pawl.ErrEnded) {
		t.Errorf("%v", err)
	}
	select {
	case <-call.Done():
	default:
		t.Error("an ended call is not done")
	}
}

func TestCloseDrains(t *testing.T) { synctest.Test(t, closeDrains) }

func closeDrains(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{Drain: time.Minute})
	agent := fake.Agent()
	fake.On("transfer", pawltest.Allow())
	fake.On("held", pawltest.Hold())
	running, release := make(chan struct{}), make(chan struct{})
	guarded := pawl.MustGuard(agent, "transfer", func(context.Context, transfer) (string, error) {
		close(running)
		<-release
		return "done", nil
	}, pawl.Tool{})
	held, err := agent.Start(t.Context(), approval.Call{Tool: "held"})
	if err != nil {
		t.Fatal(err)
	}
	holding := held.Done()
	ended := make(chan error, 1)
	go func() {
		got, err := guarded(t.Context(), transfer{})
		if err == nil && got != "done" {
			err = errors.New(got)
		}
		ended <- err
	}()
	<-running
	closed := make(chan struct{})
	go func() {
		agent.Close()
		close(closed)
	}()
	synctest.Wait()
	select {
	case <-closed:
		t.Error("Close did not wait for a function that runs")
	default:
	}
	close(release)
	<-closed
	<-holding
	if _, err := held.Wait(t.Context()); !errors.Is(err, pawl.ErrPending) || !errors.Is(err, pawl.ErrClosed) {
		t.Errorf("%v", err)
	}
	// The end may have come just after the agent stopped waiting for it.
	if err := <-ended; err != nil && !errors.Is(err, pawl.ErrPending) {
		t.Error(err)
	}
	if _, err := guarded(t.Context(), transfer{}); !errors.Is(err, pawl.ErrClosed) || strings.Count(err.Error(), "pawl:") != 1 {
		t.Errorf("%v", err)
	}
	if err := agent.Serve(t.Context()); !errors.Is(err, pawl.ErrClosed) {
		t.Errorf("%v", err)
	}
	agent.Close()
}

// noTemporal is a client that nobody uses.
var noTemporal = struct{ client.Client }{}

func TestOptions(t *testing.T) {
	decides := pawl.ApproverFunc(func(context.Context, approval.View) (pawl.Decision, error) { return pawl.Decision{}, nil })
	for name, o := range map[string]pawl.Options{
		"no agent":         {},
		"agent's name":     {Agent: "a\nb"},
		"long name":        {Agent: strings.Repeat("a", 190)}, // its queue's is too long
		"drain":            {Agent: "a", Drain: -1},
		"running":          {Agent: "a", Running: -1},
		"API elsewhere":    {Agent: "a", Approver: decides, API: "http://pawl.example.com"},
		"API by any name":  {Agent: "a", Approver: decides, API: "http://localhost.example.com:7295"},
		"API on all":       {Agent: "a", Approver: decides, API: "http://0.0.0.0:7295"},
		"API with secrets": {Agent: "a", Approver: decides, API: "http://u:hunter2@127.0.0.1:7295"},
	} {
		if _, err := pawl.New(noTemporal, o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, api := range []string{"", "http://127.0.0.1:1", "http://[::1]:7295", "http://localhost:7295"} {
		if _, err := pawl.New(noTemporal, pawl.Options{Agent: "a", Approver: decides, API: api}); err != nil {
			t.Errorf("%s: %v", api, err)
		}
	}
	longest := strings.Repeat("a", 189)
	if _, err := pawl.New(noTemporal, pawl.Options{Agent: longest}); err != nil {
		t.Error(err)
	}
	if _, err := tool.Remote("x", json.RawMessage(`{"type":"object"}`), approval.AgentQueue(longest), tool.Options{}); err != nil {
		t.Errorf("tools of the agent with the longest name can't be published: %v", err)
	}
	if _, err := pawl.New(nil, pawl.Options{Agent: "a"}); err == nil {
		t.Error("New takes no client")
	}
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := pawl.Connect(ctx, pawl.Options{Agent: "a"}); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v", err)
	}
}
