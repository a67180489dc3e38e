package tool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/tool"
)

type none struct{}

func fails(t *testing.T, fn func(context.Context, none) (any, error)) error {
	t.Helper()
	made, err := tool.New("try", fn, tool.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	result, err := made.Run(t.Context(), tool.Invocation{Args: json.RawMessage(`{}`)})
	if err == nil || result != nil {
		t.Fatalf("result %.80s, error %v", result, err)
	}
	return err
}

func TestErrorsAreFailedOrUnknown(t *testing.T) {
	plain := errors.New("the card was declined")
	for name, c := range map[string]struct {
		err     error
		unknown bool
	}{
		"plain":                 {plain, false},
		"unknown":               {tool.Unknown(plain), true},
		"unknown, wrapped":      {fmt.Errorf("charge: %w", tool.Unknown(plain)), true},
		"deadline":              {fmt.Errorf("charge: %w", context.DeadlineExceeded), true},
		"cancelled":             {fmt.Errorf("charge: %w", context.Canceled), true},
		"i/o timeout":           {&url.Error{Op: "Post", URL: "http://127.0.0.1", Err: os.ErrDeadlineExceeded}, true},
		"failed over deadline":  {tool.Failed(context.DeadlineExceeded), false},
		"wrapped failed":        {fmt.Errorf("charge: %w", tool.Failed(context.DeadlineExceeded)), false},
		"failed over unknown":   {tool.Failed(tool.Unknown(plain)), false},
		"unknown over failed":   {tool.Unknown(tool.Failed(plain)), true},
		"joined, one unknown":   {errors.Join(tool.Failed(plain), tool.Unknown(plain)), true},
		"joined, one cancelled": {errors.Join(tool.Failed(plain), context.Canceled), true},
		"joined, all failed":    {errors.Join(plain, tool.Failed(plain)), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tool.IsUnknown(c.err); got != c.unknown {
				t.Errorf("IsUnknown %v, want %v", got, c.unknown)
			}
			err := fails(t, func(context.Context, none) (any, error) { return 1, c.err })
			if got := tool.IsUnknown(err); got != c.unknown {
				t.Errorf("after Run: IsUnknown %v, want %v", got, c.unknown)
			}
			if err.Error() != c.err.Error() || !errors.Is(err, c.err) {
				t.Errorf("Run says %q, the tool said %q", err, c.err)
			}
		})
	}
	if tool.Failed(nil) != nil || tool.Unknown(nil) != nil || tool.IsUnknown(nil) {
		t.Error("no error is not an end")
	}
}

func TestErrorTextIsBoundedAndClean(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":    {"", "the tool gave no reason"},
		"not text": {"a\xffb\x00c", "a\uFFFDb\uFFFDc"},
		"long":     {strings.Repeat("é", 4000), "… (cut)"},
	} {
		t.Run(name, func(t *testing.T) {
			got := fails(t, func(context.Context, none) (any, error) { return nil, errors.New(c.text) }).Error()
			if !strings.Contains(got, c.want) || !utf8.ValidString(got) || len(got) > 4<<10 {
				t.Errorf("got %d bytes: %.80q", len(got), got)
			}
		})
	}
}

func TestCutErrorTextHidesHalfASecret(t *testing.T) {
	r := redact.New([]string{"password"}, approval.RedactNone)
	r.Args(json.RawMessage(`{"password":"correct horse"}`))
	for lead := range 20 {
		text := strings.Repeat("x", 4<<10-28+lead) + "correct horse" + strings.Repeat(" and more", 10)
		got := r.Text(fails(t, func(context.Context, none) (any, error) { return nil, errors.New(text) }).Error())
		if strings.Contains(got, "corr") || !strings.HasSuffix(got, approval.CutMark+" (cut)") {
			t.Errorf("lead %d: …%q", lead, got[len(got)-40:])
		}
	}
}

type leaky struct{ Secret string }

func (l leaky) Error() string { panic(l.Secret) }

func panicsHere() { panic(leaky{"s3cr3t"}) }

func TestPanicsAreUnknownAndKeepTheirValueToThemselves(t *testing.T) {
	for name, c := range map[string]struct {
		fn   func(context.Context, none) (any, error)
		want string
	}{
		"value":         {func(context.Context, none) (any, error) { panicsHere(); return nil, nil }, "the tool panicked with a tool_test.leaky in github.com/pawlhq/pawl/tool_test.panicsHere"},
		"text":          {func(context.Context, none) (any, error) { panic("s3cr3t") }, "panicked with a string in github.com/pawlhq/pawl/tool_test."},
		"runtime":       {func(context.Context, none) (any, error) { var empty []int; return empty[len("s3cr3t")], nil }, "in github.com/pawlhq/pawl/tool_test."},
		"in its error":  {func(context.Context, none) (any, error) { return nil, leaky{"s3cr3t"} }, "in github.com/pawlhq/pawl/tool_test.leaky.Error"},
		"goroutine end": {func(context.Context, none) (any, error) { runtime.Goexit(); return nil, nil }, "without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fails(t, c.fn)
			if !tool.IsUnknown(err) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("unknown %v: %v", tool.IsUnknown(err), err)
			}
		})
	}
}

type broken struct{}

func (broken) MarshalJSON() ([]byte, error) { return nil, errors.New("s3cr3t") }

func TestResultsThatCannotBeDeliveredAreUnknown(t *testing.T) {
	for name, result := range map[string]any{
		"not a number":      math.NaN(),
		"own error":         broken{},
		"channel":           make(chan int),
		"invalid raw":       json.RawMessage(`{"s3cr3t"`),
		"too big":           strings.Repeat("s3cr3t", approval.MaxResult/6+1),
		"big when escaped":  strings.Repeat("<", approval.MaxResult/2),
		"raw invalid UTF-8": json.RawMessage("\"s3cr3t\xff\""),
	} {
		t.Run(name, func(t *testing.T) {
			err := fails(t, func(context.Context, none) (any, error) { return result, nil })
			if !tool.IsUnknown(err) || !strings.HasPrefix(err.Error(), "the tool ran, but its result can't be delivered: ") {
				t.Errorf("unknown %v: %v", tool.IsUnknown(err), err)
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error quotes the result: %v", err)
			}
		})
	}
}

func TestResults(t *testing.T) {
	for name, c := range map[string]struct{ raw, want string }{
		"nil":               {"", "null"},
		"blank":             {" \n", "null"},
		"compacted":         {" {\"a\": [1, 2]}\n", `{"a":[1,2]}`},
		"odd but delivered": {`{"a":1,"a":9007199254740993}`, `{"a":1,"a":9007199254740993}`},
		"largest":           {`"` + strings.Repeat("x", approval.MaxResult-2) + `"`, `"` + strings.Repeat("x", approval.MaxResult-2) + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := tool.Custom("raw", json.RawMessage(`{"type": "object"}`), func(context.Context, tool.Invocation) (json.RawMessage, error) {
				return json.RawMessage(c.raw), nil
			}, tool.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := made.Run(t.Context(), tool.Invocation{Args: json.RawMessage(`{}`)})
			if err != nil || !bytes.Equal(got, []byte(c.want)) {
				t.Errorf("got %.80s, %v", got, err)
			}
		})
	}
}

func TestRunReturnsAtItsTimeWhateverTheToolDoes(t *testing.T) {
	for name, c := range map[string]struct {
		fn      func(ctx context.Context, released <-chan struct{}) error
		stop    time.Duration // the caller cancels then
		unknown bool
		want    string
		after   time.Duration
	}{
		"ignores the deadline": {func(_ context.Context, released <-chan struct{}) error { <-released; return nil }, 0,
			true, "did not answer within 10s", 11 * time.Second},
		"ignores the cancel": {func(_ context.Context, released <-chan struct{}) error { <-released; return nil }, 5 * time.Second,
			true, "interrupted while it ran", 6 * time.Second},
		"returns the context's error": {func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return ctx.Err() }, 0,
			true, "deadline exceeded", 10 * time.Second},
		"hides the context's error": {func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return errors.New("query stopped") }, 0,
			true, "query stopped", 10 * time.Second},
		"knows it never started": {func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return tool.Failed(ctx.Err()) }, 0,
			false, "deadline exceeded", 10 * time.Second},
		"answers late": {func(context.Context, <-chan struct{}) error { <-time.After(10500 * time.Millisecond); return nil }, 0,
			false, "", 10500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				released := make(chan struct{})
				made, err := tool.New("slow", func(ctx context.Context, _ none) (int, error) { return 1, c.fn(ctx, released) }, tool.Options{Timeout: 10 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.stop > 0 {
					time.AfterFunc(c.stop, cancel)
				}
				began := time.Now()
				_, err = made.Run(ctx, tool.Invocation{Args: json.RawMessage(`{}`)})
				if got := time.Since(began); got != c.after {
					t.Errorf("returned after %v, want %v", got, c.after)
				}
				if tool.IsUnknown(err) != c.unknown || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("unknown %v: %v", tool.IsUnknown(err), err)
				}
				close(released)
				synctest.Wait()
			})
		})
	}
}

func TestRunRefusesBeforeItStarts(t *testing.T) {
	ran := false
	made, err := tool.New("once", func(context.Context, none) (int, error) { ran = true; return 0, nil }, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		call tool.Invocation
	}{
		"another tool":    {t.Context(), tool.Invocation{Tool: "other", Args: json.RawMessage(`{}`)}},
		"bad arguments":   {t.Context(), tool.Invocation{Args: json.RawMessage(`{"a": 1}`)}},
		"no arguments":    {t.Context(), tool.Invocation{}},
		"over beforehand": {over, tool.Invocation{Args: json.RawMessage(`{}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := made.Run(c.ctx, c.call)
			if err == nil || tool.IsUnknown(err) || ran || !strings.Contains(err.Error(), "was not started") {
				t.Errorf("ran %v, unknown %v: %v", ran, tool.IsUnknown(err), err)
			}
		})
	}
}

func TestFunctionsFindTheirInvocation(t *testing.T) {
	want := tool.Invocation{CallID: "pawl-1", Digest: "d", Tool: "who", Args: json.RawMessage(`{}`)}
	made, err := tool.New("who", func(ctx context.Context, _ none) (string, error) {
		got, ok := tool.FromContext(ctx)
		if !ok || got.CallID != want.CallID || got.Digest != want.Digest || got.Tool != want.Tool {
			return "", fmt.Errorf("got %+v, %v", got, ok)
		}
		return got.CallID, nil
	}, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if result, err := made.Run(t.Context(), want); err != nil || string(result) != `"pawl-1"` {
		t.Errorf("got %s, %v", result, err)
	}
	if _, ok := tool.FromContext(t.Context()); ok {
		t.Error("an invocation outside of a run")
	}
}
