package hook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// after reports how a tool ended that the host was let run.
func (h *ClaudeCode) after(ctx context.Context, e event) error {
	s := h.session(e.Session)
	r, err := s.find(func(r *record) bool { return r.Use == e.Use && r.Answered && r.Report == nil })
	if r == nil || err != nil { // without a record the host was not let run anything here
		return err
	}
	report := said(e)
	r.Report = &report
	err = h.report(ctx, r)
	if r.close(err == nil); err == nil {
		_, _ = h.flush(ctx, s, always)
	}
	return err
}

// report keeps a report and sends it. One that nobody takes now is sent by a later process.
func (h *ClaudeCode) report(ctx context.Context, r *record) error {
	kept := r.write()
	err := h.send(ctx, r)
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("how the call %s ended could not be reported yet (%w); "+
		"the next tool call in this session does it", shown(r.Call), err), kept)
}

var exitCode = regexp.MustCompile(`^Exit code -?[0-9]+`)

// said is what there is to report. Results stay with the host: their size and digest prove them.
func said(e event) approval.ReportSignal {
	switch e.Name {
	case denied:
		return approval.ReportSignal{
			Status: approval.ReportNotRun, Error: "Claude Code's own check denied it",
		}
	case toolFailed:
		r := approval.ReportSignal{Status: approval.ReportFailed, Error: "the tool failed"}
		if code := exitCode.FindString(e.Error); code != "" {
			r.Error = code
		}
		if e.Interrupted {
			r.Status, r.Error = approval.ReportUnknown, "it was interrupted while it ran"
		}
		return digested(r, []byte(e.Error))
	}
	return digested(approval.ReportSignal{Status: approval.ReportExecuted}, e.Response)
}

func digested(r approval.ReportSignal, result []byte) approval.ReportSignal {
	if len(result) > 0 {
		sum := sha256.Sum256(result)
		r.ResultDigest, r.ResultSize = hex.EncodeToString(sum[:]), int64(len(result))
	}
	return r
}

// send sends a report. Without an error it is done with: taken, or refused for good.
func (h *ClaudeCode) send(ctx context.Context, r *record) error {
	ctx, cancel := context.WithTimeout(ctx, reporting)
	defer cancel()
	report := *r.Report
	report.StartID = r.Start
	v, err := h.o.Client.Report(ctx, r.Call, report)
	if settled(err) || err == nil && v.Status.Ended() {
		return nil
	}
	return cmp.Or(err, ctx.Err())
}

// settled reports an answer after which there is nothing left to do about a call: it has ended, or is unknown.
func settled(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && (e.HTTPStatus == http.StatusConflict || e.HTTPStatus == http.StatusNotFound)
}

// down reports an error that the next call meets as well: Pawl is silent, or has no time.
func down(err error) bool {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.HTTPStatus == http.StatusTooManyRequests || e.HTTPStatus == http.StatusBadGateway ||
			e.HTTPStatus == http.StatusServiceUnavailable || e.HTTPStatus == http.StatusGatewayTimeout
	}
	return errors.As(err, new(*client.UnreachableError)) || errors.As(err, new(*client.UncertainError)) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// each takes the records that wanted says yes to, and closes those for good that do is done with. One that it
// is not done with keeps none behind it, unless stop says so of its error.
func (s session) each(
	wanted func(*record) bool, do func(*record) error, stop func(error) bool,
) (failed error, stopped bool) {
	for tried := map[string]bool{}; ; {
		r, err := s.find(func(r *record) bool { return !tried[r.Start] && wanted(r) })
		if r == nil || err != nil {
			return errors.Join(failed, err), false
		}
		tried[r.Start] = true
		err = do(r)
		r.close(err == nil)
		if failed = errors.Join(failed, err); err != nil && stop(err) {
			return failed, true
		}
	}
}

// flush sends what earlier processes could not report. What is left is sent by a later one.
func (h *ClaudeCode) flush(
	ctx context.Context, s session, stop func(error) bool,
) (failed error, stopped bool) {
	return s.each(func(r *record) bool { return r.Report != nil },
		func(r *record) error { return h.send(ctx, r) }, stop)
}

// always stops each at the first error, where a tool call waits for it.
func always(error) bool { return true }

// end closes what is open when a session ends. A session that is resumed later makes its calls again, or
// goes on with the one that the host holds back: in print mode what waits goes on waiting.
func (h *ClaudeCode) end(ctx context.Context, e event) error {
	s := h.session(e.Session)
	failed, silent := h.flush(ctx, s, down)
	if silent { // whoever ends the session waits, and would in vain
		return failed
	}
	open := func(r *record) bool { return r.Answered && r.Report == nil }
	unsent, silent := s.each(open, func(r *record) error {
		r.Report = &approval.ReportSignal{
			Status: approval.ReportUnknown, Error: "the session ended without a word of how it ended",
		}
		return h.report(ctx, r)
	}, down)
	if !h.o.Print && !silent {
		err, _ := h.withdraw(ctx, s, e.Session)
		unsent = errors.Join(unsent, err)
	}
	h.prune()
	if !s.any(func(*record) bool { return true }) {
		_ = os.Remove(s.holder())
		_ = os.Remove(string(s)) // unless a tool call has just begun
	}
	return unsent
}

// withdraw withdraws what waits for people, and for nobody else any more. A process that was killed before it
// knew its call has left it unnamed: then everything goes that waits in the session.
func (h *ClaudeCode) withdraw(ctx context.Context, s session, id string) (failed error, stopped bool) {
	return s.each(func(r *record) bool { return !r.Answered }, func(r *record) (err error) {
		const notes = "The session of Claude Code ended."
		if r.Call == "" {
			_, err = h.o.Client.CancelSession(ctx, id, notes)
		} else {
			_, err = h.o.Client.Cancel(ctx, r.Call, notes)
		}
		if err == nil || settled(err) {
			return nil
		}
		// A later end tries again.
		return fmt.Errorf("what waits in this session could not be withdrawn%s: %w", named(r.Call), err)
	}, down)
}

func named(call string) string {
	if call == "" {
		return ""
	}
	return " (" + shown(call) + ")"
}
