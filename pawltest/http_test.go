package pawltest_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/pawltest"
	"github.com/pawlhq/pawl/tool"
)

// What an agent sees that runs its functions itself is what one on Temporal sees.
func TestHTTPAgents(t *testing.T) {
	for name, c := range map[string]struct {
		answer pawltest.Answer
		fails  error // of the function
		want   error
		says   string // of the error
		runs   int
		status approval.Status
	}{
		"allowed":  {pawltest.Allow(), nil, nil, "", 1, approval.StatusExecuted},
		"approved": {pawltest.Approve("ana"), nil, nil, "", 1, approval.StatusExecuted},
		"rejected": {pawltest.Reject("ana", "ask bo"), nil, pawl.ErrRejected, "ask bo", 0, approval.StatusRejected},
		"expired":  {pawltest.Expire(), nil, pawl.ErrExpired, "", 0, approval.StatusExpired},
		"blocked":  {pawltest.Block("not today"), nil, pawl.ErrBlocked, "not today", 0, approval.StatusBlocked},
		"lost":     {pawltest.Lose(), nil, pawl.ErrOutcomeUnknown, "", 0, approval.StatusOutcomeUnknown},
		"failed": {
			pawltest.Approve("ana"), errors.New("disk full"), pawl.ErrFailed, "disk full", 1, approval.StatusFailed,
		},
		"unknown": {
			pawltest.Approve("ana"), tool.Unknown(errors.New("cut off")), pawl.ErrOutcomeUnknown, "cut off", 1,
			approval.StatusOutcomeUnknown,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := pawltest.New(t, pawl.Options{Agent: "coder"})
				runs := 0
				save, err := pawl.GuardHTTP(fake.HTTPAgent(pawl.HTTPOptions{}), "save",
					func(_ context.Context, n note) (string, error) {
						runs++
						return n.Text, c.fails
					}, pawl.Tool{})
				if err != nil {
					t.Fatal(err)
				}
				fake.On("save", c.answer)
				got, err := save(t.Context(), note{Text: "a"})
				if !errors.Is(err, c.want) || c.want == nil && got != "a" || runs != c.runs {
					t.Errorf("%q, %v, %d runs", got, err, runs)
				}
				if err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%q does not say %q", err, c.says)
				}
				calls := fake.Calls("save")
				if len(calls) != 1 || calls[0].Outcome.Status != c.status || calls[0].Call.Agent != "coder" {
					t.Errorf("%+v", calls)
				}
			})
		})
	}
}

func TestHTTPAgentsOthersRunAndRefuse(t *testing.T) {
	fake := pawltest.New(t, pawl.Options{})
	never := func(context.Context, note) (string, error) {
		t.Error("it ran")
		return "", nil
	}
	fake.On("save", pawltest.Return("by another process"))
	save, err := pawl.GuardHTTP(fake.HTTPAgent(pawl.HTTPOptions{}), "save", never, pawl.Tool{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := save(t.Context(), note{}); err != nil || got != "by another process" {
		t.Errorf("%q, %v", got, err)
	}
	ctx := pawl.With(t.Context(), pawl.About{Key: "k"})
	if _, err := save(ctx, note{Text: "a"}); err != nil {
		t.Error(err)
	}
	if _, err := save(ctx, note{Text: "b"}); !errors.Is(err, pawl.ErrConflict) {
		t.Errorf("another call under the key: %v", err)
	}

	fake.RefuseTool("send", "a worker runs it")
	send, err := pawl.GuardHTTP(fake.HTTPAgent(pawl.HTTPOptions{}), "send", never, pawl.Tool{})
	if err != nil {
		t.Fatal(err)
	}
	var refused *pawl.PublishError
	if _, err := send(t.Context(), note{}); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "a worker runs it") {
		t.Errorf("%v", err)
	}

	j := &judge{}
	unscripted := pawltest.New(j, pawl.Options{})
	drop, err := pawl.GuardHTTP(unscripted.HTTPAgent(pawl.HTTPOptions{Dir: t.TempDir()}), "drop", never, pawl.Tool{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := drop(t.Context(), note{}); !errors.Is(err, pawl.ErrBlocked) || len(j.complaints) != 1 {
		t.Errorf("not scripted: %v, %q", err, j.complaints)
	}
	for _, f := range j.cleanups {
		f()
	}
}

// A call that is held waits, in one process or two, and runs once; a process that comes back finds what
// the one before left.
func TestHTTPAgentsWaitAndComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := pawltest.New(t, pawl.Options{})
		fake.On("save", pawltest.Hold())
		dir := t.TempDir()
		runs := 0
		process := func(dir string) func(context.Context, note) (string, error) {
			save, err := pawl.GuardHTTP(fake.HTTPAgent(pawl.HTTPOptions{Dir: dir}), "save",
				func(_ context.Context, n note) (string, error) {
					runs++
					return n.Text, nil
				}, pawl.Tool{})
			if err != nil {
				t.Fatal(err)
			}
			return save
		}
		ctx := pawl.With(t.Context(), pawl.About{Key: "k"})
		brief, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		var pending *pawl.PendingError
		if _, err := process(dir)(brief, note{Text: "a"}); !errors.As(err, &pending) || runs != 0 {
			t.Fatalf("nobody has answered: %v, %d runs", err, runs)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%d journals, %v", len(left), err)
		}
		var both sync.WaitGroup
		for _, dir := range []string{dir, t.TempDir()} { // the second one has another disk
			both.Go(func() {
				if got, err := process(dir)(ctx, note{Text: "a"}); err != nil || got != "a" {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		synctest.Wait()
		if err := fake.Answer(pending.ID, pawltest.Approve("ana")); err != nil {
			t.Error(err)
		}
		both.Wait()
		if err := fake.Answer(pending.ID, pawltest.Expire()); err == nil {
			t.Error("an ended call was answered")
		}
		if c := fake.Calls("save"); runs != 1 || len(c) != 1 || c[0].Outcome.Decision.By != "ana" {
			t.Errorf("%d runs, %+v", runs, c)
		}
	})
}
