package review_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

// reviewQueue has three requests; the one listed last is due first.
func reviewQueue(t *testing.T) *clitest.API {
	views := threeRequests(t)
	views[2] = withField(t, views[2], "deadline", "2026-03-01T12:01:00Z")
	api := clitest.NewAPI(t, views...)
	for _, id := range []string{"pawl-aaaaaaaaaab", "pawl-aaaaaaaaaac", "pawl-bbbbbbbbbbb"} {
		api.On("POST /api/requests/"+id+"/approve", clitest.Reply(200, resolved))
		api.On("POST /api/requests/"+id+"/reject", clitest.Reply(200, resolved))
	}
	return api
}

func TestReview(t *testing.T) {
	for _, tt := range []struct {
		name, stdin string
		code        int
		sent        []string // route and what the body holds
		out         []string
		summary     string
	}{
		{"one of each", "y\nn\nwrong account\ns\n", cli.ExitDone,
			[]string{`pawl-bbbbbbbbbbb/approve {"digest":"` + mailSum, `pawl-aaaaaaaaaab/reject {"notes":"wrong account","digest":"` + mailSum},
			[]string{"1 of 3", "2 of 3", "3 of 3", "approved send_email (pawl-bbbbbbbbbbb)", "rejected send_email (pawl-aaaaaaaaaab)"},
			"1 approved, 1 rejected, 1 skipped\n"},
		{"details, nonsense, no notes", "d\nmaybe\nNO\n\nq\n", cli.ExitDone,
			[]string{`pawl-bbbbbbbbbbb/reject {"digest"`}, []string{"Timeline:", "call.requested"}, "0 approved, 1 rejected, 0 skipped, 2 left\n"},
		{"no keyboard", "", cli.ExitError, nil, []string{"1 of 3"}, "0 approved, 0 rejected, 0 skipped, 3 left\npawl: nobody can answer: standard input has ended"},
		{"no keyboard after nonsense", "maybe\n", cli.ExitError, nil, []string{"1 of 3"}, "there is no keyboard"},
		{"no keyboard after one decision", "y\n", cli.ExitError, []string{"bbb/approve"}, nil, "1 approved, 0 rejected, 0 skipped, 2 left\npawl: nobody can answer"},
		{"end of input before the notes", "n\n", cli.ExitError, nil, nil, "0 approved, 0 rejected, 0 skipped, 3 left\npawl: nobody can answer"},
		{"control characters in notes", "n\na\x1bb\nfine\nq\n", cli.ExitDone, []string{`reject {"notes":"fine"`}, nil, "1 rejected"},
		{"quit", "q\n", cli.ExitDone, nil, nil, "3 left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := reviewQueue(t)
			r := clitest.CommandLine{API: api.URL, Stdin: strings.NewReader(tt.stdin)}.Run(t, "review", "--as", "ana")
			r.Want(t, tt.code, tt.out, []string{tt.summary})
			sent := api.Requests("POST")
			if len(sent) != len(tt.sent) {
				t.Fatalf("sent %q", sent)
			}
			for i, want := range tt.sent {
				if !strings.Contains(sent[i], want) {
					t.Errorf("sent %s, want %s", sent[i], want)
				}
			}
		})
	}
}

func TestReviewSaysWhatOneMayDo(t *testing.T) {
	for _, tt := range []struct{ you, want string }{
		{`{"may":["reject"],"why":"Your approval \u202ecounts already."}`, "Your approval \\u{202E}counts already.\n"},
		{`{"may":["approve","reject"],"if_approve":"Yours is the last approval it needs."}`, "Yours is the last approval it needs.\n"},
	} {
		api := clitest.NewAPI(t, withField(t, threeRequests(t)[0], "you", json.RawMessage(tt.you)))
		r := clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("s\n")}.Run(t, "review", "--as", "ana")
		r.Want(t, cli.ExitDone, []string{tt.want}, nil)
	}
}

func TestReviewEmpty(t *testing.T) {
	api := clitest.NewAPI(t)
	clitest.CommandLine{API: api.URL}.Run(t, "review", "--as", "ana").Want(t, cli.ExitDone, nil, []string{"nothing waits"})
}

// changing serves one request that becomes another document after n reads.
func changing(t *testing.T, before, after string, n int) *clitest.API {
	api := clitest.NewAPI(t, before)
	reads := 0
	api.On("GET /api/requests/"+clitest.MailID, func(w http.ResponseWriter, r *http.Request) {
		if reads++; reads > n {
			clitest.Reply(200, after)(w, r)
			return
		}
		clitest.Reply(200, before)(w, r)
	})
	api.On("POST /api/requests/"+clitest.MailID+"/approve", clitest.Reply(200, resolved))
	return api
}

func TestReviewReadsAgainBeforeDeciding(t *testing.T) {
	mail := clitest.Fixture(t, "request.json")
	other := strings.Repeat("e", 64)

	api := changing(t, mail, withField(t, mail, "digest", other), 1)
	r := clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("y\nq\n")}.Run(t, "review", "--as", "ana")
	r.Want(t, cli.ExitDone, []string{other}, []string{"has changed since it was shown", "1 left"})
	if sent := api.Requests("POST"); len(sent) != 0 {
		t.Errorf("what was not shown was approved: %q", sent)
	}
	api = changing(t, mail, withField(t, mail, "digest", other), 1)
	clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("y\ny\n")}.Run(t, "review", "--as", "ana").Want(t, cli.ExitDone, nil, []string{"1 approved"})
	if sent := api.Requests("POST"); len(sent) != 1 || !strings.Contains(sent[0], other) {
		t.Errorf("sent %q", sent)
	}

	for n := range 2 { // settled by somebody else before it is shown, and while it is
		api = changing(t, mail, withField(t, mail, "status", "rejected"), n)
		clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("y\n")}.Run(t, "review", "--as", "ana").
			Want(t, cli.ExitDone, []string{"no longer pending: send_email (" + clitest.MailID + ") was rejected"}, []string{"1 no longer pending"})
		if sent := api.Requests("POST"); len(sent) != 0 {
			t.Errorf("sent %q", sent)
		}
	}
}

func TestReviewThatDidNotCount(t *testing.T) {
	api := reviewQueue(t)
	api.On("POST /api/requests/pawl-bbbbbbbbbbb/approve", clitest.Reply(409, `{"code":"already_resolved","outcome":"already_resolved","detail":"ben was faster"}`))
	clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("y\ny\nq\n")}.Run(t, "review", "--as", "ana").
		Want(t, cli.ExitDenied, []string{"NOT approved", "ben was faster"}, []string{"1 approved, 0 rejected, 0 skipped, 1 did not count, 1 left"})
}

func TestReviewNotJudgedYet(t *testing.T) {
	api := reviewQueue(t)
	ctx, interrupt := context.WithCancel(t.Context())
	api.On("POST /api/requests/pawl-bbbbbbbbbbb/approve", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var sent struct {
			ID string `json:"decision_id"`
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Error(err)
		}
		api.On("GET /api/requests/pawl-bbbbbbbbbbb/decisions/"+sent.ID, func(_ http.ResponseWriter, r *http.Request) {
			interrupt()
			<-r.Context().Done()
		})
		clitest.Reply(202, `{"outcome":"not_judged_yet"}`)(w, r)
	})
	clitest.CommandLine{API: api.URL, Ctx: ctx, Stdin: strings.NewReader("y\n")}.Run(t, "review", "--as", "ana").
		Want(t, cli.ExitPending, []string{"sent, not judged yet"}, []string{"0 approved, 0 rejected, 0 skipped, 1 sent and not judged yet, 2 left"})
}

func TestReviewGoesOnAfterAnError(t *testing.T) {
	api := reviewQueue(t)
	api.On("GET /api/requests/pawl-bbbbbbbbbbb", clitest.Reply(500, `{"title":"Internal error","code":"internal"}`))
	r := clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("y\nq\n")}.Run(t, "review", "--as", "ana")
	r.Want(t, cli.ExitError, []string{"approved send_email (pawl-aaaaaaaaaab)"}, []string{"pawl-bbbbbbbbbbb: Internal error", "1 approved"})
}

func TestReviewStopsWhenTheAPIIsGone(t *testing.T) {
	api := reviewQueue(t)
	api.On("GET /api/requests/pawl-bbbbbbbbbbb", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r := clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("y\ny\n")}.Run(t, "review", "--as", "ana")
	r.Want(t, cli.ExitError, nil, []string{"the connection to " + api.URL + " broke", "3 left"})
	if sent := api.Requests("POST"); len(sent) != 0 {
		t.Errorf("sent %q", sent)
	}
}

func TestReviewInterrupted(t *testing.T) {
	api := reviewQueue(t)
	ctx, interrupt := context.WithCancel(t.Context())
	in, typed := io.Pipe() // nothing is ever typed
	defer typed.Close()
	go func() {
		_, _ = typed.Write([]byte("d\n"))
		interrupt()
	}()
	clitest.CommandLine{API: api.URL, Stdin: in, Ctx: ctx}.Run(t, "review", "--as", "ana").
		Want(t, cli.ExitDone, nil, []string{"3 left"})
}

func TestReviewForgetsWhatWasTypedAhead(t *testing.T) {
	api := reviewQueue(t)
	in, typed := io.Pipe()
	api.On("POST /api/requests/pawl-bbbbbbbbbbb/approve", func(w http.ResponseWriter, r *http.Request) {
		go func() {
			_, _ = io.WriteString(typed, "y\n") // the key is pressed twice
			typed.Close()
		}()
		clitest.Reply(200, resolved)(w, r)
	})
	out := &promptWatcher{prompted: make(chan struct{})}
	go func() {
		<-out.prompted
		_, _ = io.WriteString(typed, "y\n")
	}()
	code := clitest.Execute(t.Context(), cli.Env{
		Stdin: in, Stdout: out, Stderr: io.Discard, Now: func() time.Time { return clitest.Now },
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil }, IsTerminal: func(stream any) bool { return stream == any(in) },
	}, "review", "--as", "ana", "--api", api.URL)
	if sent := api.Requests("POST"); code != cli.ExitError || len(sent) != 1 {
		t.Errorf("code %d, sent %q", code, sent)
	}
}

// promptWatcher closes prompted when the first question is there.
type promptWatcher struct {
	prompted chan struct{}
	once     sync.Once
}

func (p *promptWatcher) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "[y] approve") {
		p.once.Do(func() { close(p.prompted) })
	}
	return len(b), nil
}

func TestReviewInterruptedWhileSending(t *testing.T) {
	api := reviewQueue(t)
	ctx, interrupt := context.WithCancel(t.Context())
	api.On("POST /api/requests/pawl-bbbbbbbbbbb/approve", func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	})
	clitest.CommandLine{API: api.URL, Ctx: ctx, Stdin: strings.NewReader("y\n")}.Run(t, "review", "--as", "ana").
		Want(t, cli.ExitError, nil, []string{"may or may not have arrived", "pawl show pawl-bbbbbbbbbbb", "3 left"})
}

// A call that needs a reason is not approved without one, and its stages are shown as the API says
// them.
func TestReviewAsksForAReason(t *testing.T) {
	view := withField(t, threeRequests(t)[0], "requirement", map[string]any{
		"require_reason": true, "stages": []any{
			map[string]any{"name": "team", "approvals": []any{map[string]any{"count": 1}}},
			map[string]any{"name": "security", "approvals": []any{map[string]any{"group": "security", "count": 1}}},
		},
	})
	view = withField(t, view, "rack", []any{
		map[string]any{"state": "met", "label": "team: bo approved"},
		map[string]any{"state": "next", "label": "security: your turn"},
		map[string]any{"state": "later", "label": "Runs once"},
	})
	view = withField(t, view, "votes", []any{map[string]any{
		"decision_id": "d", "kind": "approve", "reviewer": "bo", "authenticated": true, "self_approval": true, "notes": "fine", "at": "2026-03-01T12:00:00Z",
	}})
	api := clitest.NewAPI(t, view)
	id := "pawl-aaaaaaaaaab"
	api.On("POST /api/requests/"+id+"/approve", clitest.Reply(200, resolved))
	r := clitest.CommandLine{API: api.URL, Stdin: strings.NewReader("y\n\nchecked\n")}.Run(t, "review", "--as", "ana")
	r.Want(t, cli.ExitDone, []string{
		"Needs       team: 1 approval, then security: 1 approval of security, with a reason (1 of 2 so far)\n",
		"Step        met   team: bo approved\n", "Step        next  security: your turn\n", "Step        later Runs once\n",
		"who asked for it or owns the agent that did\n",
	}, []string{"write a reason"})
	if sent := api.Requests("POST"); len(sent) != 1 || !strings.Contains(sent[0], `"notes":"checked"`) {
		t.Errorf("sent %q", sent)
	}
}
