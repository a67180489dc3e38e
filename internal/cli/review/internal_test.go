package review

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
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
	for _, c := range []struct {
		kind          audit.Kind
		payload, want string
	}{
		{audit.KindBlocked, `{"call":{"tool":"t","status":"blocked","error":{"message":"no such tool"}},"verdict":{}}`, "t: blocked: no such tool"},
		{audit.KindRequested, `{"call":{"tool":"t","status":"executing"},"verdict":{"audited":true,"observed":[{"layer":"l","rule":"r","verdict":"deny"}]}}`,
			"t: executing, audited; l would say deny"},
		{audit.KindBlocked, `{"code":"idempotency_conflict","digest":"d","run":"r"}`, "idempotency_conflict"},
		{audit.KindEnded, `{"outcome":{"status":"executed","decision":{"kind":"approve","by":"ana"}}}`, "executed"},
		{audit.KindEnded, `{"outcome":{"status":"failed","error":{"message":"a\nb"}}}`, `failed: a⟦U+000A⟧b`},
		{audit.KindDecided, `{"decision":{"kind":"reject","reviewer":"zoe","notes":"no"}}`, "rejected by zoe (unauthenticated): no"},
		{audit.KindDecided, `{"decision":{"kind":"approve","reviewer":"zoe","authenticated":true}}`, "approved by zoe"},
		{audit.KindSent, `{"decision_id":"d","reviewer":"zoe","channel":"api","digest":"x","at":"2026-03-01T11:50:00Z"}`, "a rejection by zoe goes to the workflow; if the call has no permit by now, it gets none"},
		{audit.KindDecided, `{"decision":{"kind":"approve"}}`, "approved by somebody unnamed (unauthenticated)"},
		{audit.KindClaimed, `{"decision":{"kind":"cancel","by":"bot","authenticated":false}}`, "cancelled by bot (unauthenticated)"},
		{audit.KindClaimed, `{"decision":{"kind":"allow","by":"policy"},"digest":"d"}`, "allowed by policy"},
		{audit.KindClaimed, `{"decision":{"kind":"expire"}}`, "expired"},
		{audit.KindClaimed, `{"digest": "d"}`, `{"digest":"d"}`},
		{audit.KindRefused, `{"refused":[{"signal":"approve","reviewer":"ben","message":"too late"},{}]}`, "approve by ben: too late (and 1 more)"},
		{audit.KindRefused, `{"refused":[{"signal":"reject","outcome":"stale"}],"more":2}`, "reject by somebody unnamed: stale (and 2 more)"},
		{audit.KindRefused, `{"refused":null,"more":2}`, `{"refused":null,"more":2}`},
		{audit.KindStarted, `{"digest":"d"}`, "from here on the tool may have run"},
		{audit.KindNotStarted, `{"call_id":"c","tool":"t","code":"no_permit"}`, "t of call c: no_permit"},
		{audit.KindPolicyApplied, `{"policy":{"version":3,"digest":"0123456789abcdef","by":"ann","note":"n"}}`, "version 3, digest 0123456789ab…, by ann: n"},
		{audit.KindTokenCreated, `{"token":{"id":"a","subject":"rita","roles":["reviewer","auditor"],"groups":["finance"],"created_by":"admin"}}`,
			"for rita (reviewer, auditor, group finance), by admin"},
		{audit.KindTokenCreated, `{"token":{"id":"a","subject":"ana","roles":["admin"],"created_by":"database:ops"}}`, "for ana (admin), by database:ops"},
		{audit.KindTokenCreated, `{"token":{"subject":"a\u001bb","roles":["agent"]}}`, `for a⟦ESC⟧b (agent), by`},
		{audit.KindTokenRevoked, `{"token_id":"a","revoked_by":"admin"}`, "by admin"},
		{audit.KindKeyAdded, `{"key":{"id":"k","created_by":"pawl api","note":"a.example:/key"}}`, "by pawl api, in a.example:/key"},
		{audit.KindKeyRetired, `{"key_id":"k","retired_by":"admin"}`, "by admin"},
		{audit.KindKeyRevoked, `{"key_id":"k","revoked_by":"admin"}`, "by admin"},
		{audit.KindLogRenamed, `{"origin":"pawl/b","previous":"pawl/a","size":7,"renamed_by":"ann"}`, "to pawl/b after 7 entries, by ann"},
		{audit.KindTokensPruned, `{"tokens":["a","b"],"before":"2026-03-01T11:50:00Z","by":"retention"}`, "2 that ended before 2026-03-01 11:50:00"},
		{audit.KindSignInFailed, `{"code":"token_unknown","remote":"192.0.2.1","count":7,"since":"2026-03-01T11:50:00Z"}`, "token_unknown, 7 times, from 192.0.2.1"},
		{audit.KindSignInFailed, `{"code":"token_revoked","subject":"ana","token_id":"x","count":1,"since":"2026-03-01T11:50:00Z"}`, "token_revoked, token x of ana"},
		{audit.KindForbidden, `{"by":"ana","route":"GET /api/tokens","code":"not_permitted","count":1,"since":"2026-03-01T11:50:00Z"}`, "GET /api/tokens by ana: not_permitted"},
		{"decision.later", `{"decision": "later"}`, `{"decision":"later"}`},
		{audit.KindDecided, `{"decision": "later"}`, `{"decision":"later"}`},
		{audit.KindEnded, `null`, "(removed)"},
		{audit.KindEnded, ``, "(removed)"},
	} {
		payload := json.RawMessage(c.payload)
		if got := summarize(string(c.kind), payload, ""); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.kind, c.payload, got, c.want)
		}
		got := summarize(string(c.kind), payload, "its payload differs from its payload hash")
		if want := "DAMAGED: its payload differs from its payload hash; it says: "; !strings.HasPrefix(got, want) {
			t.Errorf("%s %s, changed: got %s", c.kind, c.payload, got)
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
		if got := byline(tt.kind, tt.by, "api", tt.authenticated, time.Time{}); got != tt.want {
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
