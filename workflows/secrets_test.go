package workflows_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

// A secret that stands in a text, under no name or beside one, shows nowhere: not in what the store
// and the record hold, nor in what the query tells, however the call ends.
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
			})
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
