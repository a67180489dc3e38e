package review

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

func TestShortIDs(t *testing.T) {
	for _, tt := range []struct{ ids, want []string }{
		{[]string{"pawl-abcdefghijk"}, []string{"pawl-abcdefg"}},
		{[]string{"pawl-abcdefghijk", "pawl-abcdefghxyz"}, []string{"pawl-abcdefghi", "pawl-abcdefghx"}},
		{[]string{"order-1", "order-10", "x"}, []string{"order-1", "order-10", "x"}},
		{[]string{"pawl-abcdefghijk", "pawl-abcdefghijk"}, []string{"pawl-abcdefg", "pawl-abcdefg"}},
		{[]string{"ééééééééé"}, []string{"éééééé"}},
		{[]string{"aéééééééé"}, []string{"aéééééé"}},
		{nil, nil},
	} {
		var views []client.View
		for _, id := range tt.ids {
			var v client.View
			v.ID = id
			views = append(views, v)
		}
		if got := shortIDs(views); strings.Join(got, " ") != strings.Join(tt.want, " ") {
			t.Errorf("%v: got %v, want %v", tt.ids, got, tt.want)
		}
	}
}

func TestGist(t *testing.T) {
	for payload, want := range map[string]string{
		`{"call":{"tool":"t","status":"blocked","error":{"message":"no such tool"}},"verdict":{}}`:                                     "t: blocked: no such tool",
		`{"call":{"tool":"t","status":"executing"},"verdict":{"audited":true,"observed":[{"layer":"l","rule":"r","verdict":"deny"}]}}`: "t: executing, audited; l would say deny",
		`{"outcome":{"status":"executed","decision":{"kind":"approve","by":"ana"}}}`:                                                   "executed",
		`{"outcome":{"status":"failed","error":{"message":"a\nb"}}}`:                                                                   `failed: a\u{000A}b`,
		`{"decision":{"kind":"reject","reviewer":"zoe","notes":"no"}}`:                                                                 "rejected by zoe (unauthenticated): no",
		`{"decision":{"kind":"approve","reviewer":"zoe","authenticated":true}}`:                                                        "approved by zoe",
		`{"decision":{"kind":"cancel","by":"bot","authenticated":false}}`:                                                              "cancelled by bot (unauthenticated)",
		`{"decision":{"kind":"allow","by":"policy"},"digest":"d"}`:                                                                     "allowed by policy",
		`{"decision":{"kind":"expire"}}`:                                                                                               "expired",
		`{"decision":{"kind":"approve"}}`:                                                                                              "approved by somebody unnamed (unauthenticated)",
		`{"refused":[{"signal":"approve","reviewer":"ben","message":"too late"},{}]}`:                                                  "approve by ben: too late (and 1 more)",
		`{"refused":[{"signal":"reject","outcome":"stale"}]}`:                                                                          "reject by somebody unnamed: stale",
		`{"digest": "d"}`:       `{"digest":"d"}`,
		`{"decision": "later"}`: `{"decision":"later"}`,
		`null`:                  "(removed)",
		``:                      "(removed)",
	} {
		if got := gist(json.RawMessage(payload)); got != want {
			t.Errorf("%s: got %s, want %s", payload, got, want)
		}
	}
}

func TestWho(t *testing.T) {
	for _, tt := range []struct {
		kind, by      string
		authenticated bool
		want          string
	}{
		{"approve", "ben", false, "approved by ben (unauthenticated) via api"},
		{"approve", "ben", true, "approved by ben via api"},
		{"reject", "", false, "rejected by somebody unnamed (unauthenticated) via api"},
		{"cancel", "local", false, "cancelled by local (unauthenticated) via api"},
		{"allow", "policy", false, "allowed by policy via api"},
		{"deny", "pawl", false, "denied by pawl via api"},
		{"expire", "", false, "expired via api"},
	} {
		if got := who(tt.kind, tt.by, "api", tt.authenticated, time.Time{}); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestNeeds(t *testing.T) {
	v := client.View{}
	v.Requirement = &approval.Requirement{Approvals: []approval.Approvals{{Group: "finance", Count: 1}, {Count: 2}}, Decisions: approval.DecisionsSigned}
	if got, want := needs(v), "1 approval of finance, and 2 approvals by different people, signed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestGistOfTokensAndKeys(t *testing.T) {
	for payload, want := range map[string]string{
		`{"token":{"id":"a","subject":"rita","roles":["reviewer","auditor"],"groups":["finance"],"created_by":"admin"}}`: "for rita (reviewer, auditor, group finance), by admin",
		`{"token":{"id":"a","subject":"ana","roles":["admin"],"created_by":"database:ops"}}`:                             "for ana (admin), by database:ops",
		`{"token_id":"a","revoked_by":"admin"}`:                                                                          "by admin",
		`{"key":{"id":"k","created_by":"pawl api","note":"a.example:/key"}}`:                                             "by pawl api, in a.example:/key",
		`{"key_id":"k","retired_by":"admin"}`:                                                                            "by admin",
		`{"token":{"subject":"a\u001bb","roles":["agent"]}}`:                                                             `for a\u{001B}b (agent), by`,
	} {
		if got := gist([]byte(payload)); got != want {
			t.Errorf("%s: %q, want %q", payload, got, want)
		}
	}
}
