package pawltest_test

import (
	"context"
	"errors"
	"fmt"
	"os"

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

func ExampleFake_HTTPAgent() {
	type File struct {
		Path string `json:"path"`
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir) // in a test: leave Dir out, and use New(t, …)
	fake := pawltest.New(nil, pawl.Options{})
	defer fake.Agent().Close()
	fake.On("remove", pawltest.Approve("ana"), pawltest.Reject("bo", "that one is mine"))

	coder := fake.HTTPAgent(pawl.HTTPOptions{Agent: "coder", Dir: dir})
	remove, err := pawl.GuardHTTP(coder, "remove", func(_ context.Context, f File) (string, error) {
		return "removed " + f.Path, nil // the agent's own process runs it
	}, pawl.Tool{})
	if err != nil {
		panic(err)
	}
	for _, path := range []string{"old.txt", "new.txt"} {
		answer, err := remove(context.Background(), File{Path: path})
		var denied *pawl.DeniedError
		if errors.As(err, &denied) {
			fmt.Println(denied.Reason)
			continue
		}
		fmt.Println(answer, err)
	}
	// Output:
	// removed old.txt <nil>
	// bo rejected the call: that one is mine
}
