package workflows_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
)

// At info the log has one line for each call that ended, and nothing of what it was about.
func TestEndedCallsAreLogged(t *testing.T) {
	for name, c := range map[string]struct {
		doc    string
		send   func(h *harness)
		status approval.Status
		code   string
	}{
		"allowed":   {`{"tool":"read","args":{"to":"ann","secret":"hunter2"}}`, nil, approval.StatusExecuted, ""},
		"approved":  {sendDoc, func(h *harness) { h.SignalWorkflow(approval.SignalApprove, signal("d", "bob")) }, approval.StatusExecuted, ""},
		"rejected":  {sendDoc, func(h *harness) { h.SignalWorkflow(approval.SignalReject, signal("d", "bob")) }, approval.StatusRejected, approval.CodeRejected},
		"cancelled": {sendDoc, func(h *harness) { h.CancelWorkflow() }, approval.StatusCancelled, approval.CodeCancelled},
		"expired":   {sendDoc, nil, approval.StatusExpired, approval.CodeExpired},
		"blocked":   {`{"tool":"other","args":{"to":"ann"}}`, nil, approval.StatusBlocked, approval.CodeUnknownTool},
		"no call":   {`{"tool":"read","args":{"to":"ann"},"colour":"red"}`, nil, approval.StatusBlocked, approval.CodeInvalid},
	} {
		var log bytes.Buffer
		h := setup(t)
		h.acts.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		if c.send != nil {
			h.after(time.Second, func() { c.send(h) })
		}
		out := h.call(c.doc)
		if out.Status != c.status {
			t.Errorf("%s: it ended %s", name, out.Status)
		}
		want := `msg="call ended" call=call-1 tool=` + out.Tool + " "
		if out.Tool == "" {
			want = `msg="call ended" call=call-1 tool="" `
		}
		for _, field := range []string{want, "status=" + string(c.status), "code=", "digest=" + out.Digest} {
			if !strings.Contains(log.String(), field) {
				t.Errorf("%s: the log lacks %s: %s", name, field, log.String())
			}
		}
		if c.code != "" && !strings.Contains(log.String(), "code="+c.code) {
			t.Errorf("%s: the log lacks the code: %s", name, log.String())
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%s: the log has %d lines: %s", name, n, log.String())
		}
		for _, secret := range []string{"hunter2", "ann"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%s: the log shows an argument: %s", name, log.String())
			}
		}
	}
}
