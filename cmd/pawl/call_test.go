package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
)

func outcome(status approval.Status, more string) string {
	return fmt.Sprintf(`{"id":%q,"tool":"send_email","status":%q%s}`, mailID, status, more)
}

func TestCallEndings(t *testing.T) {
	for _, tt := range []struct {
		name string
		http int
		body string
		code int
		out  string
		errs []string
	}{
		{"executed", 200, outcome(approval.StatusExecuted, `,"result":{"sent": true, "to":"<a>"},"decision":{"kind":"approve","by":"ben","at":"2026-03-01T12:00:00Z"}`),
			exitDone, `{"sent": true, "to":"<a>"}` + "\n", []string{"was executed", "approved by ben"}},
		{"executed without result", 200, outcome(approval.StatusExecuted, ""), exitDone, "null\n", nil},
		{"rejected", 200, outcome(approval.StatusRejected, `,"decision":{"kind":"reject","by":"ben","notes":"wrong account","at":"2026-03-01T12:00:00Z"}`),
			exitDenied, "", []string{"was rejected by ben, who says: wrong account\n"}},
		{"rejected, as the workflow words it", 200, outcome(approval.StatusRejected, `,"decision":{"kind":"reject","by":"ben","notes":"no","at":"2026-03-01T12:00:00Z"},"error":{"code":"approval_rejected","message":"ben rejected the call: no"}`),
			exitDenied, "", []string{"was rejected by ben, who says: no [approval_rejected]\n"}},
		{"rejected by a bare signal", 200, outcome(approval.StatusRejected, `,"decision":{"kind":"reject","at":"2026-03-01T12:00:00Z"},"error":{"code":"approval_rejected","message":"a reviewer rejected the call: no"}`),
			exitDenied, "", []string{"was rejected: a reviewer rejected the call: no [approval_rejected]\n"}},
		{"expired", 200, outcome(approval.StatusExpired, ""), exitDenied, "", []string{"expired: no approval came in time"}},
		{"blocked", 200, outcome(approval.StatusBlocked, `,"error":{"code":"unknown_tool","message":"no worker offers it"}`), exitDenied, "", []string{"no worker offers it [unknown_tool]"}},
		{"cancelled", 200, outcome(approval.StatusCancelled, ""), exitDenied, "", []string{"was cancelled"}},
		{"failed", 200, outcome(approval.StatusFailed, `,"error":{"code":"tool_failed","message":"\u001b[2Jno"}`), exitFailed, "", []string{`\u{001B}[2Jno`}},
		{"unknown", 200, outcome(approval.StatusOutcomeUnknown, ""), exitFailed, "", []string{"may have run"}},
		{"pending", 202, outcome(approval.StatusPending, ""), exitPending, "", []string{"waits for approval", "pawl show " + mailID, "pawl continue " + mailID}},
		{"lost", 200, outcome(approval.StatusExecuting, `,"error":{"code":"workflow_terminated","message":"It may have run."}`), exitFailed, "", []string{"goes no further: It may have run."}},
		{"gone", 409, `{"detail":"goes no further","code":"workflow_gone"}`, exitFailed, "", []string{"goes no further"}},
		{"conflict", 409, `{"detail":"the key was used for another call","code":"idempotency_conflict","id":"pawl-other"}`, exitError, "", []string{"used for another call", "used for pawl-other; look at it with 'pawl show pawl-other'"}},
		{"conflict without ID", 409, `{"detail":"the key was used for another call","code":"idempotency_conflict"}`, exitError, "", []string{"pawl: the key was used for another call\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newFakeAPI(t)
			api.on("POST /api/calls", reply(tt.http, tt.body))
			r := cmdline{api: api.URL}.run(t, "call", "send_email")
			r.want(t, tt.code, nil, tt.errs)
			if r.out != tt.out {
				t.Errorf("stdout %q, want %q", r.out, tt.out)
			}
			if tt.http < 300 {
				r = cmdline{api: api.URL}.run(t, "call", "send_email", "-o", "json")
				if r.code != tt.code || r.out != tt.body+"\n" {
					t.Errorf("-o json: code %d, stdout %q", r.code, r.out)
				}
			}
		})
	}
}

func TestCallSendsEverything(t *testing.T) {
	api := newFakeAPI(t)
	var got approval.Call
	api.on("POST /api/calls", func(w http.ResponseWriter, r *http.Request) {
		doc, _ := io.ReadAll(r.Body)
		var body struct {
			approval.Call
			Wait approval.Duration `json:"wait"`
		}
		if err := approval.DecodeStrict(doc, &body); err != nil {
			t.Error(err)
		}
		got = body.Call
		w.Header().Set("Pawl-Attached", "true")
		reply(202, outcome(approval.StatusPending, ""))(w, r)
	})
	cmdline{api: api.URL}.run(t, "call", "send_email", "--args", `{"a":1}`, "--key", "k1", "--agent", "bot", "--team", "support",
		"--session", "s1", "--reason", "why\nnot", "--title", "T", "--label", "env=prod", "--label", "x=a=b", "--require-approval", "--timeout", "90").
		want(t, exitPending, nil, []string{"picked up " + mailID})
	doc, _ := json.Marshal(got)
	want := `{"tool":"send_email","args":{"a":1},"agent":"bot","team":"support","session":"s1","reason":"why\nnot","title":"T",` +
		`"labels":{"env":"prod","x":"a=b"},"idempotency_key":"k1","require_approval":true,"timeout":"1m30s"}`
	if string(doc) != want {
		t.Errorf("sent %s\nwant %s", doc, want)
	}
}

func TestCallArgsFromFileAndStdin(t *testing.T) {
	dir := t.TempDir()
	file, broken := filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json")
	for name, doc := range map[string]string{file: `{"from": "file"}`, broken: `{"secret": hunter2}`} {
		if err := os.WriteFile(name, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, arg, stdin string
		code             int
		sent, err        string
	}{
		{"file", "@" + file, "", exitDone, `"args":{"from":"file"}`, ""},
		{"stdin", "-", ` {"from": "stdin"} `, exitDone, `"args":{"from":"stdin"}`, ""},
		{"broken file", "@" + broken, "", exitUsage, "", broken + ": not JSON, at byte"},
		{"broken stdin", "-", `{"secret":"hunter2"`, exitUsage, "", "standard input: the JSON ends too early"},
		{"no file", "@" + dir + "/none", "", exitError, "", "no such file"},
		{"too large", "-", `{"a":"` + strings.Repeat("x", approval.MaxArgs) + `"}`, exitUsage, "", "more than 262144 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newFakeAPI(t)
			api.on("POST /api/calls", reply(200, outcome(approval.StatusExecuted, "")))
			r := cmdline{api: api.URL, stdin: strings.NewReader(tt.stdin)}.run(t, "call", "t", "--args", tt.arg)
			r.want(t, tt.code, nil, []string{tt.err})
			if sent := strings.Join(api.requests("POST"), "\n"); (tt.sent == "") != (sent == "") || !strings.Contains(sent, tt.sent) {
				t.Errorf("sent %s", sent)
			}
			if strings.Contains(r.err, "hunter2") {
				t.Errorf("the error repeats an argument: %s", r.err)
			}
		})
	}
}

// Without --wait a call that no person has to decide is still followed.
func TestCallFollowsWhatRuns(t *testing.T) {
	api := newFakeAPI(t)
	api.on("POST /api/calls", reply(202, outcome(approval.StatusEvaluating, "")))
	states := []approval.Status{approval.StatusEvaluating, approval.StatusExecuting, approval.StatusExecuted}
	asked := 0
	api.on("GET /api/calls/"+mailID, func(w http.ResponseWriter, r *http.Request) {
		reply(200, outcome(states[asked], `,"result":1`))(w, r)
		asked++
	})
	cmdline{api: api.URL}.run(t, "call", "send_email").want(t, exitDone, []string{"1\n"}, nil)
	states, asked = []approval.Status{approval.StatusPending}, 0
	cmdline{api: api.URL}.run(t, "call", "send_email").want(t, exitPending, nil, []string{"waits for approval"})
}

// Without a worker nobody evaluates the call, and the API knows no more of it
// than its ID.
func TestCallWithoutWorker(t *testing.T) {
	api := newFakeAPI(t)
	api.on("POST /api/calls", reply(202, outcome(approval.StatusEvaluating, "")))
	api.on("GET /api/calls/"+mailID, reply(200, `{"id":"`+mailID+`","status":"evaluating"}`))
	for _, line := range []string{"call send_email", "call send_email --wait 1ms"} {
		cmdline{api: api.URL}.run(t, strings.Split(line, " ")...).
			want(t, exitPending, nil, []string{"send_email (" + mailID + ") is being evaluated; is a worker running?", "pawl continue " + mailID})
	}
}

func TestContinue(t *testing.T) {
	api := newFakeAPI(t, fixture(t, "request.json"))
	api.on("GET /api/calls/"+mailID, reply(200, outcome(approval.StatusExecuted, `,"result":{"n":1}`)))
	keyed := approval.KeyedID("local", "order-1041")
	api.on("GET /api/calls/"+keyed, reply(200, fmt.Sprintf(`{"id":%q,"tool":"t","status":"rejected"}`, keyed)))
	for _, id := range []string{mailID, mailID[:12]} {
		cmdline{api: api.URL}.run(t, "continue", id).want(t, exitDone, []string{`{"n":1}`}, []string{"was executed"})
	}
	cmdline{api: api.URL}.run(t, "continue", "--key", "order-1041", "--wait", "10m").want(t, exitDenied, nil, []string{"was rejected"})
	cmdline{api: api.URL}.run(t, "continue", "--key", "other").want(t, exitError, nil, []string{
		`no call is known that was started with the key "other" by the requester "local" (it would be ` + approval.KeyedID("local", "other") + ")\n",
		api.URL, "pawl pending --all",
	})
	cmdline{api: api.URL}.run(t, "continue", "pawl-none").want(t, exitError, nil, []string{"pawl-none: no call's ID begins so"})
}

// A call that was collapsed into an identical one is followed to that one's end.
func TestContinueADuplicate(t *testing.T) {
	api := newFakeAPI(t)
	const blocked = `{"id":"pawl-dup","tool":"send_email","status":"blocked","error":{"code":"duplicate","message":"identical"},"same_as":%q}`
	dup := approval.KeyedID("local", "k")
	api.on("GET /api/calls/"+dup, reply(200, strings.Replace(fmt.Sprintf(blocked, mailID), "pawl-dup", dup, 1)))
	api.on("GET /api/calls/"+mailID, reply(200, outcome(approval.StatusExecuted, `,"result":{"n":1}`)))
	follows := []string{dup + " is identical to " + mailID, "was executed"}
	cmdline{api: api.URL}.run(t, "continue", "--key", "k").want(t, exitDone, []string{`{"n":1}`}, follows)
	cmdline{api: api.URL}.run(t, "continue", "--key", "k", "--wait", "1m").want(t, exitDone, []string{`{"n":1}`}, follows)

	// Where the other one can't be shown, the call itself is.
	api.on("GET /api/calls/"+mailID, reply(404, `{"detail":"no such call","code":"unknown"}`))
	cmdline{api: api.URL}.run(t, "continue", "--key", "k").want(t, exitDenied, nil, []string{"was blocked", "[duplicate]"})
}

// TestWaitAcrossARestart closes the API's listener while --wait is held, opens
// it again, answers 503 once, and only then ends the call.
func TestWaitAcrossARestart(t *testing.T) {
	held := make(chan struct{})
	var once sync.Once
	first := http.NewServeMux()
	first.HandleFunc("POST /api/calls", reply(202, outcome(approval.StatusPending, "")))
	first.HandleFunc("GET /api/calls/{id}", func(_ http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(held) })
		<-r.Context().Done()
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	before := &http.Server{Handler: first}
	go func() { _ = before.Serve(listener) }()

	results := make(chan result)
	go func() {
		results <- cmdline{api: "http://" + addr}.run(t, "call", "send_email", "--wait", "10m")
	}()
	<-held
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	asked := 0
	second := http.NewServeMux()
	second.HandleFunc("GET /api/calls/{id}", func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			reply(503, `{"code":"internal","detail":"not ready"}`)(w, r)
			return
		}
		reply(200, outcome(approval.StatusExecuted, `,"result":"late"`))(w, r)
	})
	if listener, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	after := &http.Server{Handler: second}
	go func() { _ = after.Serve(listener) }()
	defer after.Close()
	r := <-results
	r.want(t, exitDone, []string{`"late"`}, []string{"waits for approval; waiting up to 10m"})
	if asked < 2 {
		t.Errorf("asked %d times after the restart", asked)
	}
}

func TestWaitInterrupted(t *testing.T) {
	api := newFakeAPI(t)
	ctx, interrupt := context.WithCancel(t.Context())
	api.on("POST /api/calls", reply(202, outcome(approval.StatusPending, "")))
	api.on("GET /api/calls/"+mailID, func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	})
	cmdline{api: api.URL, ctx: ctx}.run(t, "call", "send_email", "--wait", "10m").
		want(t, exitPending, nil, []string{"pawl continue " + mailID})
}

func TestInterruptedBeforeAnAnswer(t *testing.T) {
	api := newFakeAPI(t)
	ctx, interrupt := context.WithCancel(t.Context())
	api.on("POST /api/calls", func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	})
	r := cmdline{api: api.URL, ctx: ctx}.run(t, "call", "send_email")
	r.want(t, exitError, nil, []string{"interrupted", "may have been started", "--key "})
	var sent approval.Call
	body := strings.SplitN(api.requests("POST")[0], " ", 3)[2]
	if err := json.Unmarshal([]byte(body), &sent); err != nil || !strings.Contains(r.err, "--key "+sent.IdempotencyKey) {
		t.Errorf("the key sent, %q, is not the one to repeat with: %v", sent.IdempotencyKey, err)
	}
}

func TestCallWaitSeesTheCallVanish(t *testing.T) {
	api := newFakeAPI(t)
	api.on("POST /api/calls", reply(202, outcome(approval.StatusPending, "")))
	cmdline{api: api.URL}.run(t, "call", "send_email", "--wait", "10m").want(t, exitError, nil, []string{mailID + ": no such call"})
}

func TestCancel(t *testing.T) {
	for _, tt := range []struct {
		name   string
		http   int
		body   string
		status approval.Status
		code   int
		err    string
	}{
		{"ended", 200, `{}`, approval.StatusCancelled, exitDone, "was cancelled"},
		{"asked", 202, `{}`, approval.StatusCancelled, exitDone, "was cancelled"},
		{"too late", 202, `{}`, approval.StatusExecuted, exitDenied, "too late: send_email"},
		{"already resolved", 409, `{"code":"already_resolved","detail":"it ended as executed"}`, "", exitDenied, "it ended as executed"},
		{"no worker", 202, `{}`, approval.StatusPending, exitPending, "the withdrawal of " + mailID + " is sent and counts once a worker runs; look again with 'pawl show " + mailID + "'\n"},
		{"lost", 202, `{}`, approval.StatusPending, exitFailed, "goes no further"},
		{"gone", 409, `{"code":"workflow_gone","detail":"nothing can be decided"}`, "", exitDenied, "nothing can be decided"},
		{"unknown", 404, `{"code":"unknown","detail":"no such call"}`, "", exitError, "no such call"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := newFakeAPI(t, fixture(t, "request.json"))
			api.on("POST /api/calls/"+mailID+"/cancel", reply(tt.http, tt.body))
			more := map[bool]string{true: `,"error":{"code":"workflow_terminated","message":"Over."}`}[tt.name == "lost"]
			api.on("GET /api/calls/"+mailID, reply(200, outcome(tt.status, more)))
			cmdline{api: api.URL}.run(t, "cancel", "pawl-k3", "--notes", "changed").want(t, tt.code, nil, []string{tt.err})
			if sent := api.requests("POST"); len(sent) != 1 || !strings.HasSuffix(sent[0], `{"notes":"changed"}`) {
				t.Errorf("sent %q", sent)
			}
		})
	}
}

func TestResultThatCanNotBePrinted(t *testing.T) {
	api := newFakeAPI(t)
	api.on("POST /api/calls", reply(200, outcome(approval.StatusExecuted, "")))
	env := Env{
		Stdin: strings.NewReader(""), Stdout: brokenWriter{}, Stderr: io.Discard,
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil }, IsTerminal: func(any) bool { return false },
		Now: func() time.Time { return testNow },
	}
	if code := run(t.Context(), env, []string{"call", "t", "--api", api.URL}); code != exitError {
		t.Errorf("exit code %d", code)
	}
}
