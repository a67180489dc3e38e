package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// threeRequests have IDs that differ only late, so a page of two and a short
// ID are both not enough.
func threeRequests(t *testing.T) []string {
	var views []string
	for _, id := range []string{"pawl-aaaaaaaaaab", "pawl-aaaaaaaaaac", "pawl-bbbbbbbbbbb"} {
		views = append(views, with(t, fixture(t, "request.json"), "id", id))
	}
	return views
}

// TestBareIDs names calls by what stands behind pawl-.
func TestBareIDs(t *testing.T) {
	api := newFakeAPI(t, append(threeRequests(t), with(t, fixture(t, "request.json"), "id", "bbb-own"))...)
	for _, tt := range []struct {
		id   string
		code int
		want string
	}{
		{"bbbb", exitDone, "pawl-bbbbbbbbbbb"},
		{"bbb", exitDone, "bbb-own"}, // an ID that begins so goes before
		{"aaa", exitError, "aaa: the ID prefix fits several"},
		{"zzz", exitError, "zzz: no call's ID begins so"},
		{"pawl-bbb", exitDone, "pawl-bbbbbbbbbbb"},
	} {
		r := cmdline{api: api.URL}.run(t, "show", tt.id)
		if r.code != tt.code || !strings.Contains(r.out+r.err, tt.want) {
			t.Errorf("%s: %d %s%s", tt.id, r.code, r.out, r.err)
		}
	}
}

func TestPendingTable(t *testing.T) {
	api := newFakeAPI(t, append(threeRequests(t), with(t, fixture(t, "request.json"), "status", "rejected"))...)
	r := cmdline{api: api.URL}.run(t, "pending")
	want := `ID                TOOL        AGENT        RISK  STATUS   WAITING  EXPIRES IN  ARGS
pawl-aaaaaaaaaab  send_email  support-bot  high  pending  12m      48m         {"amount":120.5,"subject":"Refund <1041>","to":"… (38 bytes more)
pawl-aaaaaaaaaac  send_email  support-bot  high  pending  12m      48m         {"amount":120.5,"subject":"Refund <1041>","to":"… (38 bytes more)
pawl-bbbbbbbbbbb  send_email  support-bot  high  pending  12m      48m         {"amount":120.5,"subject":"Refund <1041>","to":"… (38 bytes more)
`
	if r.code != exitDone || r.out != want || r.err != "" {
		t.Errorf("code %d, stderr %q, stdout\n%s\nwant\n%s", r.code, r.err, r.out, want)
	}
	r = cmdline{api: api.URL}.run(t, "pending", "--limit", "2")
	r.want(t, exitDone, nil, []string{"2 shown of 3; --limit 0 shows all"})
	if lines := strings.Count(r.out, "\n"); lines != 3 {
		t.Errorf("%d lines", lines)
	}
	r = cmdline{api: api.URL}.run(t, "pending", "--all", "--limit", "0")
	r.want(t, exitDone, []string{"rejected"}, nil)
	if lines := strings.Count(r.out, "\n"); lines != 5 {
		t.Errorf("%d lines", lines)
	}
}

func TestPendingFilters(t *testing.T) {
	api := newFakeAPI(t)
	cmdline{api: api.URL}.run(t, "pending", "--limit", "5").want(t, exitDone, nil, []string{"nothing waits for approval"})
	api = newFakeAPI(t)
	cmdline{api: api.URL}.run(t, "pending", "--status", "expired", "--tool", "t", "--agent", "a", "--session", "s", "--risk", "low", "--limit", "9").
		want(t, exitDone, nil, []string{"no request fits"})
	if got := api.requests("GET"); len(got) != 1 || got[0] != "GET /api/requests?agent=a&limit=9&risk=low&session=s&status=expired&tool=t" {
		t.Errorf("asked %q", got)
	}
}

func TestPendingJSON(t *testing.T) {
	api := newFakeAPI(t, threeRequests(t)...)
	r := cmdline{api: api.URL}.run(t, "pending", "-o", "json")
	r.want(t, exitDone, nil, nil)
	var page struct {
		Items []map[string]any
		Total int
		Next  *string `json:"next_cursor"`
	}
	if err := json.Unmarshal([]byte(r.out), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Items) != 3 || page.Total != 3 || page.Next == nil || *page.Next != "" || page.Items[0]["a_later_field"] != 1.0 {
		t.Errorf("%s", r.out)
	}
	api = newFakeAPI(t)
	r = cmdline{api: api.URL}.run(t, "pending", "-o", "json")
	if want := `{"items":[],"total":0,"next_cursor":""}` + "\n"; r.out != want {
		t.Errorf("empty list %q", r.out)
	}
}

func TestTotalsBeyondTheCount(t *testing.T) {
	api := newFakeAPI(t)
	api.on("GET /api/requests", reply(200, fmt.Sprintf(`{"items":[%s],"total":1001,"next_cursor":"x"}`, fixture(t, "request.json"))))
	cmdline{api: api.URL}.run(t, "pending", "--limit", "1").want(t, exitDone, nil, []string{"1 shown of more than 1000"})
}

func TestWatch(t *testing.T) {
	api := newFakeAPI(t)
	ctx, interrupt := context.WithCancel(t.Context())
	asked := 0
	api.on("GET /api/requests", func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked > 1 {
			interrupt()
			<-r.Context().Done()
			return
		}
		reply(200, fmt.Sprintf(`{"items":[%s],"total":1}`, fixture(t, "request.json")))(w, r)
	})
	cmdline{api: api.URL, ctx: ctx}.run(t, "pending", "--watch").want(t, exitDone, []string{"pawl-k3vq2m7"}, nil)
	api.on("GET /api/requests", reply(500, `{"title":"Internal error","code":"internal"}`))
	cmdline{api: api.URL}.run(t, "pending", "--watch").want(t, exitError, nil, []string{"Internal error"})
}

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
			views = append(views, client.View{View: approval.View{ID: id}})
		}
		if got := shortIDs(views); strings.Join(got, " ") != strings.Join(tt.want, " ") {
			t.Errorf("%v: got %v, want %v", tt.ids, got, tt.want)
		}
	}
}

func TestShow(t *testing.T) {
	api := newFakeAPI(t, fixture(t, "request.json"))
	want := `send_email  pending, risk high
ID          pawl-k3vq2m7aaaaaaaaaaaaaaaaaaa
Digest      3f2a91bc1234567890abcdef3f2a91bc1234567890abcdef3f2a91bc12345678
Agent       support-bot
Team        support
Session     chat-7
Requester   local
Label       channel=chat
Label       env=prod
Created     2026-03-01T11:48:00Z
Deadline    2026-03-01T12:48:00Z (48m left)
Rule        org policy.yaml:12 send_*
Policy      aa11
Needs       2 approvals by different people (1 so far)
Vote        approved by ben (unauthenticated) via api at 2026-03-01T11:50:00Z
  Notes:
  │ looks fine
Title, in the agent's own words (untrusted):
  │ Refund mail
Reason, in the agent's own words (untrusted):
  │ The customer asked for it.
  │ Twice.
Arguments:
  │ {
  │   "to": "ana@example.com",
  │   "subject": "Refund <1041>",
  │   "amount": 120.50,
  │   "token": "[redacted]"
  │ }
Timeline:
AT                    WHAT              DETAILS
2026-03-01T11:48:00Z  call.requested    send_email: pending
2026-03-01T11:50:00Z  decision.counted  approved by ben (unauthenticated): looks fine
`
	for _, id := range []string{mailID, mailID[:10]} {
		if r := (cmdline{api: api.URL}).run(t, "show", id); r.code != exitDone || r.out != want || r.err != "" {
			t.Errorf("code %d, stderr %q, stdout\n%s\nwant\n%s", r.code, r.err, r.out, want)
		}
	}
	if r := (cmdline{api: api.URL}).run(t, "show", mailID, "-o", "json"); r.out != fixture(t, "request.json") {
		t.Errorf("JSON is not as it came:\n%s", r.out)
	}
}

func TestShowAnEnding(t *testing.T) {
	doc := fixture(t, "request.json")
	for name, value := range map[string]any{
		"status": "failed", "ended_at": "2026-03-01T12:00:00Z", "result": map[string]any{"n": 1}, "attempt_of": "pawl-first",
		"error":    map[string]any{"code": "tool_failed", "message": "no such\ncustomer"},
		"decision": map[string]any{"kind": "approve", "by": "ben", "authenticated": true, "at": "2026-03-01T11:51:00Z"},
	} {
		doc = with(t, doc, name, value)
	}
	api := newFakeAPI(t, doc)
	r := cmdline{api: api.URL}.run(t, "show", mailID)
	r.want(t, exitDone, []string{
		"send_email  failed, risk high\n", "Attempt of  pawl-first\n", "Deadline    2026-03-01T12:48:00Z\n", "Needs       2 approvals by different people\n",
		"Decision    approved by ben at 2026-03-01T11:51:00Z\n", "Ended       2026-03-01T12:00:00Z\n",
		"Result:\n  │ {\n  │   \"n\": 1\n", "Error (tool_failed):\n  │ no such\n  │ customer\n",
	}, nil)
}

func TestPrefixes(t *testing.T) {
	api := newFakeAPI(t, threeRequests(t)...)
	cmdline{api: api.URL}.run(t, "show", "pawl-b").want(t, exitDone, []string{"pawl-bbbbbbbbbbb"}, nil)
	for _, line := range []string{"show pawl-a", "approve pawl-a --as ana", "reject pawl-a --as ana", "cancel pawl-a", "continue pawl-a", "audit list --request pawl-a"} {
		cmdline{api: api.URL}.run(t, strings.Split(line, " ")...).want(t, exitError, nil, []string{"pawl-a: the ID prefix fits several calls"})
	}
	cmdline{api: api.URL}.run(t, "show", "pawl-z").want(t, exitError, nil, []string{"no call's ID begins so"})
	if sent := api.requests("POST"); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
}

// A call that no worker has admitted yet is in Temporal only.
func TestShowBeforeAdmission(t *testing.T) {
	api := newFakeAPI(t)
	api.on("GET /api/calls/"+mailID, reply(200, `{"id":"`+mailID+`","status":"evaluating"}`))
	r := cmdline{api: api.URL}.run(t, "show", mailID)
	r.want(t, exitDone, []string{"unknown tool  evaluating"}, nil)
	if strings.Contains(r.out, "0001") {
		t.Errorf("a time nobody knows is shown:\n%s", r.out)
	}
}

func TestShowALongTimeline(t *testing.T) {
	api := newFakeAPI(t, with(t, fixture(t, "request.json"), "timeline_cursor", "x"))
	cmdline{api: api.URL}.run(t, "show", mailID).want(t, exitDone, nil, []string{"pawl audit list --limit 0 --request " + mailID})
}

func TestAuditList(t *testing.T) {
	api := newFakeAPI(t, fixture(t, "request.json"))
	entry := func(step string) string {
		return fmt.Sprintf(`{"call_id":%q,"step":%q,"kind":"call.ended","at":"2026-03-01T12:00:00.5Z","payload":{"a":1},"leaf_hash":"b1b2b3b4b5b6b7b8"}`, mailID, step)
	}
	api.on("GET /api/audit", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") == "2" {
			reply(200, fmt.Sprintf(`{"items":[%s],"total":2,"next_cursor":""}`, entry("two")))(w, r)
			return
		}
		reply(200, fmt.Sprintf(`{"items":[%s],"total":2,"next_cursor":"2"}`, entry("one")))(w, r)
	})
	r := cmdline{api: api.URL}.run(t, "audit", "list", "--request", "pawl-k3", "--kind", "call.ended")
	want := `AT                    CALL                             WHAT        STEP  LEAF           DETAILS
2026-03-01T12:00:00Z  pawl-k3vq2m7aaaaaaaaaaaaaaaaaaa  call.ended  one   b1b2b3b4b5b6…  {"a":1}
2026-03-01T12:00:00Z  pawl-k3vq2m7aaaaaaaaaaaaaaaaaaa  call.ended  two   b1b2b3b4b5b6…  {"a":1}
`
	if r.code != exitDone || r.out != want {
		t.Errorf("code %d, stdout\n%s\nstderr %s", r.code, r.out, r.err)
	}
	if got := api.requests("GET"); got[1] != "GET /api/audit?kind=call.ended&limit=100&request_id="+mailID {
		t.Errorf("asked %q", got)
	}
	cmdline{api: api.URL}.run(t, "audit", "list", "--limit", "1").want(t, exitDone, nil, []string{"oldest first; 1 more: narrow with --request or --kind"})
	r = cmdline{api: api.URL}.run(t, "audit", "list", "-o", "json")
	if want := `{"items":[` + entry("one") + "," + entry("two") + `],"total":2,"next_cursor":""}` + "\n"; r.out != want {
		t.Errorf("JSON %s", r.out)
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

func TestTools(t *testing.T) {
	api := newFakeAPI(t)
	list := `{"items":[{"name":"send_email","description":"Send\nmail.","schema":{"type":"object"},"queue":"pawl","kind":"go","idempotent":false,"timeout":"30s"},{"name":"translate","queue":"tools-python","kind":"activity","idempotent":true,"timeout":"5s","served":false},{"name":"weather","queue":"pawl","kind":"http","idempotent":true,"timeout":"5s","served":true}],"total":3,"next_cursor":""}`
	api.on("GET /api/tools", reply(200, list))
	want := `NAME        KIND      QUEUE         SERVED   IDEMPOTENT  TIMEOUT  DESCRIPTION
send_email  go        pawl          unknown  no          30s      Send\u{000A}mail.
translate   activity  tools-python  NO       yes         5s       -
weather     http      pawl          yes      yes         5s       -
`
	if r := (cmdline{api: api.URL}).run(t, "tools"); r.code != exitDone || r.out != want {
		t.Errorf("code %d, stdout\n%s", r.code, r.out)
	}
	if r := (cmdline{api: api.URL}).run(t, "tools", "-o", "json"); r.out != list+"\n" {
		t.Errorf("JSON %s", r.out)
	}
}
