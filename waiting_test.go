package pawl

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
)

func TestWaitingIsAnnounced(t *testing.T) {
	deadline := time.Date(2026, 5, 1, 12, 0, 0, 0, time.Local)
	for name, c := range map[string]struct {
		w    Waiting
		want string
	}{
		"for people":          {Waiting{ID: "pawl-1", Tool: "pay", Status: approval.StatusPending, Deadline: &deadline}, "waiting for approval of pawl-1 (pay) until 2026-05-01 12:00:00\n"},
		"without a deadline":  {Waiting{ID: "pawl-1", Tool: "pay", Status: approval.StatusPending}, "waiting for approval of pawl-1 (pay)\n"},
		"for nobody knows":    {Waiting{ID: "pawl-1", Err: errors.New("no poller")}, "waiting for call pawl-1, and Pawl does not say what for"},
		"for its tool":        {Waiting{ID: "pawl-1", Tool: "pay", Status: approval.StatusExecuting}, ""},
		"for the policy":      {Waiting{ID: "pawl-1", Status: approval.StatusEvaluating}, ""},
		"with a hostile text": {Waiting{ID: "a\x1b[2J", Tool: "b\n", Status: approval.StatusPending}, "approval of a\\u{001B}[2J (b\\u{000A})\n"},
	} {
		if got := c.w.notice(); !strings.Contains(got, c.want) || c.want == "" && got != "" || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// By default it is announced on standard error, unless an approver asks there.
func TestWhoAnnouncesWaiting(t *testing.T) {
	called := 0
	for name, c := range map[string]struct {
		o      Options
		stderr string
		called int
	}{
		"by default":      {Options{}, "pawl: waiting for approval of pawl-1 (pay)\n", 0},
		"with a hook":     {Options{OnWait: func(Waiting) { called++ }}, "", 1},
		"beside a dialog": {Options{Approver: Terminal()}, "", 0},
	} {
		c.o.Agent, called = "a", 0
		if err := c.o.validate(); err != nil {
			t.Fatal(err)
		}
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		stderr := os.Stderr
		os.Stderr = out
		c.o.OnWait(Waiting{ID: "pawl-1", Tool: "pay", Status: approval.StatusPending})
		os.Stderr = stderr
		out.Close()
		if said, err := io.ReadAll(in); err != nil || string(said) != c.stderr || called != c.called {
			t.Errorf("%s: %q, %d calls, %v", name, said, called, err)
		}
		in.Close()
	}
}
