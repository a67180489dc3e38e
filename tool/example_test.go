package tool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/tool"
)

func Example() {
	type Charge struct {
		Amount   int    `json:"amount" jsonschema:"in cents"`
		Customer string `json:"customer"`
	}
	type Receipt struct {
		ID string `json:"id"`
	}
	charge, err := tool.New("charge_card", func(ctx context.Context, in Charge) (Receipt, error) {
		call, _ := tool.FromContext(ctx)
		if in.Amount > 1000 {
			return Receipt{}, errors.New("the card was declined") // failed: nothing was charged
		}
		if in.Customer == "slow" {
			return Receipt{}, tool.Unknown(errors.New("the bank did not answer")) // may be charged
		}
		return Receipt{ID: "receipt for " + call.CallID}, nil
	}, tool.Options{Description: "Charge a customer's card."})
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(charge.CheckArgs(json.RawMessage(`{"Amount": 5, "customer": "anna"}`)))
	for _, args := range []string{
		`{"amount": 5, "customer": "anna"}`,
		`{"amount": 5000, "customer": "anna"}`,
		`{"amount": 5, "customer": "slow"}`,
	} {
		result, err := charge.Run(context.Background(), tool.Invocation{CallID: "pawl-1", Args: json.RawMessage(args)})
		switch {
		case err == nil:
			fmt.Printf("executed: %s\n", result)
		case tool.IsUnknown(err):
			fmt.Println("outcome unknown:", err)
		default:
			fmt.Println("failed:", err)
		}
	}
	// Output:
	// the arguments do not fit the tool's schema: at the top: needs the property "amount"; at the top: takes no property "Amount"
	// executed: {"id":"receipt for pawl-1"}
	// failed: the card was declined
	// outcome unknown: the bank did not answer
}
