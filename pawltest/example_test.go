package pawltest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/pawltest"
)

func Example() {
	type Mail struct {
		To string `json:"to"`
	}
	fake := pawltest.New(nil, pawl.Options{}) // in a test: New(t, …)
	defer fake.Agent().Close()
	fake.On("send_mail", pawltest.Approve("ana"), pawltest.Expire())

	send := pawl.MustGuard(fake.Agent(), "send_mail", func(_ context.Context, m Mail) (string, error) {
		return "sent to " + m.To, nil
	}, pawl.Tool{})
	for range 2 {
		answer, err := send(context.Background(), Mail{To: "bo@example.com"})
		fmt.Printf("%q, expired: %t\n", answer, errors.Is(err, pawl.ErrExpired))
	}
	for _, c := range fake.Calls("send_mail") {
		fmt.Println(string(c.Call.Args), c.Outcome.Status)
	}
	// Output:
	// "sent to bo@example.com", expired: false
	// "", expired: true
	// {"to":"bo@example.com"} executed
	// {"to":"bo@example.com"} expired
}
