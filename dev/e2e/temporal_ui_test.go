package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// What Temporal's own UI can do to a call, and what it shows of it.

func TestSignalsFromTemporalsUI(t *testing.T) {
	w := newWorld(t, func(c *stack.Config) { c.NoUI, c.UIListen = false, "127.0.0.1:0" })
	for name, tc := range map[string]struct {
		payload string // as the UI encodes it: json/plain data; "-" sends none
		signal  string
		status  approval.Status // "" means: refused, still pending
	}{
		"no payload":         {"-", "approve", approval.StatusExecuted},
		"empty field":        {``, "approve", approval.StatusExecuted},
		"empty text":         {`""`, "approve", approval.StatusExecuted},
		"null":               {`null`, "reject", approval.StatusRejected},
		"object":             {`{"reviewer":"ana","notes":"fine"}`, "approve", approval.StatusExecuted},
		"reject with notes":  {`{"notes":"no"}`, "reject", approval.StatusRejected},
		"cancel":             {`{"notes":"no longer"}`, "cancel_call", approval.StatusCancelled},
		"words":              {`"yes please"`, "approve", ""},
		"typo":               {`{"note":"x"}`, "approve", ""},
		"not JSON":           {`{yes`, "approve", ""},
		"a number":           {`1`, "reject", ""},
		"other digest":       {`{"digest":"00"}`, "approve", ""},
		"name in wrong type": {`{"reviewer":["ana"]}`, "approve", ""},
	} {
		t.Run(name, func(t *testing.T) {
			id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
			input := ""
			if tc.payload != "-" {
				b64 := base64.StdEncoding.EncodeToString
				input = fmt.Sprintf(`,"input":{"payloads":[{"metadata":{"encoding":%q},"data":%q}]}`, b64([]byte("json/plain")), b64([]byte(tc.payload)))
			}
			url := w.UI + "/api/v1/namespaces/default/workflows/" + id + "/signal/" + tc.signal
			body := fmt.Sprintf(`{"workflowExecution":{"workflowId":%q},"signalName":%q%s}`, id, tc.signal, input)
			if code, text := w.asUI(url, body); code != http.StatusOK {
				t.Fatalf("%d %s", code, text)
			}
			if tc.status == "" {
				w.until("the refusal shows", func() bool { return len(w.live(id).Answers) == 1 })
				s := w.live(id)
				if s.Status != approval.StatusPending || s.Answers[0].Outcome.Counted() || s.Answers[0].Message == "" {
					t.Errorf("%+v", s)
				}
				return
			}
			runs := 0
			if tc.status == approval.StatusExecuted {
				runs = 1
			}
			out := w.ends(id, tc.status, runs)
			if d := out["decision"].(map[string]any); d["channel"] != "temporal" || d["authenticated"] != false {
				t.Errorf("%v", d)
			}
		})
	}
}

// asUI sends what the UI's page sends, with the token of its cookie.
func (w *world) asUI(url, body string) (int, string) {
	w.t.Helper()
	page, err := http.Get(w.UI + "/")
	if err != nil {
		w.t.Fatal(err)
	}
	page.Body.Close()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, c := range page.Cookies() {
		req.AddCookie(c)
		if c.Name == "_csrf" {
			req.Header.Set("X-CSRF-TOKEN", c.Value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var text json.RawMessage
	_ = json.NewDecoder(resp.Body).Decode(&text)
	return resp.StatusCode, string(text)
}

func (w *world) live(id string) approval.State {
	w.t.Helper()
	v, err := w.Client.QueryWorkflow(w.t.Context(), id, "", approval.QueryState)
	if err != nil {
		w.t.Fatal(err)
	}
	var s approval.State
	if err := v.Get(&s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestTemporalShowsWhatWaits(t *testing.T) {
	w := newWorld(t, func(c *stack.Config) { c.PublicURL = "https://pawl.example.com" })
	id := w.pending(`{"tool":"send","args":{"to":"x` + "`" + `**bold**","secret":"hunter2"},"agent":"bot"}`)

	w.until("the call is found by its search attributes", func() bool {
		found, err := w.Client.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
			Query: `PawlStatus = "pending" AND PawlTool = "send" AND PawlAgent = "bot"`})
		return err == nil && found.Count == 1
	})
	v, err := w.Client.QueryWorkflow(t.Context(), id, "", "__temporal_workflow_metadata")
	if err != nil {
		t.Fatal(err)
	}
	var metadata sdkpb.WorkflowMetadata
	if err := v.Get(&metadata); err != nil {
		t.Fatal(err)
	}
	d := metadata.CurrentDetails
	for _, want := range []string{"`send`", "pending", "high", "1 approval", "⟦redacted by policy⟧", w.live(id).Digest, "<https://pawl.example.com/requests/" + id + ">"} {
		if !strings.Contains(d, want) {
			t.Errorf("details lack %q:\n%s", want, d)
		}
	}
	if strings.Contains(d, "hunter2") {
		t.Errorf("details show the secret:\n%s", d)
	}
	if err := w.Client.SignalWorkflow(t.Context(), id, "", approval.SignalApprove, "yes"); err != nil {
		t.Fatal(err)
	}
	if v, err = w.Client.QueryWorkflow(t.Context(), id, "", "__temporal_workflow_metadata"); err != nil {
		t.Fatal(err)
	}
	var after sdkpb.WorkflowMetadata
	if err := v.Get(&after); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(after.CurrentDetails, "Did not count: `approve-1`, invalid: `must be a JSON object`") {
		t.Errorf("the refusal does not show:\n%s", after.CurrentDetails)
	}
	described := 0
	for _, s := range metadata.Definition.SignalDefinitions {
		if s.Description != "" {
			described++
		}
	}
	if described != 5 { // a caller's two among them
		t.Errorf("signals offered: %+v", metadata.Definition.SignalDefinitions)
	}

	w.decide(id, "reject", "ana", "")
	w.ends(id, approval.StatusRejected, 0)
	w.until("the end is found, too", func() bool {
		found, err := w.Client.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: `PawlStatus = "rejected"`})
		return err == nil && found.Count == 1
	})
}
