package pawltest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/pawltest"
	"github.com/pawlhq/pawl/tool"
)

type note struct {
	Text string `json:"text"`
}

// judge is a test that is expected to fail.
type judge struct {
	complaints []string
	cleanups   []func()
}

func (j *judge) Helper() {}
func (j *judge) Errorf(format string, args ...any) {
	j.complaints = append(j.complaints, fmt.Sprintf(format, args...))
}
func (j *judge) Cleanup(f func()) { j.cleanups = append(j.cleanups, f) }

func TestUnscriptedCallsFailTheTest(t *testing.T) {
	j := &judge{}
	fake := pawltest.New(j, pawl.Options{})
	save := pawl.MustGuard(fake.Agent(), "save", func(context.Context, note) (string, error) {
		t.Error("it ran")
		return "", nil
	}, pawl.Tool{})
	if _, err := save(t.Context(), note{}); !errors.Is(err, pawl.ErrBlocked) {
		t.Errorf("%v", err)
	}
	if len(j.complaints) != 1 || !strings.Contains(j.complaints[0], "save") {
		t.Errorf("%q", j.complaints)
	}
	for _, f := range j.cleanups {
		f()
	}
	if _, err := save(t.Context(), note{}); !errors.Is(err, pawl.ErrClosed) {
		t.Errorf("the agent is not closed after its test: %v", err)
	}
}

func TestScript(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{})
	agent := fake.Agent()
	runs := 0
	save := pawl.MustGuard(agent, "save", func(_ context.Context, n note) (string, error) {
		runs++
		if runs < 3 {
			return "", tool.Unknown(errors.New("the line broke"))
		}
		return n.Text, nil
	}, pawl.Tool{Idempotent: true})
	fake.OnFunc("save", func(c approval.Call) pawltest.Answer {
		if strings.Contains(string(c.Args), "secret") {
			return pawltest.Reject("ana", "")
		}
		return pawltest.Allow()
	})
	if got, err := save(t.Context(), note{Text: "a"}); err != nil || got != "a" || runs != 3 {
		t.Errorf("%q, %v, %d runs", got, err, runs)
	}
	if _, err := save(t.Context(), note{Text: "secret"}); !errors.Is(err, pawl.ErrRejected) {
		t.Errorf("%v", err)
	}

	tries := 0
	pay := pawl.MustGuard(agent, "pay", func(context.Context, note) (string, error) {
		if tries++; tries == 1 {
			return "", tool.Unknown(errors.New("the line broke"))
		}
		return "", errors.New("no such account")
	}, pawl.Tool{Idempotent: true})
	fake.On("pay", pawltest.Allow())
	if _, err := pay(t.Context(), note{}); !errors.Is(err, pawl.ErrOutcomeUnknown) || errors.Is(err, pawl.ErrFailed) || tries != 2 {
		t.Errorf("a second attempt that failed says nothing about the first: %v, %d runs", err, tries)
	}

	for name, c := range map[string]struct {
		call approval.Call
		code string
	}{
		"bad arguments": {approval.Call{Tool: "save", Args: []byte(`{"text":7}`)}, approval.CodeBadArguments},
		"unknown tool":  {approval.Call{Tool: "other"}, approval.CodeUnknownTool},
	} {
		fake.On("other", pawltest.Allow())
		started, err := agent.Start(t.Context(), c.call)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pawl.Await[string](t.Context(), started)
		var denied *pawl.DeniedError
		if !errors.As(err, &denied) || denied.Status != approval.StatusBlocked || denied.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHeldCalls(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{})
	fake.On("save", pawltest.Hold())
	call, err := fake.Agent().Start(t.Context(), approval.Call{Tool: "save"})
	if err != nil {
		t.Fatal(err)
	}
	if c := fake.Calls("save"); len(c) != 1 || c[0].Outcome.Status != "" {
		t.Errorf("%+v", c)
	}
	if err := fake.Answer("pawl-other", pawltest.Allow()); err == nil {
		t.Error("a call that is not there was answered")
	}
	if err := fake.Answer(call.ID(), pawltest.Return(note{Text: "b"})); err != nil {
		t.Error(err)
	}
	if got, err := pawl.Await[note](t.Context(), call); err != nil || got.Text != "b" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := fake.Answer(call.ID(), pawltest.Expire()); err == nil {
		t.Error("an ended call was answered")
	}
	if c := fake.Calls("save"); len(c) != 1 || c[0].Outcome.Status != approval.StatusExecuted {
		t.Errorf("%+v", c)
	}
	if c := fake.Calls("other"); len(c) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestRefusedTool(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{})
	fake.RefuseTool("save", "another agent published it")
	save := pawl.MustGuard(fake.Agent(), "save", func(context.Context, note) (string, error) { return "", nil }, pawl.Tool{})
	_, err := save(t.Context(), note{})
	var refused *pawl.PublishError
	if !errors.As(err, &refused) || refused.Reason != "another agent published it" || len(fake.Calls()) != 0 {
		t.Errorf("%v", err)
	}
	if err := fake.Agent().Serve(t.Context()); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}
