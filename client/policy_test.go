package client_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

func TestPolicy(t *testing.T) {
	c := newClient(t,
		func(w http.ResponseWriter, r *http.Request) error {
			return answer(w, 200, `{"version":3,"digest":"d","at":"2030-01-02T03:04:05Z","by":"ana","channel":"cli","authenticated":true,"note":"n","layers":[{"name":"org.yaml","text":"rules: []"}],"later":1}`)
		})
	p, err := c.Policy(t.Context())
	if err != nil || p.Version != 3 || p.Digest != "d" || p.At.IsZero() || p.By != "ana" || !p.Authenticated || p.Layers[0].Text != "rules: []" {
		t.Errorf("%+v, %v", p, err)
	}

	var asked string
	c = newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		asked = r.URL.EscapedPath()
		return answer(w, 200, `{"digest":"a/b","layers":[]}`)
	})
	if set, err := c.PolicyText(t.Context(), "a/b"); err != nil || set.Digest != "a/b" || asked != "/api/policy/a%2Fb" {
		t.Errorf("%+v, %v, asked %s", set, err, asked)
	}
	if _, err := c.PolicyText(t.Context(), ""); approval.CodeOf(err) != approval.CodeInvalid {
		t.Errorf("no digest: %v", err)
	}
	c = newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		asked = r.URL.RequestURI()
		return answer(w, 200, `{"items":[{"version":2},{"version":1}],"total":2,"next_cursor":""}`)
	})
	if page, err := c.PolicyHistory(t.Context(), "", 2); err != nil || page.Items[0].Version != 2 || asked != "/api/policy/history?limit=2" {
		t.Errorf("%+v, %v, asked %s", page, err, asked)
	}
}

func TestApplyPolicy(t *testing.T) {
	version := int64(3)
	change := rest.PolicyChange{Layers: []rest.PolicyLayer{{Name: "org.yaml", Text: "rules: [] # <é>"}}, Expect: &version, Note: "n"}
	var got map[string]any
	takes := func(body string) wire {
		return func(w http.ResponseWriter, r *http.Request) error {
			doc, err := io.ReadAll(r.Body)
			got = nil
			if err != nil || r.Method != http.MethodPut || r.URL.Path != "/api/policy" || json.Unmarshal(doc, &got) != nil {
				t.Errorf("%s %s: %s, %v", r.Method, r.URL, doc, err)
			}
			return answer(w, 200, body)
		}
	}
	c := newClient(t, takes(`{"changed":true,"version":4,"digest":"d","by":"ana"}`))
	a, err := c.ApplyPolicy(t.Context(), change)
	if err != nil || !a.Changed || a.Version != 4 || a.By != "ana" || got["expect"] != 3.0 || got["note"] != "n" || got["dry_run"] != nil {
		t.Errorf("%+v, %v, sent %v", a, err, got)
	}
	c = newClient(t, takes(`{"changed":true,"dry_run":true,"digest":"d","active":{"version":7}}`))
	if try, err := c.TryPolicy(t.Context(), change); err != nil || !try.Changed || try.Active.Version != 7 || got["dry_run"] != true {
		t.Errorf("%+v, %v, sent %v", try, err, got)
	}

	c = newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		return answer(w, 422, `{"code":"invalid","detail":"2 problems","problems":[{"file":"org.yaml","line":3,"column":5,"message":"what","hint":"mend"},{"file":"org.yaml","message":"large"}]}`)
	})
	var refused *client.Error
	if _, err := c.ApplyPolicy(t.Context(), change); !errors.As(err, &refused) || len(refused.Problems) != 2 ||
		refused.Problems[0] != (rest.FileProblem{File: "org.yaml", Line: 3, Column: 5, Message: "what", Hint: "mend"}) {
		t.Errorf("%+v, %v", refused, err)
	}

	sent := 0
	c = newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		if sent++; sent == 1 {
			return errBroke
		}
		return answer(w, 200, `{"changed":false,"version":4}`)
	})
	if a, err := c.ApplyPolicy(t.Context(), change); err != nil || a.Version != 4 || sent != 2 {
		t.Errorf("after a lost answer: %+v, %v, sent %d times", a, err, sent)
	}
	change.Layers[0].Text = "\xff"
	for _, err := range []error{
		func() error { _, err := c.ApplyPolicy(t.Context(), change); return err }(),
		func() error { _, err := c.TryPolicy(t.Context(), change); return err }(),
	} {
		if approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("a text that is not UTF-8: %v", err)
		}
	}
}
