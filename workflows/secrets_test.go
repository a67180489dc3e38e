package workflows_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	sdkpb "go.temporal.io/api/sdk/v1"
)

// A secret that stands in a text, under no name or beside one, shows nowhere: not in what the store
// and the record hold, nor in what the query and Temporal's UI tell, however the call ends.
func TestSecretsInTexts(t *testing.T) {
	const secret = "Pl4ntedS3cretV4lueOfF0rty"
	for form, text := range map[string]string{
		"vendor's token":   "use ghp_" + secret + " for it",
		"URL":              "see postgres://ann:" + secret + "@db/d",
		"bearer":           "curl -H 'Authorization: Bearer " + secret + "' https://h",
		"flag":             "x --client-secret " + secret + " y",
		"environment":      "CLIENT_SECRET=" + secret + " x",
		"JSON":             `{"a":{"clientSecret":"` + secret + `"}}`,
		"pair":             `[{"name":"X-Secret","value":"` + secret + `"}]`,
		"JSON in JSON":     `{"a":"{\"my_secret\":\"` + secret + `\"}"}`,
		"query":            "https://h/?a=1&secret=" + secret + "&b=2",
		"private key":      "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----",
		"lines of YAML":    "- name: APP_SECRET\n  value: " + secret,
		"list of a member": `["--secret","` + secret + `"]`,
	} {
		for end, signal := range map[string]string{"executed": approval.SignalApprove, "failed": approval.SignalApprove, "rejected": approval.SignalReject, "cancelled": approval.SignalCancel} {
			t.Run(form+", "+end, func(t *testing.T) {
				h := setup(t)
				if end == "failed" {
					h.fail = errors.New("it said: " + text)
				}
				line := strings.ReplaceAll(text, "\n", " ")
				doc, err := json.Marshal(map[string]any{
					"tool": "send", "args": map[string]string{"to": text}, "nonce": "n", "title": line, "reason": text,
					"description": text, "labels": map[string]string{"note": line},
				})
				if err != nil {
					t.Fatal(err)
				}
				h.after(time.Second, func() {
					shown, _ := json.Marshal(h.state())
					noSecret(t, "the query", shown, secret)
					noSecret(t, "Temporal's details", h.details(), secret)
					h.SignalWorkflow(signal, map[string]string{"reviewer": "bob", "notes": "about " + text})
				})
				if out := h.call(string(doc)); string(out.Status) != end {
					t.Fatalf("%+v %+v", out, out.Error)
				}
				record, err := h.store.Call(t.Context(), "call-1")
				if err != nil {
					t.Fatal(err)
				}
				stored, _ := json.Marshal(record)
				noSecret(t, "the store", stored, secret)
				page, err := h.store.Entries(t.Context(), store.EntryQuery{Subject: "call-1"})
				if err != nil || len(page.Items) == 0 {
					t.Fatal(page, err)
				}
				for _, e := range page.Items {
					noSecret(t, "the entry "+e.Step, e.Payload, secret)
				}
				shown, _ := json.Marshal(h.state())
				noSecret(t, "the query at the end", shown, secret)
				noSecret(t, "Temporal's details at the end", h.details(), secret)
			})
		}
	}
}

// details are what Temporal's UI shows of the call.
func (h *harness) details() []byte {
	h.t.Helper()
	v, err := h.QueryWorkflow("__temporal_workflow_metadata")
	if err != nil {
		h.t.Fatal(err)
	}
	var m sdkpb.WorkflowMetadata
	if err := v.Get(&m); err != nil || m.CurrentDetails == "" {
		h.t.Fatalf("%+v, %v", &m, err)
	}
	return []byte(m.CurrentDetails)
}

// By their names calls are listed and withdrawn, so those stay, whatever a policy hides.
func TestNamesOfACallAreNotHidden(t *testing.T) {
	const token = "ghp_abcdefghijklmnop0123456789"
	for name, c := range map[string]struct{ agent, team, session string }{
		"what redact_fields name": {"bot", "payments", "session-1"},
		"a vendor's token":        {token, token, token},
		"a hidden value":          {"Pl4ntedS3cret", "Pl4ntedS3cret", "Pl4ntedS3cret"},
	} {
		h := setup(t)
		h.apply("redact_fields: [agent, team, session, tool, secret]\nallow: [send]")
		p, err := active.Follow(t.Context(), active.Options{Store: h.store})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		h.acts.Policy = p
		doc, err := json.Marshal(map[string]any{
			"tool": "send", "agent": c.agent, "team": c.team, "session": c.session,
			"args": map[string]string{"to": "agent: x", "secret": "Pl4ntedS3cret"},
		})
		if err != nil {
			t.Fatal(err)
		}
		h.want(h.call(string(doc)), approval.StatusExecuted, "", 1)
		r, err := h.store.Call(t.Context(), "call-1")
		if err != nil || r.View.Tool != "send" || r.View.Agent != c.agent || r.View.Team != c.team || r.View.Session != c.session {
			t.Errorf("%s: %+v, %v", name, r.View, err)
		}
		if args := string(r.View.Args); args != `{"secret":"[redacted]","to":"agent: [redacted]"}` {
			t.Errorf("%s: beside them stands %s", name, args)
		}
	}
}

func noSecret(t *testing.T, where string, doc []byte, secret string) {
	t.Helper()
	if strings.Contains(string(doc), secret) {
		t.Errorf("%s shows the secret: %s", where, doc)
	}
	if !strings.Contains(string(doc), "[redacted]") && where == "the store" {
		t.Errorf("%s shows nothing hidden: %s", where, doc)
	}
}
