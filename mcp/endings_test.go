package mcp_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/mcp"
)

func TestHowCallsEnd(t *testing.T) {
	api := newAPI(t)
	r := connect(t, api)
	for n, c := range []struct{ tool, answer, status, words string }{
		{"wrong late", `"error":{"code":-32001,"message":"timed out"}`, "outcome_unknown", "the server answered with an error: timed out"},
		{"wrong odd", `"error":{"code":"x","message":"no"}`, "outcome_unknown", "the server answered with an error: no"},
		{"echo", `"text":"{`, "executed", ""},
		{"fail", `"isError":true,"content":[{"type":"text","text":"the disk is full"}]`, "failed", "the disk is full"},
		{"wrong", `"error":{"code":-32602,"message":"no such argument"}`, "failed", "the server answered with an error: no such argument"},
		{"flood", "done", "executed", ""},
		{"die", "It may have run", "outcome_unknown", "the server ended: exit status 3"}, // and the gateway with it
	} {
		t.Run(c.tool, func(t *testing.T) {
			tool, how, _ := strings.Cut(c.tool, " ")
			if got := r.ask(n+1, call(n+1, tool, `{"how":"`+how+`"}`)); !strings.Contains(got, c.answer) {
				t.Errorf("answered %s", got)
			}
			report := api.reported(n)
			words, _ := report["error"].(string)
			if report["status"] != c.status || words != c.words {
				t.Errorf("reported %v", report)
			}
		})
	}
}

func TestCancelledBeforeTheStart(t *testing.T) {
	t.Parallel() // for it waits much
	api := newAPI(t)
	r := connect(t, api, func(o *mcp.Options) { o.Wait = 2 * time.Second })
	r.send("%s", call(1, "echo", `{"x":"wait"}`))
	api.until("the call", func() bool { return len(api.started) == 1 })
	r.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	// The call goes on, and is there for the next who asks.
	api.decide(0, "approved")
	for id := 2; ; id++ { // until the cancelled request has let it go
		r.send("%s", call(id, "echo", `{"x":"wait"}`))
		got := r.next(`"id":`)
		if strings.Contains(got, `"id":1`) {
			t.Errorf("the cancelled request was answered: %s", got)
		}
		if strings.Contains(got, `"text":"{`) {
			break
		}
	}
	if r.runs() != "echo" {
		t.Errorf("ran %q", r.runs())
	}
}

func TestCancelledWhileItRuns(t *testing.T) {
	t.Parallel() // for it waits much
	api := newAPI(t)
	r := connect(t, api)
	r.send("%s", call(1, "hang", `{}`))
	api.until("the start", func() bool { return api.calls["pawl-0"] != nil && api.calls["pawl-0"].start != "" })
	r.ask(2, `{"jsonrpc":"2.0","id":2,"method":"test/raw"}`)
	for r.runs() == "" { // it is on its way to the server
		r.ask(2, `{"jsonrpc":"2.0","id":2,"method":"test/raw"}`)
	}
	r.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	r.next("test/cancelled")
	if report := api.reported(0); report["status"] != "outcome_unknown" {
		t.Errorf("reported %v", report)
	}
}

func TestClientThatLeaves(t *testing.T) {
	api := newAPI(t)
	r := connect(t, api)
	r.send("%s", call(1, "hang", `{}`))
	r.send("%s", call(2, "echo", `{"x":"wait"}`))
	api.until("both", func() bool {
		return len(api.started) == 2 && (api.calls["pawl-0"].start != "" || api.calls["pawl-1"].start != "")
	})
	for r.runs() == "" {
		r.ask(3, `{"jsonrpc":"2.0","id":3,"method":"test/raw"}`)
	}
	_ = r.to.Close()
	err := <-r.ended
	r.ended <- err
	if err != nil {
		t.Errorf("ended with %v", err)
	}
	var statuses []string
	for _, c := range api.calls {
		statuses = append(statuses, c.status)
	}
	if all := strings.Join(statuses, " "); !strings.Contains(all, "pending") || !strings.Contains(all, "outcome_unknown") {
		t.Errorf("left behind: %s", all)
	}
}

// A client that leaves gives back what it waited for, also before the gateway has heard which call it is.
func TestCallsAreReleased(t *testing.T) {
	for _, args := range []string{`{"x":"wait"}`, `{"x":"wait slowly"}`} {
		api := newAPI(t)
		r := connect(t, api)
		r.send("%s", call(1, "echo", args))
		api.until("the call", func() bool { return len(api.started) == 1 })
		_ = r.to.Close()
		api.mu.Lock()
		api.news() // Pawl answers
		api.mu.Unlock()
		api.until("its release", func() bool { return api.calls["pawl-0"].released })
	}
}

func TestServerEndsTheGateway(t *testing.T) {
	r := connect(t, newAPI(t))
	r.ask(1, call(1, "die", `{}`))
	err := <-r.ended
	r.ended <- err
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("ended with %v", err)
	}
}

// When the gateway has ended, nothing of its server is left, whoever started it and however it clings to life;
// and it has ended before clients lose patience and kill it.
func TestNothingOfAServerIsLeft(t *testing.T) {
	for _, way := range []string{"busy", "deaf", "wrapped busy", "wrapped deaf", "wrapped wrapped deaf"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel() // for it waits much
			var file string
			r := connect(t, newAPI(t), func(o *mcp.Options) {
				file = filepath.Join(t.TempDir(), "ran")
				env := append(environment(file), "TEST_SERVER_WAY="+way)
				o.Upstream = mcp.Child([]string{os.Args[0]}, env, io.Discard)
			})
			r.ask(1, `{"jsonrpc":"2.0","id":1,"method":"test/raw"}`)
			began := time.Now()
			_ = r.to.Close()
			err := <-r.ended
			r.ended <- err
			if took := time.Since(began); took > 9*time.Second { // usually 3.5
				t.Errorf("it took %v", took)
			}
			limit := time.After(5 * time.Second)
			for {
				alive, err := osfile.OpenLocked(file+".alive", os.O_RDWR, osfile.Lock)
				if err == nil {
					_ = alive.Close()
					return
				}
				select {
				case <-time.After(10 * time.Millisecond):
					continue
				case <-limit:
				}
				var pid int
				if doc, err := os.ReadFile(file + ".alive"); err == nil {
					_, _ = fmt.Sscan(string(doc), &pid)
				}
				if server, err := os.FindProcess(pid); err == nil && pid > 0 {
					_ = server.Kill()
				}
				t.Fatalf("server %d goes on: %v", pid, err)
			}
		})
	}
}

func TestServerThatCanNotStart(t *testing.T) {
	o := options(t, newAPI(t), filepath.Join(t.TempDir(), "ran"))
	o.Upstream = mcp.Child([]string{filepath.Join(t.TempDir(), "absent")}, nil, nil)
	g, err := mcp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.ServeStdio(t.Context(), os.Stdin, nil); err == nil || !strings.Contains(err.Error(), "can't be started") {
		t.Error(err)
	}
}

func TestServersInheritNothingOfPawls(t *testing.T) {
	r := connect(t, newAPI(t))
	got := r.ask(1, call(1, "env", "{}"))
	if strings.Contains(strings.ToUpper(got), "PAWL_") || !strings.Contains(got, "TEST_SERVER_RAN") {
		t.Errorf("the environment is %s", got)
	}
}

// A server may ask for input before it ends: the call is repeated with that, and is the same call.
func TestInputIsTheSameCall(t *testing.T) {
	api := newAPI(t)
	r := connect(t, api)
	r.ask(1, call(1, "ask", `{"x":1}`))
	next := func(id, state string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"ask","arguments":{"x":1},` +
			`"inputResponses":{},"requestState":"` + state + `"}}`
	}
	if got := r.ask(2, next("2", "s1")); !strings.Contains(got, "thanks") {
		t.Errorf("answered %s", got)
	}
	if report := api.reported(0); report["status"] != "executed" || len(api.started) != 1 {
		t.Errorf("reported %v, asked %d times", report, len(api.started))
	}
	// Input is good for one answer to one question, and nothing else brings it to the server.
	ran := r.runs()
	for n, frame := range []string{
		next("3", "s1"), next("4", "s2"), strings.Replace(next("5", "s1"), `"inputResponses":{},`, "", 1),
		strings.Replace(next("6", ""), `,"requestState":""`, "", 1),
	} {
		if got := r.ask(3+n, frame); !strings.Contains(got, "Not run") {
			t.Errorf("answered %s", got)
		}
	}
	if len(api.started) != 1 || r.runs() != ran {
		t.Errorf("asked %d times, ran %s", len(api.started), r.runs())
	}
	// A client may leave an empty input out, and write the state's characters otherwise.
	r.ask(7, call(7, "ask", `{"x":1}`))
	if got := r.ask(8, strings.Replace(next("8", `s\u0031`), `"inputResponses":{},`, "", 1)); !strings.Contains(got, "thanks") {
		t.Errorf("answered %s", got)
	}
	if len(api.started) != 2 {
		t.Errorf("asked %d times", len(api.started))
	}
}
