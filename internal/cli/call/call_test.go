package call_test

import (
	"context"
	"encoding/json"
	"errors"
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
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/strictjson"
)

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
			cli.ExitDone, `{"sent": true, "to":"<a>"}` + "\n", []string{"was executed", "approved by ben"}},
		{"executed without result", 200, outcome(approval.StatusExecuted, ""), cli.ExitDone, "null\n", nil},
		{"rejected", 200, outcome(approval.StatusRejected, `,"decision":{"kind":"reject","by":"ben","notes":"wrong account","at":"2026-03-01T12:00:00Z"}`),
			cli.ExitDenied, "", []string{"was rejected by ben, who says: wrong account\n"}},
		{"rejected, as the workflow words it", 200, outcome(approval.StatusRejected, `,"decision":{"kind":"reject","by":"ben","notes":"no","at":"2026-03-01T12:00:00Z"},"error":{"code":"approval_rejected","message":"ben rejected the call: no"}`),
			cli.ExitDenied, "", []string{"was rejected by ben, who says: no [approval_rejected]\n"}},
		{"rejected by a bare signal", 200, outcome(approval.StatusRejected, `,"decision":{"kind":"reject","at":"2026-03-01T12:00:00Z"},"error":{"code":"approval_rejected","message":"a reviewer rejected the call: no"}`),
			cli.ExitDenied, "", []string{"was rejected: a reviewer rejected the call: no [approval_rejected]\n"}},
		{"expired", 200, outcome(approval.StatusExpired, ""), cli.ExitDenied, "", []string{"expired: no approval came in time"}},
		{"blocked", 200, outcome(approval.StatusBlocked, `,"error":{"code":"unknown_tool","message":"no worker offers it"}`), cli.ExitDenied, "", []string{"no worker offers it [unknown_tool]; 'pawl tools' lists"}},
		{"cancelled", 200, outcome(approval.StatusCancelled, ""), cli.ExitDenied, "", []string{"was cancelled"}},
		{"failed", 200, outcome(approval.StatusFailed, `,"error":{"code":"tool_failed","message":"\u001b[2Jno"}`), cli.ExitFailed, "", []string{`⟦ESC⟧[2Jno`}},
		{"unknown", 200, outcome(approval.StatusOutcomeUnknown, ""), cli.ExitFailed, "", []string{"may have run"}},
		{"pending", 202, outcome(approval.StatusPending, ""), cli.ExitPending, "", []string{"waits for approval", "pawl show " + clitest.MailID, "pawl continue " + clitest.MailID}},
		{"lost", 200, outcome(approval.StatusExecuting, `,"error":{"code":"workflow_terminated","message":"It may have run."}`), cli.ExitFailed, "", []string{"goes no further: It may have run."}},
		{"gone", 409, `{"detail":"goes no further","code":"workflow_gone"}`, cli.ExitFailed, "", []string{"goes no further"}},
		{"conflict", 409, `{"detail":"the key was used for another call","code":"idempotency_conflict","id":"pawl-other"}`, cli.ExitError, "", []string{"used for another call", "used for pawl-other; look at it with 'pawl show pawl-other'"}},
		{"conflict without ID", 409, `{"detail":"the key was used for another call","code":"idempotency_conflict"}`, cli.ExitError, "", []string{"pawl: the key was used for another call\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := clitest.NewAPI(t)
			api.On("POST /api/calls", clitest.Reply(tt.http, tt.body))
			r := clitest.CommandLine{API: api.URL}.Run(t, "call", "send_email")
			r.Want(t, tt.code, nil, tt.errs)
			if r.Out != tt.out {
				t.Errorf("stdout %q, want %q", r.Out, tt.out)
			}
			if tt.http < 300 {
				r = clitest.CommandLine{API: api.URL}.Run(t, "call", "send_email", "-o", "json")
				if r.Code != tt.code || r.Out != tt.body+"\n" {
					t.Errorf("-o json: code %d, stdout %q", r.Code, r.Out)
				}
			}
		})
	}
}

func TestCallSendsEverything(t *testing.T) {
	api := clitest.NewAPI(t)
	var got approval.Call
	api.On("POST /api/calls", func(w http.ResponseWriter, r *http.Request) {
		doc, _ := io.ReadAll(r.Body)
		var body struct {
			approval.Call
			Wait approval.Duration `json:"wait"`
		}
		if err := strictjson.Decode(doc, &body); err != nil {
			t.Error(err)
		}
		got = body.Call
		w.Header().Set("Pawl-Attached", "true")
		clitest.Reply(202, outcome(approval.StatusPending, ""))(w, r)
	})
	clitest.CommandLine{API: api.URL}.Run(t, "call", "send_email", "--args", `{"a":1}`, "--key", "k1", "--agent", "bot", "--team", "support",
		"--session", "s1", "--reason", "why\nnot", "--title", "T", "--label", "env=prod", "--label", "x=a=b", "--require-approval", "--timeout", "90").
		Want(t, cli.ExitPending, nil, []string{"found " + clitest.MailID})
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
		{"file", "@" + file, "", cli.ExitDone, `"args":{"from":"file"}`, ""},
		{"stdin", "-", ` {"from": "stdin"} `, cli.ExitDone, `"args":{"from":"stdin"}`, ""},
		{"broken file", "@" + broken, "", cli.ExitUsage, "", broken + ": not JSON, at byte"},
		{"broken stdin", "-", `{"secret":"hunter2"`, cli.ExitUsage, "", "standard input: the JSON ends too early"},
		{"no file", "@" + dir + "/none", "", cli.ExitError, "", "no such file"},
		{"too large", "-", `{"a":"` + strings.Repeat("x", approval.MaxArgs) + `"}`, cli.ExitUsage, "", "more than 262144 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := clitest.NewAPI(t)
			api.On("POST /api/calls", clitest.Reply(200, outcome(approval.StatusExecuted, "")))
			r := clitest.CommandLine{API: api.URL, Stdin: strings.NewReader(tt.stdin)}.Run(t, "call", "t", "--args", tt.arg)
			r.Want(t, tt.code, nil, []string{tt.err})
			if sent := strings.Join(api.Requests("POST"), "\n"); (tt.sent == "") != (sent == "") || !strings.Contains(sent, tt.sent) {
				t.Errorf("sent %s", sent)
			}
			if strings.Contains(r.Err, "hunter2") {
				t.Errorf("the error repeats an argument: %s", r.Err)
			}
		})
	}
}

// Without --wait a call that no person has to decide is still followed.
func TestCallFollowsWhatRuns(t *testing.T) {
	api := clitest.NewAPI(t)
	api.On("POST /api/calls", clitest.Reply(202, outcome(approval.StatusEvaluating, "")))
	states := []approval.Status{approval.StatusEvaluating, approval.StatusExecuting, approval.StatusExecuted}
	asked := 0
	api.On("GET /api/calls/"+clitest.MailID, func(w http.ResponseWriter, r *http.Request) {
		clitest.Reply(200, outcome(states[asked], `,"result":1`))(w, r)
		asked++
	})
	clitest.CommandLine{API: api.URL}.Run(t, "call", "send_email").Want(t, cli.ExitDone, []string{"1\n"}, nil)
	states, asked = []approval.Status{approval.StatusPending}, 0
	clitest.CommandLine{API: api.URL}.Run(t, "call", "send_email").Want(t, cli.ExitPending, nil, []string{"waits for approval"})
}

// Without a worker nobody evaluates the call, and the API knows no more of it than its ID.
func TestCallWithoutWorker(t *testing.T) {
	api := clitest.NewAPI(t)
	api.On("POST /api/calls", clitest.Reply(202, outcome(approval.StatusEvaluating, "")))
	api.On("GET /api/calls/"+clitest.MailID, clitest.Reply(200, `{"id":"`+clitest.MailID+`","status":"evaluating"}`))
	for _, line := range []string{"call send_email", "call send_email --wait 1ms"} {
		clitest.CommandLine{API: api.URL}.Run(t, strings.Split(line, " ")...).
			Want(t, cli.ExitPending, nil, []string{"send_email (" + clitest.MailID + ") is being evaluated; is a worker running?", "pawl continue " + clitest.MailID})
	}
}

func TestContinue(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	api.On("GET /api/calls/"+clitest.MailID, clitest.Reply(200, outcome(approval.StatusExecuted, `,"result":{"n":1}`)))
	keyed := approval.KeyedID("local", "order-1041")
	api.On("GET /api/calls/"+keyed, clitest.Reply(200, fmt.Sprintf(`{"id":%q,"tool":"t","status":"rejected"}`, keyed)))
	for _, id := range []string{clitest.MailID, clitest.MailID[:12]} {
		clitest.CommandLine{API: api.URL}.Run(t, "continue", id).Want(t, cli.ExitDone, []string{`{"n":1}`}, []string{"was executed"})
	}
	clitest.CommandLine{API: api.URL}.Run(t, "continue", "--key", "order-1041", "--wait", "10m").Want(t, cli.ExitDenied, nil, []string{"was rejected"})
	clitest.CommandLine{API: api.URL}.Run(t, "continue", "--key", "other").Want(t, cli.ExitError, nil, []string{
		`no call was started with the key "other" by the requester "local" (it would be ` + approval.KeyedID("local", "other") + ")\n",
		api.URL, "pawl pending --all",
	})
	clitest.CommandLine{API: api.URL}.Run(t, "continue", "pawl-none").Want(t, cli.ExitError, nil, []string{"pawl-none: no call's ID begins so"})
}

// A call that was collapsed into an identical one is followed to that one's end.
func TestContinueADuplicate(t *testing.T) {
	api := clitest.NewAPI(t)
	const blocked = `{"id":"pawl-dup","tool":"send_email","status":"blocked","error":{"code":"duplicate","message":"identical"},"same_as":%q}`
	dup := approval.KeyedID("local", "k")
	api.On("GET /api/calls/"+dup, clitest.Reply(200, strings.Replace(fmt.Sprintf(blocked, clitest.MailID), "pawl-dup", dup, 1)))
	api.On("GET /api/calls/"+clitest.MailID, clitest.Reply(200, outcome(approval.StatusExecuted, `,"result":{"n":1}`)))
	follows := []string{dup + " is identical to " + clitest.MailID, "was executed"}
	clitest.CommandLine{API: api.URL}.Run(t, "continue", "--key", "k").Want(t, cli.ExitDone, []string{`{"n":1}`}, follows)
	clitest.CommandLine{API: api.URL}.Run(t, "continue", "--key", "k", "--wait", "1m").Want(t, cli.ExitDone, []string{`{"n":1}`}, follows)

	// Where the other one can't be shown, the call itself is.
	api.On("GET /api/calls/"+clitest.MailID, clitest.Reply(404, `{"detail":"no such call","code":"unknown"}`))
	clitest.CommandLine{API: api.URL}.Run(t, "continue", "--key", "k").Want(t, cli.ExitDenied, nil, []string{"was blocked", "[duplicate]"})
}

// TestWaitAcrossARestart closes the API's listener while --wait is held, opens it again, answers
// 503 once, and only then ends the call.
func TestWaitAcrossARestart(t *testing.T) {
	held := make(chan struct{})
	var once sync.Once
	first := http.NewServeMux()
	first.HandleFunc("POST /api/calls", clitest.Reply(202, outcome(approval.StatusPending, "")))
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

	results := make(chan clitest.Result)
	go func() {
		results <- clitest.CommandLine{API: "http://" + addr}.Run(t, "call", "send_email", "--wait", "10m")
	}()
	<-held
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	asked := 0
	second := http.NewServeMux()
	second.HandleFunc("GET /api/calls/{id}", func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			clitest.Reply(503, `{"code":"internal","detail":"not ready"}`)(w, r)
			return
		}
		clitest.Reply(200, outcome(approval.StatusExecuted, `,"result":"late"`))(w, r)
	})
	if listener, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	after := &http.Server{Handler: second}
	go func() { _ = after.Serve(listener) }()
	defer after.Close()
	r := <-results
	r.Want(t, cli.ExitDone, []string{`"late"`}, []string{"waits for approval; waiting up to 10m"})
	if asked < 2 {
		t.Errorf("asked %d times after the restart", asked)
	}
}

func TestWaitInterrupted(t *testing.T) {
	api := clitest.NewAPI(t)
	ctx, interrupt := context.WithCancel(t.Context())
	api.On("POST /api/calls", clitest.Reply(202, outcome(approval.StatusPending, "")))
	api.On("GET /api/calls/"+clitest.MailID, func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	})
	clitest.CommandLine{API: api.URL, Ctx: ctx}.Run(t, "call", "send_email", "--wait", "10m").
		Want(t, cli.ExitPending, nil, []string{"pawl continue " + clitest.MailID})
}

func TestInterruptedBeforeAnAnswer(t *testing.T) {
	api := clitest.NewAPI(t)
	ctx, interrupt := context.WithCancel(t.Context())
	api.On("POST /api/calls", func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	})
	r := clitest.CommandLine{API: api.URL, Ctx: ctx}.Run(t, "call", "send_email")
	r.Want(t, cli.ExitError, nil, []string{"interrupted", "may have been started", "--key "})
	var sent approval.Call
	body := strings.SplitN(api.Requests("POST")[0], " ", 3)[2]
	if err := json.Unmarshal([]byte(body), &sent); err != nil || !strings.Contains(r.Err, "--key "+sent.IdempotencyKey) {
		t.Errorf("the key sent, %q, is not the one to repeat with: %v", sent.IdempotencyKey, err)
	}
}

func TestCallWaitSeesTheCallVanish(t *testing.T) {
	api := clitest.NewAPI(t)
	api.On("POST /api/calls", clitest.Reply(202, outcome(approval.StatusPending, "")))
	clitest.CommandLine{API: api.URL}.Run(t, "call", "send_email", "--wait", "10m").Want(t, cli.ExitError, nil, []string{clitest.MailID + ": no such call"})
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
		{"ended", 200, `{}`, approval.StatusCancelled, cli.ExitDone, "was cancelled"},
		{"asked", 202, `{}`, approval.StatusCancelled, cli.ExitDone, "was cancelled"},
		{"too late", 202, `{}`, approval.StatusExecuted, cli.ExitDenied, "too late: send_email"},
		{"already resolved", 409, `{"code":"already_resolved","detail":"it ended as executed"}`, "", cli.ExitDenied, "it ended as executed"},
		{"no worker", 202, `{}`, approval.StatusPending, cli.ExitPending, "the withdrawal of " + clitest.MailID + " is sent and counts once a worker runs; check again with 'pawl show " + clitest.MailID + "'\n"},
		{"lost", 202, `{}`, approval.StatusPending, cli.ExitFailed, "goes no further"},
		{"gone", 409, `{"code":"workflow_gone","detail":"nothing can be decided"}`, "", cli.ExitDenied, "nothing can be decided"},
		{"unknown", 404, `{"code":"unknown","detail":"no such call"}`, "", cli.ExitError, "no such call"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
			api.On("POST /api/calls/"+clitest.MailID+"/cancel", clitest.Reply(tt.http, tt.body))
			more := map[bool]string{true: `,"error":{"code":"workflow_terminated","message":"Over."}`}[tt.name == "lost"]
			api.On("GET /api/calls/"+clitest.MailID, clitest.Reply(200, outcome(tt.status, more)))
			clitest.CommandLine{API: api.URL}.Run(t, "cancel", "pawl-k3vq2m", "--notes", "changed").Want(t, tt.code, nil, []string{tt.err})
			if sent := api.Requests("POST"); len(sent) != 1 || !strings.HasSuffix(sent[0], `{"notes":"changed"}`) {
				t.Errorf("sent %q", sent)
			}
		})
	}
}

func TestResultThatCanNotBePrinted(t *testing.T) {
	api := clitest.NewAPI(t)
	api.On("POST /api/calls", clitest.Reply(200, outcome(approval.StatusExecuted, "")))
	env := cli.Env{
		Stdin: strings.NewReader(""), Stdout: brokenWriter{}, Stderr: io.Discard,
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil }, IsTerminal: func(any) bool { return false },
		Now: func() time.Time { return clitest.Now },
	}
	if code := clitest.Execute(t.Context(), env, "call", "t", "--api", api.URL); code != cli.ExitError {
		t.Errorf("exit code %d", code)
	}
}

func outcome(status approval.Status, more string) string {
	return fmt.Sprintf(`{"id":%q,"tool":"send_email","status":%q%s}`, clitest.MailID, status, more)
}

// brokenWriter fails like a full disk.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left") }
