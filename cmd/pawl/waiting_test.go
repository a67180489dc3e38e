package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
)

const ready = `{"ready":true,"checks":{"store":"ok","temporal":"ok","worker":"ok","search_attributes":"missing"},"detail":{"search_attributes":"add them"}}`

// stuck is a request that waits, with problems, the second of them hostile.
func stuck(t *testing.T) string {
	return with(t, fixture(t, "request.json"), "waiting", map[string]any{
		"for": "one more approval by somebody else (1 of 2 so far)", "until": "2026-03-01T12:48:00Z",
		"problems": []map[string]string{
			{"code": "no_worker", "message": "No worker is seen."},
			{"code": "tool_not_served", "message": "Nobody polls \"q\x1b[2J\"\n!! All is well " + strings.Repeat("x", 100)},
		},
	})
}

func TestShowSaysWhyACallWaits(t *testing.T) {
	api := newFakeAPI(t, stuck(t))
	r := cmdline{api: api.URL}.run(t, "show", mailID)
	r.want(t, exitDone, []string{
		"Waits for   one more approval by somebody else (1 of 2 so far)\n", "Until       2026-03-01T12:48:00Z (in 48m)\n",
		"!! WARNING (no_worker): No worker is seen.\n!! WARNING (tool_not_served): Nobody polls \"q\\u{001B}[2J\"\\u{000A}!! All",
	}, nil)
	if strings.Contains(r.out, "Deadline") {
		t.Error("the deadline is shown twice")
	}
	if last := r.out[strings.LastIndex(strings.TrimSuffix(r.out, "\n"), "\n")+1:]; !strings.HasPrefix(last, "!! ") {
		t.Errorf("it ends with %q, not with its warnings", last)
	}
	for line := range strings.SplitSeq((cmdline{api: api.URL, terminal: true, env: map[string]string{"NO_COLOR": "1"}}).run(t, "show", mailID).out, "\n") {
		if strings.Contains(line, "xxxx") && !strings.HasPrefix(line, "!! ") {
			t.Errorf("an unmarked line of a warning: %q", line)
		}
	}

	doc := stuck(t)
	if r := (cmdline{api: newFakeAPI(t, doc).URL}).run(t, "show", mailID, "-o", "json"); r.out != doc+"\n" {
		t.Errorf("JSON %s", r.out)
	}
	passed := with(t, fixture(t, "request.json"), "waiting", map[string]any{"for": "its end", "until": "2026-03-01T11:00:00Z"})
	cmdline{api: newFakeAPI(t, passed).URL}.run(t, "show", mailID).
		want(t, exitDone, []string{"Waits for   its end\n", "Until       2026-03-01T11:00:00Z (passed)\n", "Deadline    2026-03-01T12:48:00Z"}, nil)
}

func TestReviewWarnsBeforeItAsks(t *testing.T) {
	api := newFakeAPI(t, stuck(t))
	r := cmdline{api: api.URL, stdin: strings.NewReader("s\n")}.run(t, "review", "--as", "ana")
	r.want(t, exitDone, nil, []string{"1 skipped"})
	warned, asked := strings.Index(r.out, "!! WARNING (no_worker)"), strings.Index(r.out, "[y] approve")
	if warned < 0 || asked < warned {
		t.Errorf("no warning before the question:\n%s", r.out)
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
		{"nobody serves a listed tool", ready, 200, tools, "", 3, []string{`warning: nobody polls the task queue "tools-a", on which runs: send_email.`}, []string{"tools-b", "tools-c", `"pawl"`}},
		{"an older API", `{}`, 404, `{"items":[{"name":"send_email","queue":"tools-a"}]}`, "", 3, nil, []string{"warning"}},
		{"for programs", `{"checks":{"worker":"missing"}}`, 200, tools, "-o json", 3, nil, []string{"warning"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newFakeAPI(t, threeRequests(t)[:tt.views]...)
			api.on("GET /api/tools", reply(200, tt.tools))
			api.on("GET /readyz", replyJSON(tt.status, tt.ready))
			r := cmdline{api: api.URL}.run(t, append([]string{"pending"}, strings.Fields(tt.args)...)...)
			r.want(t, exitDone, nil, tt.want)
			for _, s := range tt.never {
				if strings.Contains(r.err, s) {
					t.Errorf("stderr has %q:\n%s", s, r.err)
				}
			}
			lookups := 0
			for _, asked := range api.requests("GET") {
				if !strings.HasPrefix(asked, "GET /api/requests?") {
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
	api := newFakeAPI(t, threeRequests(t)...)
	api.on("GET /readyz", hang)
	api.on("GET /api/tools", hang)
	begun := time.Now()
	cmdline{api: api.URL}.run(t, "pending").want(t, exitDone, []string{"pawl-bbbbbbbbbbb"}, nil)
	if took := time.Since(begun); took > 3*troublesWithin {
		t.Errorf("it took %v", took)
	}
}

func TestCallSaysWhatItWaitsFor(t *testing.T) {
	api := newFakeAPI(t)
	api.on("POST /api/calls", reply(202, outcome(approval.StatusEvaluating, "")))
	api.on("GET /api/calls/"+mailID, reply(200, `{"id":"`+mailID+`","status":"evaluating","waiting":{"for":"the policy's answer","problems":[{"code":"no_worker","message":"Start one."}]}}`))
	cmdline{api: api.URL}.run(t, "call", "send_email", "--wait", "1ms").want(t, exitPending, nil,
		[]string{"is being evaluated; it waits for the policy's answer\nwarning: Start one.\nLook at it with"})
}

func TestApproveWithoutWorker(t *testing.T) {
	api := newFakeAPI(t, fixture(t, "request.json"))
	api.on("POST /api/requests/"+mailID+"/approve", reply(202, `{"outcome":"not_judged_yet","waiting":{"for":"x","problems":[{"code":"no_worker","message":"Start a worker."}]}}`))
	cmdline{api: api.URL}.run(t, "approve", mailID, "--as", "ana").want(t, exitPending,
		[]string{"sent, not judged yet. Start a worker. Ask again with 'pawl show " + mailID + "'\n"}, nil)

	api.on("GET /api/requests/"+mailID, reply(200, `{"id":"`+mailID+`","status":"evaluating"}`))
	cmdline{api: api.URL}.run(t, "approve", mailID, "--as", "ana").want(t, exitError, nil, []string{"the policy has not answered", "pawl show " + mailID})
	if sent := api.requests("POST"); len(sent) != 1 {
		t.Errorf("sent %q", sent)
	}
}
