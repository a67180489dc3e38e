package review_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

// threeRequests have IDs that differ only late, so a page of two and a short ID are both not
// enough.
func threeRequests(t *testing.T) []string {
	var views []string
	for _, id := range []string{"pawl-aaaaaaaaaab", "pawl-aaaaaaaaaac", "pawl-bbbbbbbbbbb"} {
		views = append(views, withField(t, clitest.Fixture(t, "request.json"), "id", id))
	}
	return views
}

// TestBareIDs names calls by what stands behind pawl-.
func TestBareIDs(t *testing.T) {
	api := clitest.NewAPI(t, append(threeRequests(t), withField(t, clitest.Fixture(t, "request.json"), "id", "bbb-own"))...)
	for _, tt := range []struct {
		id   string
		code int
		want string
	}{
		{"bbbb", cli.ExitDone, "pawl-bbbbbbbbbbb"},
		{"bbb", cli.ExitDone, "bbb-own"}, // an ID that begins so goes before
		{"aaa", cli.ExitError, "aaa: the ID prefix fits several"},
		{"zzz", cli.ExitError, "zzz: no call's ID begins so"},
		{"pawl-bbb", cli.ExitDone, "pawl-bbbbbbbbbbb"},
	} {
		r := clitest.CommandLine{API: api.URL}.Run(t, "show", tt.id)
		if r.Code != tt.code || !strings.Contains(r.Out+r.Err, tt.want) {
			t.Errorf("%s: %d %s%s", tt.id, r.Code, r.Out, r.Err)
		}
	}
}

func TestPendingTable(t *testing.T) {
	api := clitest.NewAPI(t, append(threeRequests(t), withField(t, clitest.Fixture(t, "request.json"), "status", "rejected"))...)
	r := clitest.CommandLine{API: api.URL}.Run(t, "pending")
	want := `ID                TOOL        AGENT        RISK  STATUS   WAITING  EXPIRES IN  ARGS
pawl-aaaaaaaaaab  send_email  support-bot  high  pending  12m      48m         {"amount":120.5,"subject":"Refund <1041>","to":"… (38 bytes more)
pawl-aaaaaaaaaac  send_email  support-bot  high  pending  12m      48m         {"amount":120.5,"subject":"Refund <1041>","to":"… (38 bytes more)
pawl-bbbbbbbbbbb  send_email  support-bot  high  pending  12m      48m         {"amount":120.5,"subject":"Refund <1041>","to":"… (38 bytes more)
`
	if r.Code != cli.ExitDone || r.Out != want || r.Err != "" {
		t.Errorf("code %d, stderr %q, stdout\n%s\nwant\n%s", r.Code, r.Err, r.Out, want)
	}
	r = clitest.CommandLine{API: api.URL}.Run(t, "pending", "--limit", "2")
	r.Want(t, cli.ExitDone, nil, []string{"2 shown of 3; --limit 0 shows all"})
	if lines := strings.Count(r.Out, "\n"); lines != 3 {
		t.Errorf("%d lines", lines)
	}
	r = clitest.CommandLine{API: api.URL}.Run(t, "pending", "--all", "--limit", "0")
	r.Want(t, cli.ExitDone, []string{"rejected"}, nil)
	if lines := strings.Count(r.Out, "\n"); lines != 5 {
		t.Errorf("%d lines", lines)
	}
}

func TestPendingFilters(t *testing.T) {
	api := clitest.NewAPI(t)
	clitest.CommandLine{API: api.URL}.Run(t, "pending", "--limit", "5").Want(t, cli.ExitDone, nil, []string{"nothing waits for approval"})
	api = clitest.NewAPI(t)
	clitest.CommandLine{API: api.URL}.Run(t, "pending", "--status", "expired", "--tool", "t", "--agent", "a", "--session", "s", "--risk", "low", "--limit", "9").
		Want(t, cli.ExitDone, nil, []string{"no request matches"})
	if got := api.Requests("GET"); len(got) != 1 || got[0] != "GET /api/requests?agent=a&limit=9&risk=low&session=s&status=expired&tool=t" {
		t.Errorf("asked %q", got)
	}
}

func TestPendingJSON(t *testing.T) {
	api := clitest.NewAPI(t, threeRequests(t)...)
	r := clitest.CommandLine{API: api.URL}.Run(t, "pending", "-o", "json")
	r.Want(t, cli.ExitDone, nil, nil)
	var page struct {
		Items []map[string]any
		Total int
		Next  *string `json:"next_cursor"`
	}
	if err := json.Unmarshal([]byte(r.Out), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Items) != 3 || page.Total != 3 || page.Next == nil || *page.Next != "" || page.Items[0]["a_later_field"] != 1.0 {
		t.Errorf("%s", r.Out)
	}
	api = clitest.NewAPI(t)
	r = clitest.CommandLine{API: api.URL}.Run(t, "pending", "-o", "json")
	if want := `{"items":[],"total":0,"next_cursor":""}` + "\n"; r.Out != want {
		t.Errorf("empty list %q", r.Out)
	}
}

func TestTotalsBeyondTheCount(t *testing.T) {
	api := clitest.NewAPI(t)
	api.On("GET /api/requests", clitest.Reply(200, fmt.Sprintf(`{"items":[%s],"total":1001,"next_cursor":"x"}`, clitest.Fixture(t, "request.json"))))
	clitest.CommandLine{API: api.URL}.Run(t, "pending", "--limit", "1").Want(t, cli.ExitDone, nil, []string{"1 shown of more than 1000"})
}

func TestWatch(t *testing.T) {
	api := clitest.NewAPI(t)
	ctx, interrupt := context.WithCancel(t.Context())
	asked := 0
	api.On("GET /api/requests", func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked > 1 {
			interrupt()
			<-r.Context().Done()
			return
		}
		clitest.Reply(200, fmt.Sprintf(`{"items":[%s],"total":1}`, clitest.Fixture(t, "request.json")))(w, r)
	})
	clitest.CommandLine{API: api.URL, Ctx: ctx}.Run(t, "pending", "--watch").Want(t, cli.ExitDone, []string{"pawl-k3vq2m7"}, nil)
	api.On("GET /api/requests", clitest.Reply(500, `{"title":"Internal error","code":"internal"}`))
	clitest.CommandLine{API: api.URL}.Run(t, "pending", "--watch").Want(t, cli.ExitError, nil, []string{"Internal error"})
}

func TestShow(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
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
Deadline    2026-03-01T12:48:00Z (in 48m)
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
	for _, id := range []string{clitest.MailID, clitest.MailID[:10]} {
		if r := (clitest.CommandLine{API: api.URL}).Run(t, "show", id); r.Code != cli.ExitDone || r.Out != want || r.Err != "" {
			t.Errorf("code %d, stderr %q, stdout\n%s\nwant\n%s", r.Code, r.Err, r.Out, want)
		}
	}
	if r := (clitest.CommandLine{API: api.URL}).Run(t, "show", clitest.MailID, "-o", "json"); r.Out != clitest.Fixture(t, "request.json") {
		t.Errorf("JSON is not as it came:\n%s", r.Out)
	}
}

func TestShowAnEnding(t *testing.T) {
	doc := clitest.Fixture(t, "request.json")
	for name, value := range map[string]any{
		"status": "failed", "ended_at": "2026-03-01T12:00:00Z", "result": map[string]any{"n": 1}, "attempt_of": "pawl-first",
		"error":    map[string]any{"code": "tool_failed", "message": "no such\ncustomer"},
		"decision": map[string]any{"kind": "approve", "by": "ben", "authenticated": true, "at": "2026-03-01T11:51:00Z"},
	} {
		doc = withField(t, doc, name, value)
	}
	api := clitest.NewAPI(t, doc)
	r := clitest.CommandLine{API: api.URL}.Run(t, "show", clitest.MailID)
	r.Want(t, cli.ExitDone, []string{
		"send_email  failed, risk high\n", "Attempt of  pawl-first\n", "Deadline    2026-03-01T12:48:00Z\n", "Needs       2 approvals by different people\n",
		"Decision    approved by ben at 2026-03-01T11:51:00Z\n", "Ended       2026-03-01T12:00:00Z\n",
		"Result:\n  │ {\n  │   \"n\": 1\n", "Error (tool_failed):\n  │ no such\n  │ customer\n",
	}, nil)
}

func TestPrefixes(t *testing.T) {
	api := clitest.NewAPI(t, threeRequests(t)...)
	clitest.CommandLine{API: api.URL}.Run(t, "show", "pawl-b").Want(t, cli.ExitDone, []string{"pawl-bbbbbbbbbbb"}, nil)
	for _, line := range []string{"show pawl-a", "approve pawl-a --as ana", "reject pawl-a --as ana", "cancel pawl-a", "continue pawl-a", "audit list --request pawl-a"} {
		clitest.CommandLine{API: api.URL}.Run(t, strings.Split(line, " ")...).Want(t, cli.ExitError, nil, []string{"pawl-a: the ID prefix fits several calls"})
	}
	clitest.CommandLine{API: api.URL}.Run(t, "show", "pawl-z").Want(t, cli.ExitError, nil, []string{"no call's ID begins so"})
	if sent := api.Requests("POST"); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
}

// A call that no worker has admitted yet is in Temporal only.
func TestShowBeforeAdmission(t *testing.T) {
	api := clitest.NewAPI(t)
	api.On("GET /api/calls/"+clitest.MailID, clitest.Reply(200, `{"id":"`+clitest.MailID+`","status":"evaluating"}`))
	r := clitest.CommandLine{API: api.URL}.Run(t, "show", clitest.MailID)
	r.Want(t, cli.ExitDone, []string{"unknown tool  evaluating"}, nil)
	if strings.Contains(r.Out, "0001") {
		t.Errorf("a time nobody knows is shown:\n%s", r.Out)
	}
}

func TestShowALongTimeline(t *testing.T) {
	api := clitest.NewAPI(t, withField(t, clitest.Fixture(t, "request.json"), "timeline_cursor", "x"))
	clitest.CommandLine{API: api.URL}.Run(t, "show", clitest.MailID).Want(t, cli.ExitDone, nil, []string{"pawl audit list --limit 0 --request " + clitest.MailID})
}

func TestAuditList(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	entry := func(step string) string {
		return fmt.Sprintf(`{"call_id":%q,"step":%q,"kind":"call.ended","at":"2026-03-01T12:00:00.5Z","payload":{"a":1},"leaf_hash":"b1b2b3b4b5b6b7b8"}`, clitest.MailID, step)
	}
	api.On("GET /api/audit", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("cursor") == "2" {
			clitest.Reply(200, fmt.Sprintf(`{"items":[%s],"total":2,"next_cursor":""}`, entry("two")))(w, r)
			return
		}
		clitest.Reply(200, fmt.Sprintf(`{"items":[%s],"total":2,"next_cursor":"2"}`, entry("one")))(w, r)
	})
	r := clitest.CommandLine{API: api.URL}.Run(t, "audit", "list", "--request", "pawl-k3", "--kind", "call.ended")
	want := `AT                    CALL                             WHAT        STEP  LEAF           DETAILS
2026-03-01T12:00:00Z  pawl-k3vq2m7aaaaaaaaaaaaaaaaaaa  call.ended  one   b1b2b3b4b5b6…  {"a":1}
2026-03-01T12:00:00Z  pawl-k3vq2m7aaaaaaaaaaaaaaaaaaa  call.ended  two   b1b2b3b4b5b6…  {"a":1}
`
	if r.Code != cli.ExitDone || r.Out != want {
		t.Errorf("code %d, stdout\n%s\nstderr %s", r.Code, r.Out, r.Err)
	}
	if got := api.Requests("GET"); got[1] != "GET /api/audit?kind=call.ended&limit=100&request_id="+clitest.MailID {
		t.Errorf("asked %q", got)
	}
	clitest.CommandLine{API: api.URL}.Run(t, "audit", "list", "--limit", "1").Want(t, cli.ExitDone, nil, []string{"oldest first; 1 more: narrow with --request or --kind"})
	r = clitest.CommandLine{API: api.URL}.Run(t, "audit", "list", "-o", "json")
	if want := `{"items":[` + entry("one") + "," + entry("two") + `],"total":2,"next_cursor":""}` + "\n"; r.Out != want {
		t.Errorf("JSON %s", r.Out)
	}
}

func TestAuditListMarksWhatWasChanged(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	items := `{"items":[{"call_id":"c","step":"end","kind":"call.ended","at":"2026-03-01T12:00:00Z","payload":{"outcome":{"status":"executed"}},` +
		`"leaf_hash":"b1","damage":"its payload differs from its payload hash"}],"total":1,"next_cursor":""}`
	api.On("GET /api/audit", clitest.Reply(200, items))
	const warning = "entries that do not fit their hashes: 1"
	clitest.CommandLine{API: api.URL}.Run(t, "audit", "list").Want(t, cli.ExitDone,
		[]string{"DAMAGED: its payload differs from its payload hash; it says: executed"}, []string{warning})
	r := clitest.CommandLine{API: api.URL}.Run(t, "audit", "list", "-o", "json")
	if r.Code != cli.ExitDone || r.Out != items+"\n" || !strings.Contains(r.Err, warning) {
		t.Errorf("code %d, stdout\n%s\nstderr %s", r.Code, r.Out, r.Err)
	}
}
