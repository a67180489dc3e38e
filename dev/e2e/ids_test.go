package e2e_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/client"
)

// Whoever starts workflows chooses their IDs. One that no call can have ends the call at once, and
// the record can be found under an ID that can be typed.
func TestForeignIDs(t *testing.T) {
	w := newWorld(t)
	start := func(id, tool string) (client.WorkflowRun, error) {
		return w.Client.ExecuteWorkflow(t.Context(),
			client.StartWorkflowOptions{ID: id, TaskQueue: approval.TaskQueue}, approval.WorkflowType,
			map[string]any{"tool": tool, "args": map[string]string{"to": "x"}})
	}
	for id, kept := range map[string]string{
		"ü-1": `\u00fc-1`, "é-2": `\u00e9-2`, "a\x01b": `a\x01b`, "line\nbreak": `line\nbreak`, "🦀": `\U0001f980`,
		strings.Repeat("ü", 400): "",
	} {
		for _, tool := range []string{"read", "send"} {
			run, err := start(id, tool)
			if err != nil {
				t.Fatalf("%q: %v", id, err)
			}
			var out approval.Outcome
			if err := run.Get(t.Context(), &out); err != nil {
				t.Fatalf("%q: %v", id, err)
			}
			if out.Status != approval.StatusBlocked || out.Error.Code != approval.CodeInvalid || kept != "" && out.ID != kept {
				t.Errorf("%q: %+v %+v", id, out, out.Error)
			}
			if n := w.runs(out.ID) + w.runs(id); n != 0 {
				t.Errorf("%q: its tool ran %d times", id, n)
			}
			a := w.get("/api/requests/" + url.PathEscape(out.ID))
			if a.code != 200 || a.text("status") != string(approval.StatusBlocked) {
				t.Errorf("%q is shown as %d %s", id, a.code, a.doc)
			}
			w.decide(url.PathEscape(out.ID), "approve", "ana", "")
		}
	}
	for _, id := range []string{"order 7/a", "blank ", `a"b\c`} {
		run, err := start(id, "send")
		if err != nil {
			t.Fatal(err)
		}
		path := url.PathEscape(run.GetID())
		w.until("the call waits", func() bool { return w.get("/api/requests/"+path).text("status") == "pending" })
		w.until("it is approved", func() bool { return w.decide(path, "approve", "ana", "").code == 200 })
		var out approval.Outcome
		if err := run.Get(t.Context(), &out); err != nil || out.Status != approval.StatusExecuted || out.ID != id {
			t.Errorf("%q: %+v, %v", id, out, err)
		}
	}
	if _, err := start(strings.Repeat("x", 1001), "read"); err == nil {
		t.Error("Temporal takes IDs of more than 1,000 bytes")
	}
}
