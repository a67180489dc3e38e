package tool

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
)

const (
	maxErrorText = 4 << 10 // bytes

	// grace is how long a run whose time is over may still report its own end: a tool that knows it
	// never started is worth believing.
	grace = time.Second
)

// ending is an error that says whether the tool may have run.
type ending struct {
	unknown bool
	text    string
	cause   error
}

func (e *ending) Error() string { return e.text }

// Unwrap returns the cause, for errors.Is and logs.
func (e *ending) Unwrap() error { return e.cause }

// Failed marks err as a certain end: the tool did not run, or did not do what was asked. It
// overrules what err itself suggests. Failed(nil) is nil.
func Failed(err error) error { return classify(err, false) }

// Unknown marks err as an end that leaves open whether the tool ran, so that a person has to find
// out. Unknown(nil) is nil.
func Unknown(err error) error { return classify(err, true) }

func classify(err error, unknown bool) error {
	if err == nil {
		return nil
	}
	text := strings.ReplaceAll(strings.ToValidUTF8(err.Error(), "\uFFFD"), "\x00", "\uFFFD")
	if strings.TrimSpace(text) == "" {
		text = "the tool gave no reason"
	}
	if len(text) > maxErrorText {
		const mark = approval.CutMark + " (cut)"
		end := maxErrorText - len(mark)
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + mark
	}
	return &ending{unknown: unknown, text: text, cause: err}
}

// IsUnknown reports whether a run that ended with err may have done something: the outermost
// Unknown or Failed decides, else whether err is a timeout or a cancellation. Of joined errors one
// unknown is enough. For an error of Run this is the answer; IsUnknown(nil) is false.
func IsUnknown(err error) bool {
	if e, ok := err.(*ending); ok {
		return e.unknown
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), IsUnknown)
	}
	if err == nil {
		return false
	}
	if err == context.Canceled {
		return true
	}
	if e, ok := err.(interface{ Is(error) bool }); ok && e.Is(context.Canceled) {
		return true
	}
	if e, ok := err.(interface{ Timeout() bool }); ok && e.Timeout() {
		return true
	}
	return IsUnknown(errors.Unwrap(err))
}

func undeliverable(why string, cause error) error {
	return &ending{unknown: true, text: "the tool ran, but its result can't be delivered: " + why, cause: cause}
}

type invocationKey struct{}

// FromContext returns the invocation a tool's function runs for.
func FromContext(ctx context.Context) (Invocation, bool) {
	c, ok := ctx.Value(invocationKey{}).(Invocation)
	return c, ok
}

type answer struct {
	result json.RawMessage
	err    error
}

// Run checks the arguments and runs the tool once. The result is valid JSON of at most
// approval.MaxResult bytes, but may hold what strictjson.Check refuses: a tool that ran is not
// failed for an odd answer. An error is failed or unknown, as IsUnknown says; its text is at most 4
// KiB of valid UTF-8 in the tool's own words.
//
// Run returns within a second of the tool's timeout and of ctx's end, even if the function does
// not; such a function goes on in its goroutine, unheard.
func (t *Tool) Run(ctx context.Context, c Invocation) (json.RawMessage, error) {
	if c.Tool = cmp.Or(c.Tool, t.name); c.Tool != t.name {
		return nil, Failed(fmt.Errorf("the tool was not started: the call is for %s, this is %s",
			quote(c.Tool), quote(t.name)))
	}
	if err := t.CheckArgs(c.Args); err != nil {
		return nil, Failed(fmt.Errorf("the tool was not started: %w", err))
	}
	if err := ctx.Err(); err != nil {
		return nil, Failed(fmt.Errorf("the tool was not started: %w", err))
	}
	running, cancel := context.WithTimeout(context.WithValue(ctx, invocationKey{}, c), t.timeout)
	defer cancel()

	ended := make(chan answer, 1)
	go t.start(running, c, ended)
	select {
	case a := <-ended:
		return a.result, a.err
	case <-running.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case a := <-ended:
		return a.result, a.err
	case <-late.C:
	}
	if ctx.Err() != nil {
		return nil, Unknown(fmt.Errorf("the tool was interrupted while it ran: %w", ctx.Err()))
	}
	return nil, Unknown(fmt.Errorf("the tool did not answer within %v: %w", t.timeout, running.Err()))
}

// start runs the function and always sends one answer, whatever it does.
func (t *Tool) start(ctx context.Context, c Invocation, ended chan<- answer) {
	a := answer{err: Unknown(errors.New("the tool ended its goroutine without an answer"))}
	defer func() {
		if p := recover(); p != nil {
			// The value may hold secrets; its type and place do not.
			a = answer{err: Unknown(fmt.Errorf("the tool panicked with a %T in %s", p, panicking()))}
		}
		ended <- a
	}()
	result, err := t.run(ctx, c)
	if err != nil {
		var said *ending
		over := !errors.As(err, &said) && ctx.Err() != nil
		a = answer{err: classify(err, over || IsUnknown(err))}
		return
	}
	if a.result, a.err = Deliver(result); a.err != nil {
		return
	}
	if err := t.Judge(a.result); err != nil {
		a = answer{err: err}
	}
}

// Deliver turns what a tool answered into the bytes that cross the wire, and measures those:
// marshalling escapes some characters. Nothing is null. The error is unknown, since the tool ran.
func Deliver(result json.RawMessage) (json.RawMessage, error) {
	if len(bytes.TrimSpace(result)) == 0 {
		return json.RawMessage("null"), nil
	}
	if !utf8.Valid(result) {
		return nil, undeliverable("it is not valid UTF-8", nil)
	}
	wire, err := json.Marshal(result)
	if err != nil {
		return nil, undeliverable("it is not valid JSON", err)
	}
	if len(wire) > approval.MaxResult {
		why := fmt.Sprintf("it is %d bytes of JSON; at most %d are taken", len(wire), approval.MaxResult)
		return nil, undeliverable(why, nil)
	}
	return wire, nil
}

// panicking names the function that panicked. It works only directly inside a deferred function
// that recovered.
func panicking() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	unwinding := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			unwinding = true
		case unwinding && !strings.HasPrefix(frame.Function, "runtime."):
			return frame.Function
		}
		if !more {
			return "an unknown function"
		}
	}
}
