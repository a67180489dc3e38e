package cases_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/tool"
)

const (
	goMode     = "go"
	clientMode = "client"
)

// TestCaseProcess is the process of one call in clients/cases.json, by the Go SDK, package client, the MCP gateway
// or the hook, or the server behind the gateway. It does nothing unless TestCases runs it.
func TestCaseProcess(t *testing.T) {
	var asked caseCall
	if doc := os.Getenv(serverMode); doc != "" {
		if err := json.Unmarshal([]byte(doc), &asked); err != nil {
			t.Fatal(err)
		}
		_ = asked.serve(t.Context()) // until the gateway goes
		os.Exit(0)
	}
	if os.Getenv(caseMode) == "" {
		return // it is a test's child, and no test
	}
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		t.Fatal(err)
	}
	said, err := asked.run(t.Context())
	var denied *pawl.DeniedError
	switch {
	case errors.As(err, &denied):
		said = ended(denied.Status, denied.Decision)
	case errors.Is(err, pawl.ErrOutcomeUnknown):
		said = "outcome_unknown"
	case errors.Is(err, context.DeadlineExceeded):
		said = "pending"
	case errors.As(err, new(*client.UnreachableError)):
		said = "unreachable"
	case err != nil:
		said = err.Error()
	}
	fmt.Println(said)
}

// ended is the end of a call that did not run, in the words of the cases.
func ended(status approval.Status, d *approval.FinalDecision) string {
	if d != nil && d.Notes != "" {
		return string(status) + ": " + d.Notes
	}
	return string(status)
}

func (asked caseCall) act() error {
	f, err := os.OpenFile(asked.Ran, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("ran\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if asked.Dies {
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill()
		select {}
	}
	return nil
}

// patience is how long the call waits for people.
func (asked caseCall) patience() time.Duration { return time.Duration(asked.Wait) * time.Second }

func (asked caseCall) run(ctx context.Context) (string, error) {
	switch os.Getenv(caseMode) {
	case gatewayMode:
		return asked.throughGateway(ctx)
	case hookMode:
		return asked.throughHook(ctx)
	}
	waits, cancel := context.WithTimeout(ctx, asked.patience())
	defer cancel()
	if os.Getenv(caseMode) == clientMode {
		return asked.byClient(ctx, waits)
	}
	a, err := pawl.ConnectHTTP(ctx, pawl.HTTPOptions{Agent: asked.Agent, URL: asked.API, Dir: asked.Dir})
	if err != nil {
		return "", err
	}
	type in struct {
		X int `json:"x"`
	}
	act := func(context.Context, in) (string, error) {
		err := asked.act()
		if err == nil && asked.Unsure {
			err = tool.Unknown(errors.New("the line went dead"))
		}
		return "executed", err
	}
	guarded, err := pawl.GuardHTTP(a, asked.Tool, act, pawl.Tool{})
	if err != nil {
		return "", err
	}
	return guarded(pawl.With(waits, pawl.About{Key: asked.Key}), in{1})
}

// byClient asks by package client, on which hooks and gateways stand. It waits as long as waits, and
// follows a call that another process has started.
func (asked caseCall) byClient(ctx, waits context.Context) (string, error) {
	c, err := client.New(client.Options{URL: asked.API})
	if err != nil {
		return "", err
	}
	call := approval.Call{
		Tool: asked.Tool, Agent: asked.Agent, Args: []byte(`{"x":1}`), IdempotencyKey: asked.Key,
		Execution: approval.ExecutionCaller,
	}
	var v client.View
	if asked.Attach {
		v, _, err = c.Attach(waits, call, time.Second) // which holds it from its start
	} else {
		v, _, err = c.Start(waits, call, 0)
	}
	if err != nil {
		return "", err
	}
	start := approval.NewNonce()
	b, err := c.Permit(waits, v, start)
	var refused *client.Error
	if errors.As(err, &refused) && refused.Code == rest.CodeStarted {
		b.View, err = c.Wait(waits, v.ID)
	}
	if err != nil || !b.Started {
		return ended(b.Status, b.Decision), err
	}
	if err := asked.act(); err != nil {
		return "", err
	}
	report := approval.ReportSignal{StartID: start, Status: approval.ReportExecuted}
	if asked.Unsure {
		report.Status = approval.ReportUnknown
	}
	v, err = c.Report(ctx, v.ID, report)
	return string(v.Status), err
}
