package review_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/internal/cli/review"
	"github.com/pawlhq/pawl/present"
)

const ready = `{"ready":true,"checks":{"store":"ok","temporal":"ok","worker":"ok","search_attributes":"missing"},"detail":{"search_attributes":"add them"}}`

// stuck is a request that waits, with problems, the second of them hostile.
func stuck(t *testing.T) string {
	return withField(t, clitest.Fixture(t, "request.json"), "waiting", map[string]any{
		"for": "one more approval by somebody else (1 of 2 so far)", "until": "2026-03-01T12:48:00Z",
		"problems": []map[string]string{
			{"code": "no_worker", "message": "No worker is seen."},
			{"code": "tool_not_served", "message": "Nobody polls \"q\x1b[2J\"\n!! All is well " + strings.Repeat("x", 100)},
		},
	})
}

func TestShowSaysWhyACallWaits(t *testing.T) {
	api := clitest.NewAPI(t, stuck(t))
	r := clitest.CommandLine{API: api.URL}.Run(t, "show", clitest.MailID)
	r.Want(t, cli.ExitDone, []string{
		"Waits for   one more approval by somebody else (1 of 2 so far)\n", "Until       2026-03-01T12:48:00Z (in 48m)\n",
		"!! WARNING (no_worker): No worker is seen.\n!! WARNING (tool_not_served): Nobody polls \"q⟦ESC⟧[2J\"⟦U+000A⟧!! All",
	}, nil)
	if strings.Contains(r.Out, "Deadline") {
		t.Error("the deadline is shown twice")
	}
	if last := r.Out[strings.LastIndex(strings.TrimSuffix(r.Out, "\n"), "\n")+1:]; !strings.HasPrefix(last, "!! ") {
		t.Errorf("it ends with %q, not with its warnings", last)
	}
	for line := range strings.SplitSeq((clitest.CommandLine{API: api.URL, Terminal: true, Env: map[string]string{"NO_COLOR": "1"}}).Run(t, "show", clitest.MailID).Out, "\n") {
		if strings.Contains(line, "xxxx") && !strings.HasPrefix(line, "!! ") {
			t.Errorf("an unmarked line of a warning: %q", line)
		}
	}

	doc := stuck(t)
	if r := (clitest.CommandLine{API: clitest.NewAPI(t, doc).URL}).Run(t, "show", clitest.MailID, "-o", "json"); r.Out != doc+"\n" {
		t.Errorf("JSON %s", r.Out)
	}
	passed := withField(t, clitest.Fixture(t, "request.json"), "waiting", map[string]any{"for": "its end", "until": "2026-03-01T11:00:00Z"})
	clitest.CommandLine{API: clitest.NewAPI(t, passed).URL}.Run(t, "show", clitest.MailID).
		Want(t, cli.ExitDone, []string{"Waits for   its end\n", "Until       2026-03-01T11:00:00Z (passed)\n", "Deadline    2026-03-01T12:48:00Z"}, nil)
}

// A reviewer sees that the policy has changed, above with its rule and below with what that means.
func TestShowAndReviewSayThatThePolicyHasChanged(t *testing.T) {
	now := map[string]any{
		"action": "require_approval", "effect": "waits", "rule": "policy.yaml:14 send_*\x1b[2J", "version": 7,
		"requirement": map[string]any{"approvals": []map[string]any{{"count": 3}}},
		"at":          "2026-03-01T11:55:00Z",
		"compare": present.ComparePolicies([]present.PolicyChange{
			{What: "approvals", Was: "2", Now: "3"}, {What: "deny count", Was: "1", Now: "2\x1b[2J", Note: "asks for less"},
		}),
		"reason": "The policy that is active now demands more than when the call came: approvals: 2 → 3.",
	}
	for _, c := range []struct {
		doc         string
		want, never []string
	}{
		{withField(t, stuck(t), "policy_now", now), []string{
			"Policy now  require_approval, by policy.yaml:14 send_*⟦ESC⟧[2J (version 7)\n", "Needs now   3 ",
			"Changed by the policy:\n", "approvals", "asks for less",
			"!! THE POLICY HAS CHANGED: The policy that is active now demands more than when the call came: approvals: 2 → 3.\n!! WARNING (no_worker)",
		}, nil},
		{stuck(t), nil, []string{"Policy now", "Needs now", "THE POLICY HAS CHANGED", "Changed by the policy"}},
	} {
		api := clitest.NewAPI(t, c.doc)
		for _, r := range []clitest.Result{
			clitest.CommandLine{API: api.URL}.Run(t, "show", clitest.MailID),
			clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("s\n")}.Run(t, "review", "--as", "ana"),
		} {
			r.Want(t, cli.ExitDone, c.want, nil)
			for _, text := range c.never {
				if strings.Contains(r.Out, text) {
					t.Errorf("%q in\n%s", text, r.Out)
				}
			}
		}
	}
}

func TestReviewWarnsBeforeItAsks(t *testing.T) {
	api := clitest.NewAPI(t, stuck(t))
	r := clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("s\n")}.Run(t, "review", "--as", "ana")
	r.Want(t, cli.ExitDone, nil, []string{"1 skipped"})
	warned, asked := strings.Index(r.Out, "!! WARNING (no_worker)"), strings.Index(r.Out, "[y] approve")
	if warned < 0 || asked < warned {
		t.Errorf("no warning before the question:\n%s", r.Out)
	}
}

func TestPendingWarns(t *testing.T) {
	const tools = `{"items":[
		{"name":"send_email","queue":"tools-a","served":false},{"name":"other","queue":"tools-b","served":false},
		{"name":"unknown","queue":"tools-c","served":null},{"name":"here","queue":"pawl","served":false}]}`
	for _, tt := range []struct {
		name, ready string
		status      int
		tools       string
		args        string
		views       int
		want, never []string
	}{
		{"all is well", ready, 200, `{"items":[{"name":"send_email","queue":"pawl","served":true}]}`, "", 3, nil, []string{"warning"}},
		{"no worker", `{"ready":true,"checks":{"worker":"missing"},"detail":{"worker":"start one"}}`, 200, `{"items":[]}`, "", 3,
			[]string{"warning: start one\n"}, nil},
		{"no worker, and so an empty list", `{"ready":true,"checks":{"worker":"missing"},"detail":{"worker":"start one"}}`, 200, `{"items":[]}`, "", 0,
			[]string{"nothing waits for approval\nwarning: start one\n"}, nil},
		{"not ready", `{"ready":false,"checks":{"temporal":"unavailable"}}`, 503, `{"items":[]}`, "", 3, []string{"warning: temporal unavailable\n"}, nil},
		{"an outage of Temporal", `{"ready":false,"checks":{"temporal":"unavailable","namespace":"unavailable","worker":"unavailable","store":"missing"},` +
			`"detail":{"temporal":"Temporal does not answer","namespace":"pawl setup","worker":"start one","store":"no store"}}`, 503, `{"items":[]}`, "", 3,
			[]string{"warning: Temporal does not answer\nwarning: no store\n"}, []string{"pawl setup", "start one"}},
		{"no namespace", `{"ready":false,"checks":{"temporal":"ok","namespace":"missing","worker":"unavailable"},` +
			`"detail":{"namespace":"pawl setup","worker":"start one"}}`, 503, `{"items":[]}`, "", 0, []string{"warning: pawl setup\n"}, []string{"start one"}},
		{"an outage that an older API tells of", `{"ready":false,"checks":{"temporal":"unavailable","namespace":"unavailable"}}`, 503, `{"items":[]}`, "", 3,
			[]string{"warning: temporal unavailable\n"}, []string{"namespace"}},
		{"nobody serves a listed tool", ready, 200, tools, "", 3, []string{`warning: nobody polls the task queue "tools-a" of: send_email.`}, []string{"tools-b", "tools-c", `"pawl"`}},
		{"an older API", `{}`, 404, `{"items":[{"name":"send_email","queue":"tools-a"}]}`, "", 3, nil, []string{"warning"}},
		{"for programs", `{"checks":{"worker":"missing"}}`, 200, tools, "-o json", 3, nil, []string{"warning"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := clitest.NewAPI(t, threeRequests(t)[:tt.views]...)
			api.On("GET /api/tools", clitest.Reply(200, tt.tools))
			api.On("GET /readyz", replyJSON(tt.status, tt.ready))
			r := clitest.CommandLine{API: api.URL}.Run(t, append([]string{"pending"}, strings.Fields(tt.args)...)...)
			r.Want(t, cli.ExitDone, nil, tt.want)
			for _, s := range tt.never {
				if strings.Contains(r.Err, s) {
					t.Errorf("stderr has %q:\n%s", s, r.Err)
				}
			}
			lookups := 0
			for _, asked := range api.Requests("GET") {
				if !strings.HasPrefix(asked, "GET /api/requests") {
					lookups++
				}
			}
			if lookups > 2 {
				t.Errorf("%d lookups for one list", lookups)
			}
		})
	}
}

// An API that answers lists, but nothing about itself, holds nobody up.
func TestTroublesAreBounded(t *testing.T) {
	api := clitest.NewAPI(t, threeRequests(t)...)
	api.On("GET /readyz", hang)
	api.On("GET /api/tools", hang)
	begun := time.Now()
	clitest.CommandLine{API: api.URL}.Run(t, "pending").Want(t, cli.ExitDone, []string{"pawl-bbbbbbbbbbb"}, nil)
	if took := time.Since(begun); took > 3*review.TroublesWithin {
		t.Errorf("it took %v", took)
	}
}

func TestCallSaysWhatItWaitsFor(t *testing.T) {
	api := clitest.NewAPI(t)
	api.On("POST /api/calls", clitest.Reply(202, `{"id":"`+clitest.MailID+`","tool":"send_email","status":"evaluating"}`))
	api.On("GET /api/calls/"+clitest.MailID, clitest.Reply(200, `{"id":"`+clitest.MailID+`","status":"evaluating","waiting":{"for":"the policy's answer","problems":[{"code":"no_worker","message":"Start one."}]}}`))
	clitest.CommandLine{API: api.URL}.Run(t, "call", "send_email", "--wait", "1s").Want(t, cli.ExitPending, nil,
		[]string{"is being evaluated; it waits for the policy's answer\nwarning: Start one.\nLook at it with"})
}

func TestApproveWithoutWorker(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	api.On("POST /api/requests/"+clitest.MailID+"/approve", clitest.Reply(202, `{"outcome":"not_judged_yet","waiting":{"for":"x","problems":[{"code":"no_worker","message":"Start a worker."}]}}`))
	clitest.CommandLine{API: api.URL}.Run(t, "approve", clitest.MailID, "--as", "ana").Want(t, cli.ExitPending,
		[]string{"sent, not judged yet. Start a worker. Ask again with 'pawl show " + clitest.MailID + "'\n"}, nil)

	api.On("GET /api/requests/"+clitest.MailID, clitest.Reply(200, `{"id":"`+clitest.MailID+`","status":"evaluating"}`))
	clitest.CommandLine{API: api.URL}.Run(t, "approve", clitest.MailID, "--as", "ana").Want(t, cli.ExitError, nil, []string{"the policy has not answered", "pawl show " + clitest.MailID})
	if sent := api.Requests("POST"); len(sent) != 1 {
		t.Errorf("sent %q", sent)
	}
}

// replyJSON is clitest.Reply for what is no problem document, whatever its status.
func replyJSON(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hang answers nothing for as long as anybody listens.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
