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
)

// TestCaseProcess is the process of one call in clients/cases.json, by the Go SDK, the MCP gateway or the hook, or
// the server behind the latter. It does nothing unless TestCases runs it.
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

func (asked caseCall) run(ctx context.Context) (string, error) {
	switch {
	case os.Getenv(caseMode) == gatewayMode:
		return asked.throughGateway(ctx)
	case os.Getenv(caseMode) == hookMode:
		return asked.throughHook(ctx)
	case asked.Attach:
		return asked.attach(ctx)
	}
	a, err := pawl.ConnectHTTP(ctx, pawl.HTTPOptions{Agent: asked.Agent, URL: asked.API, Dir: asked.Dir})
	if err != nil {
		return "", err
	}
	type in struct {
		X int `json:"x"`
	}
	act := func(context.Context, in) (string, error) { return "executed", asked.act() }
	guarded, err := pawl.GuardHTTP(a, asked.Tool, act, pawl.Tool{})
	if err != nil {
		return "", err
	}
	return guarded(pawl.With(ctx, pawl.About{Key: asked.Key}), in{1})
}

// attach takes up what waits by package client, on which hooks and gateways stand.
func (asked caseCall) attach(ctx context.Context) (string, error) {
	c, err := client.New(client.Options{URL: asked.API})
	if err != nil {
		return "", err
	}
	call := approval.Call{Tool: asked.Tool, Agent: asked.Agent, Args: []byte(`{"x":1}`)}
	v, _, err := c.Attach(ctx, call, time.Second) // which holds it from its start
	if err != nil {
		return "", err
	}
	start := approval.NewNonce()
	b, err := c.Permit(ctx, v, start)
	if err != nil || !b.Started {
		return ended(b.Status, b.Decision), err
	}
	if err := asked.act(); err != nil {
		return "", err
	}
	v, err = c.Report(ctx, v.ID, approval.ReportSignal{StartID: start, Status: approval.ReportExecuted})
	return string(v.Status), err
}
