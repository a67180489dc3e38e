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
	views := append(threeRequests(t), withField(t, clitest.Fixture(t, "request.json"), "status", "rejected"))
	for i, one := range views {
		views[i] = withField(t, one, "live", true)
	}
	api := clitest.NewAPI(t, views...)
	r := clitest.CommandLine{API: api.URL}.Run(t, "pending")
	const args = "  │ Send an e-mail to ana@example.com: Refund <1041>\n"
	want := "ID                EXPIRES IN  RISK  APPROVALS  TOOL        AGENT\n" +
		"pawl-aaaaaaaaaab  48m         high  1 of 2     send_email  support-bot\n" + args +
		"pawl-aaaaaaaaaac  48m         high  1 of 2     send_email  support-bot\n" + args +
		"pawl-bbbbbbbbbbb  48m         high  1 of 2     send_email  support-bot\n" + args
	if r.Code != cli.ExitDone || r.Out != want || r.Err != "" {
		t.Errorf("code %d, stderr %q, stdout\n%s\nwant\n%s", r.Code, r.Err, r.Out, want)
	}
	r = clitest.CommandLine{API: api.URL}.Run(t, "pending", "--limit", "2")
	r.Want(t, cli.ExitDone, nil, []string{"2 shown of 3; --limit 0 shows all"})
	if lines := strings.Count(r.Out, "\n"); lines != 5 {
		t.Errorf("%d lines", lines)
	}
	r = clitest.CommandLine{API: api.URL}.Run(t, "pending", "--all", "--limit", "0")
	r.Want(t, cli.ExitDone, []string{"rejected"}, nil)
	if lines := strings.Count(r.Out, "\n"); lines != 9 {
		t.Errorf("%d lines", lines)
	}
}

// TestPendingFits has the nearest deadline first, however old the call, and no line that is wider
// than the terminal.
func TestPendingFits(t *testing.T) {
	views := threeRequests(t)
	views[0] = withField(t, views[0], "tool", strings.Repeat("a_long_tool.", 9))
	views[1] = withField(t, views[1], "agent", strings.Repeat("字", 60))
	views[1] = withField(t, views[1], "risk", "critical")
	views[2] = withField(t, views[2], "deadline", "2026-03-01T12:01:00Z")
	views[2] = withField(t, views[2], "requirement", map[string]any{"approvals": []map[string]any{{"count": 3, "group": "sre"}, {"count": 1, "group": "fin"}}})
	api := clitest.NewAPI(t, views...)
	for _, tt := range []struct {
		terminal    bool
		width, most int
	}{{false, 0, 80}, {true, 0, 80}, {true, 132, 132}, {true, 60, 60}, {true, 3, 90}} {
		r := clitest.CommandLine{API: api.URL, Terminal: tt.terminal, Width: tt.width}.Run(t, "pending")
		r.Want(t, cli.ExitDone, []string{"? of 4"}, nil)
		for i, line := range strings.Split(r.Out, "\n") {
			if n := len([]rune(line)) + strings.Count(line, "字"); n > tt.most {
				t.Errorf("%d columns: line %d has %d: %s", tt.width, i, n, line)
			}
			if i == 1 && !strings.HasPrefix(line, "pawl-bbbbbbbbbbb  1m") {
				t.Errorf("the first is %s", line)
			}
		}
		r = clitest.CommandLine{API: api.URL, Terminal: tt.terminal, Width: tt.width}.Run(t, "pending", "--limit", "1", "-o", "json")
		r.Want(t, cli.ExitDone, []string{"pawl-bbbbbbbbbbb"}, nil)
	}
}

// TestPendingOfAnOlderAPI lists by deadline, or as an API lists that does not know that order.
func TestPendingOfAnOlderAPI(t *testing.T) {
	api := clitest.NewAPI(t)
	list := clitest.Reply(200, `{"items":[`+clitest.Fixture(t, "request.json")+`],"total":1,"next_cursor":""}`)
	clitest.CommandLine{API: api.URL}.Run(t, "pending").Want(t, cli.ExitDone, nil, []string{"nothing waits"})
	if got := api.Requests("GET"); got[0] != "GET /api/requests?limit=100&order=deadline" {
		t.Errorf("asked %q", got)
	}
	api.On("GET /api/requests", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("order") {
			clitest.Reply(400, `{"detail":"unknown parameter \"order\"","code":"invalid_request"}`)(w, r)
		} else {
			list(w, r)
		}
	})
	clitest.CommandLine{API: api.URL}.Run(t, "pending").Want(t, cli.ExitDone, []string{"send_email"}, nil)
}

// TestPendingAsksForVotes asks the calls that take several approvals how many they have: lists do not
// know.
func TestPendingAsksForVotes(t *testing.T) {
	views := threeRequests(t)
	live := make([]string, len(views))
	for i, one := range views {
		live[i] = withField(t, one, "live", true)
		views[i] = withField(t, one, "votes", nil)
	}
	views[2] = withField(t, views[2], "requirement", map[string]any{"approvals": []map[string]any{{"count": 1}}})
	api := clitest.NewAPI(t, views...)
	api.On("GET /api/requests/pawl-aaaaaaaaaab", clitest.Reply(200, live[0]))
	api.On("GET /api/requests/pawl-aaaaaaaaaac", clitest.Reply(503, `{"code":"unavailable"}`))
	r := clitest.CommandLine{API: api.URL}.Run(t, "pending")
	r.Want(t, cli.ExitDone, []string{
		"pawl-aaaaaaaaaab  48m         high  1 of 2 ", "pawl-aaaaaaaaaac  48m         high  ? of 2 ", "pawl-bbbbbbbbbbb  48m         high  0 of 1 ",
	}, nil)
	for _, asked := range api.Requests("GET") {
		if strings.Contains(asked, "/pawl-bbb") {
			t.Errorf("asked %s", asked)
		}
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
	clitest.CommandLine{API: api.URL}.Run(t, "pending", "--all", "--limit", "1").Want(t, cli.ExitDone, nil, []string{"1 shown of more than 1000"})
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
Would       Send an e-mail to ana@example.com: Refund <1041>
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
Needs       2 approvals by different people (1 of 2 so far)
Vote        approved by ben (unauthenticated) via api at 2026-03-01T11:50:00Z
  Notes:
  │ looks fine
Arguments (mail):
  │ to: ana@example.com
  │ subject: Refund <1041>
Arguments:
  │ amount: 120.50
  │ token: ⟦redacted by policy⟧
Title, in the agent's own words (untrusted):
  │ Refund mail
Reason, in the agent's own words (untrusted):
  │ The customer asked for it.
  │ Twice.
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
		"Result:\n  │ n: 1\n", "Error (tool_failed):\n  │ no such\n  │ customer\n",
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
	want := `AT                    WHAT        CALL          DETAILS
2026-03-01T12:00:00Z  call.ended  pawl-k3vq2m7  {"a":1}
2026-03-01T12:00:00Z  call.ended  pawl-k3vq2m7  {"a":1}
`
	if r.Code != cli.ExitDone || r.Out != want {
		t.Errorf("code %d, stdout\n%s\nstderr %s", r.Code, r.Out, r.Err)
	}
	if got := api.Requests("GET"); got[1] != "GET /api/audit?kind=call.ended&limit=100&order=newest&request_id="+clitest.MailID {
		t.Errorf("asked %q", got)
	}
	clitest.CommandLine{API: api.URL}.Run(t, "audit", "list", "--limit", "1").Want(t, cli.ExitDone, nil, []string{"1 shown of 2; --limit 0 shows all"})
	r = clitest.CommandLine{API: api.URL}.Run(t, "audit", "list", "-o", "json")
	if want := `{"items":[` + entry("one") + "," + entry("two") + `],"total":2,"next_cursor":""}` + "\n"; r.Out != want {
		t.Errorf("JSON %s", r.Out)
	}
}

func TestAuditListFilters(t *testing.T) {
	for _, tt := range []struct {
		line string
		code int
		want string // of the question, or of the error
	}{
		{"--tool mail --agent bot --by ana", cli.ExitDone, "agent=bot&by=ana&limit=100&order=newest&tool=mail"},
		{"--since 2026-03-01T10:00:00+01:00", cli.ExitDone, "order=newest&since=2026-03-01T09%3A00%3A00Z"},
		{"--last 24h --limit 3", cli.ExitDone, "limit=3&order=newest&since=2026-02-28T12%3A00%3A00Z"},
		{"--status expired --risk high --until 2026-03-01T10:00:00Z", cli.ExitDone,
			"risk=high&status=expired&until=2026-03-01T10%3A00%3A00Z"},
		{"--until yesterday", cli.ExitUsage, "--until is not a time"},
		{"--last 90s", cli.ExitDone, "since=2026-03-01T11%3A58%3A30Z"},
		{"--last 0s", cli.ExitUsage, "--last must say how far"},
		{"--last yesterday", cli.ExitUsage, "--last must say how far"},
		{"--last -1h", cli.ExitUsage, "--last must say how far"},
		{"--since yesterday", cli.ExitUsage, "--since is not a time"},
		{"--since 2026-03-01T10:00:00Z --last 1h", cli.ExitUsage, "exclude each other"},
		{"--by bot", cli.ExitDone, "were not searched: --last 24h"},
		{"--by bot --limit 0 --until 2026-03-01T10:00:00Z -o json", cli.ExitDone, "were not searched: --last 24h"},
	} {
		api := clitest.NewAPI(t)
		// What the total is of may turn out not to fit.
		api.On("GET /api/audit", clitest.Reply(200, `{"items":[],"total":3,"next_cursor":""}`))
		r := clitest.CommandLine{API: api.URL}.Run(t, append([]string{"audit", "list"}, strings.Fields(tt.line)...)...)
		if all := strings.Join(api.Requests("GET"), " ") + r.Err; r.Code != tt.code || !strings.Contains(all, tt.want) {
			t.Errorf("%s: code %d, %s", tt.line, r.Code, all)
		}
		if strings.Contains(r.Err, "shown") || strings.Contains(r.Err, "not searched") != strings.HasPrefix(tt.line, "--by bot") {
			t.Errorf("%s says %s", tt.line, r.Err)
		}
	}
}

func TestPendingByPersonAndTime(t *testing.T) {
	for _, tt := range []struct {
		line string
		code int
		want string // of the question, or of the error
	}{
		{"--status ended --by ana --last 24h", cli.ExitDone, "by=ana&limit=100&since=2026-02-28T12%3A00%3A00Z&status=ended"},
		{"--all --until 2026-03-01T10:00:00+01:00 --tool mail", cli.ExitDone,
			"limit=100&status=all&tool=mail&until=2026-03-01T09%3A00%3A00Z"},
		{"--since 2026-03-01T10:00:00Z", cli.ExitDone, "limit=100&order=deadline&since=2026-03-01T10%3A00%3A00Z"},
		{"--status over", cli.ExitUsage, "--status"},
		{"--until now", cli.ExitUsage, "--until is not a time"},
		{"--last 0s", cli.ExitUsage, "--last must say how far"},
		{"--since 2026-03-01T10:00:00Z --last 1h", cli.ExitUsage, "exclude each other"},
	} {
		api := clitest.NewAPI(t)
		r := clitest.CommandLine{API: api.URL}.Run(t, append([]string{"pending"}, strings.Fields(tt.line)...)...)
		if all := strings.Join(api.Requests("GET"), " ") + r.Err; r.Code != tt.code || !strings.Contains(all, tt.want) {
			t.Errorf("%s: code %d, %s", tt.line, r.Code, all)
		}
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
