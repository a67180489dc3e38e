package hook_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/hook"
)

// world is a host with one session, and a Pawl.
type world struct {
	*pawl
	t   *testing.T
	dir string
}

func newWorld(t *testing.T) *world { return &world{pawl: newPawl(t), t: t, dir: t.TempDir()} }

// fire runs a process of the hook.
func (w *world) fire(event string, change ...func(*hook.ClaudeOptions)) hook.Answer {
	w.t.Helper()
	return w.fireCtx(w.t.Context(), event, change...)
}

func (w *world) fireCtx(ctx context.Context, event string, change ...func(*hook.ClaudeOptions)) hook.Answer {
	w.t.Helper()
	o := hook.ClaudeOptions{Dir: w.dir, Trouble: startIt, NoToken: getToken, Undo: undoIt, Wait: 10 * time.Second}
	o.Client, _ = client.New(client.Options{URL: w.URL, Timeout: time.Second})
	for _, f := range change {
		f(&o)
	}
	h, err := hook.NewClaudeCode(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return h.Answer(ctx, strings.NewReader(event))
}

func event(name, command, use string) string {
	return fmt.Sprintf(`{"session_id":"s","cwd":"/home/ana/shop","hook_event_name":%q,"tool_name":"Bash",`+
		`"tool_input":{"command":%q},"tool_use_id":%q}`, name, command, use)
}

func before(command, use string) string { return event("PreToolUse", command, use) }

// said is the decision of an answer and its reason: allow, deny, defer, none, or block by exit code.
func said(t *testing.T, a hook.Answer) (decision, reason string) {
	t.Helper()
	switch {
	case a.Exit == 2 && a.Out == "":
		return "block", a.Err
	case a.Exit != 0:
		return "noted", a.Err
	case a.Out == "":
		return "none", ""
	}
	var out struct {
		Specific struct {
			HookEventName, PermissionDecision, PermissionDecisionReason string
		} `json:"hookSpecificOutput"`
	}
	if err := json.Unmarshal([]byte(a.Out), &out); err != nil || out.Specific.HookEventName != "PreToolUse" {
		t.Fatalf("%q: %v", a.Out, err)
	}
	return out.Specific.PermissionDecision, out.Specific.PermissionDecisionReason
}

func (w *world) want(a hook.Answer, decision string, words ...string) {
	w.t.Helper()
	got, reason := said(w.t, a)
	if got != decision {
		w.t.Errorf("%s (%s), want %s", got, reason, decision)
	}
	for _, word := range words {
		if !strings.Contains(reason, word) {
			w.t.Errorf("%q does not say %q", reason, word)
		}
	}
}

func (w *world) records() int {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.dir, "*", "*.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	return len(found)
}

func headless(o *hook.ClaudeOptions) { o.Headless = true }
func inPrint(o *hook.ClaudeOptions)  { o.Print = true }

// hasty is for what ends the same wherever its time is up; see fireInVain.
func hasty(o *hook.ClaudeOptions) { o.Wait = 200 * time.Millisecond }

// Whatever goes wrong before a tool denies it, in the host's own way, and says what to do.
func TestFaultsDeny(t *testing.T) {
	reply := func(status int, kind, body string) func(*world) {
		return func(w *world) {
			w.fail(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", kind)
				rw.WriteHeader(status)
				_, _ = io.WriteString(rw, body)
			})
		}
	}
	for name, tt := range map[string]struct {
		event   string
		prepare func(*world)
		change  func(*hook.ClaudeOptions)
		want    string
		words   string
		help    string // default: undoIt
	}{
		"the API is down":        {prepare: func(w *world) { w.Close() }, want: "deny", help: startIt},
		"500":                    {prepare: reply(500, "application/problem+json", `{"code":"internal_error"}`), want: "deny", words: "500", help: startIt},
		"500 without a body":     {prepare: reply(500, "text/html", ""), want: "deny", help: startIt},
		"garbage":                {prepare: reply(200, "application/json", "<html>"), want: "deny", words: "can't be used"},
		"a page":                 {prepare: reply(200, "text/html", "<html>"), want: "deny", words: "not Pawl's API"},
		"an empty answer":        {prepare: reply(200, "application/json", "{}"), want: "deny", words: "names no call"},
		"another status":         {prepare: reply(200, "application/json", `{"id":"pawl-a","status":"odd"}`), want: "deny", words: "can't be used"},
		"approved by a word":     {prepare: reply(200, "application/json", `{"id":"pawl-a","status":"approved","decision":{"kind":"approve"}}`), want: "deny"},
		"401":                    {prepare: reply(401, "application/problem+json", `{"code":"token_unknown","detail":"no such token"}`), want: "deny", words: "no such token", help: getToken},
		"403":                    {prepare: reply(403, "application/problem+json", `{"code":"not_permitted","detail":"no role"}`), want: "deny", words: "no role"},
		"an API without callers": {prepare: reply(422, "application/problem+json", `{"code":"invalid","detail":"execution is not offered"}`), want: "deny", words: "not offered"},
		"a redirect":             {prepare: reply(302, "text/html", ""), want: "deny", words: "redirect"},
		"no answer in time": {prepare: func(w *world) {
			w.fail(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // else nobody notices that the client has gone
				<-r.Context().Done()
			})
		}, change: hasty, want: "deny", help: startIt},
		"a connection that breaks": {prepare: func(w *world) {
			w.fail(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}, change: hasty, want: "deny", help: startIt},
		"our own panic": {event: strings.Replace(before("ls", "u"), "Bash", "mcp__a__b", 1),
			change: func(o *hook.ClaudeOptions) { o.Guarded = func(string, bool) bool { panic("oops") } }, want: "block", words: "oops"},
		"a folder that is a file": {prepare: func(w *world) {
			w.dir = filepath.Join(w.dir, "file")
			if err := os.WriteFile(w.dir, nil, 0o600); err != nil {
				w.t.Fatal(err)
			}
		}, want: "deny"},
		"a folder that others may write to": {prepare: func(w *world) {
			w.dir = filepath.Join(w.dir, "open")
		}, change: func(o *hook.ClaudeOptions) { _ = os.MkdirAll(o.Dir, 0o700); _ = os.Chmod(o.Dir, 0o777) }, want: "deny", words: "other users"},
		"no event":                 {event: " ", want: "block"},
		"an event cut short":       {event: before("ls", "u")[:40], want: "block"},
		"an unknown event":         {event: event("UserPromptSubmit", "ls", "u"), want: "block", words: "none that this hook answers"},
		"no tool_use_id":           {event: before("ls", ""), want: "block", words: "tool_use_id"},
		"no session":               {event: strings.Replace(before("ls", "u"), `"s"`, `""`, 1), want: "block", words: "session_id"},
		"arguments that are twice": {event: strings.Replace(before("ls", "u"), `"command"`, `"command":"ls","command"`, 1), want: "deny", words: "command"},
		"arguments that are a list": {event: strings.Replace(before("ls", "u"), `{"command":"ls"}`, `["ls"]`, 1), want: "deny",
			words: "object"},
		"a name that is none": {event: strings.Replace(before("ls", "u"), "Bash", `B\u0000`, 1), want: "deny", words: "tool"},
		"arguments too large": {event: before(strings.Repeat("x", approval.MaxArgs), "u"), want: "deny", words: "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.set(approval.StatusApproved, byAna)
			if tt.prepare != nil {
				tt.prepare(w)
			}
			e := tt.event
			if e == "" {
				e = before("ls", "u")
			}
			change := tt.change
			if change == nil {
				change = headless
			}
			a := w.fire(e, change)
			w.want(a, tt.want, tt.words)
			wantHelp(t, a, cmp.Or(tt.help, undoIt))
			if len(w.started) > 0 && name != "approved by a word" {
				t.Error("it was started")
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	blocked := func(w *world) { w.set(approval.StatusBlocked, &approval.FinalDecision{Kind: approval.FinalDeny}) }
	for name, tt := range map[string]struct {
		prepare func(*world)
		change  func(*hook.ClaudeOptions)
		want    string
		words   []string
		kept    int // records
	}{
		"allowed by the policy":   {func(w *world) { w.set(approval.StatusApproved, byPolicy) }, nil, "none", nil, 1},
		"the same without a host": {func(w *world) { w.set(approval.StatusApproved, byPolicy) }, headless, "allow", []string{"policy"}, 1},
		"approved":                {func(w *world) { w.set(approval.StatusApproved, byAna) }, nil, "allow", []string{"ana", "pawl-a"}, 1},
		"approved by nobody said": {func(w *world) { w.set(approval.StatusApproved, nil) }, nil, "none", nil, 1},
		"rejected":                {func(w *world) { w.set(approval.StatusRejected, notByAna) }, nil, "deny", []string{"ana rejected", "use the other one", "pawl-a"}, 0},
		"forbidden":               {blocked, headless, "deny", []string{"not allowed", "pawl-a"}, 0},
		"expired":                 {func(w *world) { w.set(approval.StatusExpired, nil) }, nil, "deny", []string{"in time"}, 0},
		"withdrawn":               {func(w *world) { w.set(approval.StatusCancelled, nil) }, nil, "deny", []string{"withdrawn"}, 0},
		"run by somebody else":    {func(w *world) { w.set(approval.StatusExecuted, byAna) }, nil, "deny", []string{"may have run"}, 0},
		"unknown":                 {func(w *world) { w.set(approval.StatusOutcomeUnknown, byAna) }, nil, "deny", []string{"may have run"}, 0},
		"pending":                 {func(*world) {}, nil, "deny", []string{"pending", "pawl-a", "pawl review", "later"}, 1},
		"pending, with a page": {func(w *world) { w.view.URL = "https://pawl.example.com/requests/pawl-a" }, nil, "deny",
			[]string{"https://pawl.example.com/requests/pawl-a"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tt.prepare(w)
			change := tt.change
			if change == nil {
				change = func(*hook.ClaudeOptions) {}
			}
			a := w.fireInVain(before("ls", "u"), change)
			w.want(a, tt.want, tt.words...)
			wantHelp(t, a, "")
			if w.records() != tt.kept {
				t.Errorf("%d records, want %d", w.records(), tt.kept)
			}
		})
	}
}

// A call that waits is taken up by the next process that is asked for the same, and by no other.
func TestTakenUpAgain(t *testing.T) {
	w := newWorld(t)
	w.want(w.fireInVain(before("ls", "u1")), "deny", "pending")
	w.want(w.fireInVain(before("ls", "u2")), "deny", "pending")
	if w.asked() != 1 {
		t.Fatalf("asked %d times", w.asked())
	}
	w.want(w.fireInVain(before("pwd", "u3")), "deny", "pending")
	if w.asked() != 2 {
		t.Fatalf("another call: asked %d times", w.asked())
	}
	w.set(approval.StatusApproved, byAna)
	w.want(w.fire(before("ls", "u4")), "allow", "ana")
	w.want(w.fire(before("ls", "u4")), "deny", "may have run")
	if w.asked() != 2 {
		t.Errorf("asked %d times", w.asked())
	}
	// The first one runs, so the same again is another call.
	w.want(w.fire(before("ls", "u5")), "allow", "ana")
	if w.asked() != 3 {
		t.Errorf("asked %d times", w.asked())
	}
}

// A process that was killed after the start and before its answer has let nothing run: the next one goes
// on with the same start.
func TestKilledBeforeItsAnswer(t *testing.T) {
	w := newWorld(t)
	ctx, kill := context.WithCancel(t.Context())
	w.kill = kill
	w.set(approval.StatusApproved, byAna)
	if got, _ := said(t, w.fireCtx(ctx, before("ls", "u1"))); got != "deny" {
		t.Errorf("a killed process says %s", got)
	}
	w.want(w.fire(before("ls", "u2")), "allow", "ana")
	if w.asked() != 1 {
		t.Errorf("asked %d times", w.asked())
	}
}

// A process that was killed while it waited, however soon, has left its call to the next one.
func TestKilledWhileItWaits(t *testing.T) {
	w := newWorld(t)
	for use := range 3 {
		ctx, kill := context.WithCancel(t.Context())
		waits := make(chan string)
		go func() {
			got, _ := said(t, w.fireCtx(ctx, before("ls", fmt.Sprint("u", use))))
			waits <- got
		}()
		<-w.held
		if kill(); <-waits != "deny" {
			t.Error("a killed process let it run")
		}
	}
	w.set(approval.StatusApproved, byAna)
	w.want(w.fire(before("ls", "u4")), "allow", "ana")
	if w.asked() != 1 {
		t.Errorf("asked %d times", w.asked())
	}
}

// A process that ended after its call had begun and before it knew has left it to the next one.
func TestKilledBeforeItKnowsItsCall(t *testing.T) {
	problem := func(status int) func(http.ResponseWriter) {
		return func(rw http.ResponseWriter) {
			rw.Header().Set("Content-Type", "application/problem+json")
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, `{"code":"x","detail":"x"}`)
		}
	}
	for name, tt := range map[string]struct {
		lose  func(http.ResponseWriter) // instead of the first answer
		again string                    // the event by which the model tries again
		asked int
	}{
		"killed":                {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, before("ls", "u2"), 1},
		"killed, and the same":  {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, before("ls", "u1"), 1},
		"an answer cut short":   {func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, `{"id":`) }, before("ls", "u2"), 1},
		"an error of the API's": {problem(500), before("ls", "u2"), 1},
		"refused":               {problem(422), before("ls", "u2"), 2},
		"another command":       {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, before("pwd", "u2"), 2},
		"by a subagent": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
			strings.Replace(before("ls", "u2"), `"cwd"`, `"agent_type":"tester","cwd"`, 1), 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx, kill := context.WithCancel(t.Context())
			w.lose = func(rw http.ResponseWriter) {
				if name != "refused" { // that one is told
					kill()
				}
				tt.lose(rw)
			}
			if got, _ := said(t, w.fireCtx(ctx, before("ls", "u1"))); got != "deny" {
				t.Errorf("a killed process says %s", got)
			}
			w.set(approval.StatusApproved, byAna)
			w.want(w.fire(tt.again), "allow", "ana")
			if w.asked() != tt.asked {
				t.Errorf("asked %d times, want %d", w.asked(), tt.asked)
			}
		})
	}
}

// The host was killed while its hook waited. That process must not take the approval along: the next one
// runs the call.
func TestTheHostHasGone(t *testing.T) {
	w := newWorld(t)
	w.set(approval.StatusApproved, byAna)
	orphan := func(o *hook.ClaudeOptions) { o.Alive = func() bool { return false } }
	w.want(w.fire(before("ls", "u1"), orphan), "deny", "has ended")
	w.want(w.fire(before("ls", "u2")), "allow", "ana")
	if w.asked() != 1 {
		t.Errorf("asked %d times", w.asked())
	}

	w = newWorld(t)
	w.want(w.fire(before("ls", "u1"), orphan), "deny")
	w.set(approval.StatusApproved, byAna)
	w.want(w.fire(before("ls", "u2")), "allow", "ana")
	if w.asked() != 1 || len(w.started) != 1 {
		t.Errorf("asked %d times, started %v", w.asked(), w.started)
	}
}

// Recorded events of the real host: each session asks once for each tool call and reports it.
func TestRecordedSessions(t *testing.T) {
	f, err := os.Open("testdata/claude-code-2.1.332.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := newWorld(t)
	w.set(approval.StatusApproved, byPolicy)
	tools := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		w.want(w.fire(lines.Text(), inPrint), "none")
		if strings.Contains(lines.Text(), `"PreToolUse"`) {
			tools++
			w.set(approval.StatusApproved, byPolicy)
		}
	}
	if tools < 8 || w.asked() != tools || len(w.reports) != tools || w.records() != 0 {
		t.Errorf("%d tool calls, %d asked, %d reports, %d records left", tools, w.asked(), len(w.reports), w.records())
	}
	statuses := map[approval.ReportStatus]int{}
	for _, r := range w.reports {
		statuses[r.Status]++
		if len(r.Result) > 0 {
			t.Errorf("a result was sent: %s", r.Result)
		}
	}
	if statuses[approval.ReportFailed] != 1 || statuses[approval.ReportUnknown] != 1 ||
		statuses[approval.ReportNotRun] != 1 {
		t.Errorf("%v", statuses)
	}
	for _, c := range w.begun {
		if c.Labels[hook.Project] != "/home/ana/shop" || c.Agent != "claude-code" || c.Session == "" {
			t.Errorf("%+v", c)
		}
	}
}
