package pawl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
)

type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var shown = approval.View{
	ID: "pawl-1", Tool: "rm", Agent: "bot", Risk: approval.RiskHigh, Reason: "tidy\x1b[2J up\nLet it run? Type y or n: y",
	Args: json.RawMessage(`{"path":"/tmp"}`), Session: "s-7", Labels: map[string]string{"to": "prod", "env": "live\x1b[2J"},
}

func TestTerminalAsks(t *testing.T) {
	for _, c := range []struct {
		typed string
		want  approval.DecisionKind
	}{
		{"y\n", approval.Approve}, {" YES \n", approval.Approve}, {"n\n", approval.Reject}, {"no\n", approval.Reject},
		{"\nwhat?\nyy\nn\n", approval.Reject}, {"", approval.Reject}, {"maybe\n", approval.Reject},
	} {
		synctest.Test(t, func(t *testing.T) {
			in, keyboard := io.Pipe()
			out := &screen{}
			term := &terminal{in: in, out: out, isTerminal: func() bool { return true }}
			go func() {
				time.Sleep(time.Second) // a person reads first
				_, _ = io.WriteString(keyboard, c.typed)
				keyboard.Close()
			}()
			d, err := term.Review(t.Context(), shown)
			if d.Kind != c.want || err != nil {
				t.Errorf("%q: %+v, %v", c.typed, d, err)
			}
			text := out.String()
			for _, want := range []string{"bot asks to run rm (risk: high)", "\n  │ path: /tmp\n", "pawl-1", "\n  │ Let it run?",
				"Delete /tmp\n", "\n  │ label: to=prod\n", "s-7", "made to look like other text: 2 hidden characters"} {
				if !strings.Contains(text, want) {
					t.Errorf("the question lacks %q:\n%s", want, text)
				}
			}
			if strings.Contains(text, "\x1b") {
				t.Errorf("the question moves the cursor: %q", text)
			}
		})
	}
}

func TestTerminalHeedsNoAnswerToAnotherQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, keyboard := io.Pipe()
		defer keyboard.Close()
		term := &terminal{in: in, out: &screen{}, isTerminal: func() bool { return true }}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel) // the call ends while its question stands
		if d, err := term.Review(ctx, shown); d.Kind != "" || !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", d, err)
		}
		go func() {
			_, _ = io.WriteString(keyboard, "y\n") // to the first question
			time.Sleep(time.Minute)
			_, _ = io.WriteString(keyboard, "n\n")
		}()
		synctest.Wait()
		if d, err := term.Review(t.Context(), shown); d.Kind != approval.Reject || err != nil {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

// Nobody at the keyboard is a denial at once, and says why: a call that waits until its deadline helps
// no one.
func TestTerminalWithoutATerminal(t *testing.T) {
	ended := &terminal{in: strings.NewReader(""), out: &screen{}, isTerminal: func() bool { return true }}
	none := &terminal{in: strings.NewReader("y\n"), out: &screen{}, isTerminal: func() bool { return false }}
	for why, term := range map[string]*terminal{"has ended": ended, "is not a terminal": none} {
		for range 2 {
			d, err := term.Review(t.Context(), shown)
			if d.Kind != approval.Reject || err != nil || !strings.Contains(d.Notes, why) {
				t.Errorf("%+v, %v", d, err)
			}
		}
		if text := term.out.(*screen).String(); strings.Count(text, why+", so nobody can be asked") != 2 ||
			!strings.Contains(text, "pawl-1 is rejected") {
			t.Errorf("it says %q", text)
		}
	}
}
