package pawl_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/pawltest"
	"github.com/pawlhq/pawl/tool"
)

type Refund struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
}

type Receipt struct {
	Paid int `json:"paid"`
}

func payBack(_ context.Context, in Refund) (Receipt, error) { return Receipt{Paid: in.Cents}, nil }

// A program connects to Temporal and guards a function. In earnest, Pawl's policy and people
// decide; see package pawltest for what stands in for them in the other examples.
func Example() {
	ctx := context.Background()
	agent, err := pawl.Connect(ctx, pawl.Options{Agent: "billing"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer agent.Close()
	refund, err := pawl.Guard(agent, "refund", payBack, pawl.Tool{Description: "Pay an order's money back."})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	receipt, err := refund(ctx, Refund{Order: "4711", Cents: 1900})
	fmt.Println(receipt, err)
}

func ExampleGuard() {
	fake := pawltest.New(nil, pawl.Options{Agent: "billing"})
	defer fake.Agent().Close()
	fake.On("refund", pawltest.Approve("ana"), pawltest.Reject("ana", "that is a customer of bo's"))

	refund, err := pawl.Guard(fake.Agent(), "refund", payBack, pawl.Tool{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := pawl.With(context.Background(), pawl.About{Reason: "the parcel was lost"})
	for range 2 {
		receipt, err := refund(ctx, Refund{Order: "4711", Cents: 1900})
		var denied *pawl.DeniedError
		switch {
		case errors.As(err, &denied):
			fmt.Println("denied:", denied.Reason)
		case err != nil:
			fmt.Println("error:", err)
		default:
			fmt.Println("paid:", receipt.Paid)
		}
	}
	// Output:
	// paid: 1900
	// denied: ana rejected the call: that is a customer of bo's
}

// An agent that was restarted takes up the calls that it had started.
func ExampleAgent_ContinueKey() {
	fake := pawltest.New(nil, pawl.Options{})
	agent := fake.Agent()
	defer agent.Close()
	refund := pawl.MustGuard(agent, "refund", payBack, pawl.Tool{})

	// A context that has ended bounds the waiting, and ends none of the call.
	ctx, cancel := context.WithCancel(context.Background())
	fake.OnFunc("refund", func(approval.Call) pawltest.Answer {
		cancel()
		return pawltest.Hold()
	})
	_, err := refund(pawl.With(ctx, pawl.About{Key: "ticket-4711"}), Refund{Order: "4711", Cents: 1900})
	fmt.Println(errors.Is(err, pawl.ErrPending), errors.Is(err, context.Canceled))

	// Later, in any process of the agent:
	ctx = context.Background()
	call, err := agent.ContinueKey(ctx, "ticket-4711")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := call.Outcome(ctx); errors.Is(err, pawl.ErrPending) {
		fmt.Println("still waiting for people")
	}
	if err := fake.Answer(call.ID(), pawltest.Approve("ana")); err != nil {
		fmt.Println(err)
	}
	receipt, err := pawl.Await[Receipt](ctx, call)
	fmt.Println(receipt.Paid, err)
	// Output:
	// true true
	// still waiting for people
	// 1900 <nil>
}

// Many calls at once need no goroutine each.
func ExampleAgent_Start() {
	fake := pawltest.New(nil, pawl.Options{})
	agent := fake.Agent()
	defer agent.Close()
	fake.On("translate", pawltest.Return("guten Tag"), pawltest.Expire())

	ctx := context.Background()
	var calls []*pawl.Call
	for range 2 {
		call, err := agent.Start(ctx, approval.Call{Tool: "translate", Args: []byte(`{"text": "good day"}`)})
		if err != nil {
			fmt.Println(err)
			return
		}
		calls = append(calls, call)
	}
	for _, call := range calls {
		<-call.Done()
		outcome, err := call.Wait(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, err := pawl.Result[string](outcome)
		fmt.Printf("%s: %q, expired: %t\n", outcome.Status, text, errors.Is(err, pawl.ErrExpired))
	}
	// Output:
	// executed: "guten Tag", expired: false
	// expired: "", expired: true
}

// A function says what its error means: failed, or nobody knows.
func ExampleOutcomeUnknownError() {
	fake := pawltest.New(nil, pawl.Options{})
	defer fake.Agent().Close()
	fake.On("refund", pawltest.Allow())
	declined, lost := errors.New("the bank declined"), errors.New("the line broke")
	refund := pawl.MustGuard(fake.Agent(), "refund", func(_ context.Context, in Refund) (Receipt, error) {
		if in.Cents > 1000 {
			return Receipt{}, declined
		}
		return Receipt{}, tool.Unknown(lost)
	}, pawl.Tool{})

	_, err := refund(context.Background(), Refund{Order: "4711", Cents: 1900})
	fmt.Println(errors.Is(err, pawl.ErrFailed), errors.Is(err, declined))
	_, err = refund(context.Background(), Refund{Order: "4711", Cents: 19})
	fmt.Println(errors.Is(err, pawl.ErrOutcomeUnknown), errors.Is(err, lost))
	// Output:
	// true true
	// true true
}

func ExampleApproverFunc() {
	small := pawl.ApproverFunc(func(_ context.Context, v approval.View) (pawl.Decision, error) {
		if v.Tool == "read_file" {
			return pawl.Decision{Kind: approval.Approve, Notes: "reading is fine here"}, nil
		}
		return pawl.Decision{}, nil // nothing: other people decide
	})
	d, err := small.Review(context.Background(), approval.View{Tool: "rm"})
	fmt.Println(d.Kind == "", err)
	// Output: true <nil>
}
