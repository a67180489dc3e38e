package mcp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/mcp"
)

func TestFramesGoThroughAsTheyAre(t *testing.T) {
	r := connect(t, newAPI(t))
	frame := `{"params":{"b":1.0, "a":12345678901234567890,"x":"\u00e9"} ,"method":"test/raw","id":1,"jsonrpc":"2.0"}`
	got := r.ask(1, frame)
	quoted, _ := json.Marshal(frame)
	want := `{ "jsonrpc" : "2.0", "result":{"was":` + string(quoted) + ` , "n":12345678901234567890,"f":1.0},"id":1}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAllowedCallsRunWithTheClientsBytes(t *testing.T) {
	api := newAPI(t)
	r := connect(t, api)
	r.send(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"clientInfo":{"name":"ide","version":"2"}}}`)
	frame := `{"params":{"arguments":{"b":1.0, "a":"\u00e9"} ,"name":"echo"},"method":"tools/call","id":1,"jsonrpc":"2.0"}`
	quoted, _ := json.Marshal(frame)
	if got := r.ask(1, frame); !strings.Contains(got, string(quoted)) {
		t.Errorf("the server got another frame: %s", got)
	}
	report := api.reported(0)
	if report["status"] != "executed" || report["result"] != nil || len(report["result_digest"].(string)) != 64 {
		t.Errorf("reported %v", report)
	}
	asked := api.started[0]
	if asked["tool"] != "srv.echo" || asked["agent"] != "coder" || asked["attach"] != true || asked["execution"] != "caller" {
		t.Errorf("asked for %v", asked)
	}
	if !strings.Contains(asked["description"].(string), "Says it again.") || asked["labels"].(map[string]any)["mcp_client"] != "ide 2" {
		t.Errorf("reviewers see %v", asked)
	}
}

func TestApprovedArgumentsRun(t *testing.T) {
	r := connect(t, newAPI(t))
	for n, frame := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other","arguments":{"to":"eve"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other", "arguments" : {} , "_meta":{}}}`,
	} {
		r.send("%s", frame) // the server does not list it, so people are asked
		r.api.until("the call", func() bool { return len(r.api.started) == n+1 })
		r.api.mu.Lock()
		r.api.calls[fmt.Sprint("pawl-", n)].args = json.RawMessage(`{"to": "bob"}`)
		r.api.mu.Unlock()
		r.api.decide(n, "approved")
		if got := r.next(`"id":1`); !strings.Contains(got, `\"to\": \"bob\"`) || strings.Contains(got, "eve") {
			t.Errorf("ran %s", got)
		}
		if text := r.api.started[n]["description"].(string); !strings.Contains(text, "does not list this tool") {
			t.Errorf("reviewers see %q", text)
		}
	}
}

// undo is in every answer by which the gateway itself keeps a tool from running, and in none that Pawl has
// given about a call.
const undo = "take the gateway out of the client's settings ('pawl mcp wrap --undo FILE', where 'wrap' put it there)."

// start is in those alone behind which Pawl is not there, or broken.
const start = "start Pawl ('pawl-dev', in its source 'make dev'), or " + undo

// Whatever goes wrong, nothing runs and the client is told why, and what to do.
func TestNothingRunsUnasked(t *testing.T) {
	plain := func(code int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}
	}
	closed := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	api := newAPI(t)
	r := connect(t, api)
	for n, c := range []struct {
		name string
		down http.HandlerFunc // those with one are first: the gateway has not seen a good API then
		args string
		want string
	}{
		{"an error of the API", plain(500, "application/problem+json", `{"detail":"broken","code":"internal"}`), `{}`, "broken"},
		{"no permission", plain(403, "application/problem+json", `{"detail":"no agent","code":"x"}`), `{}`, "no agent"},
		{"garbage", plain(200, "application/json", `{"x`), `{}`, "can't be used"},
		{"a page", plain(200, "text/html", `<html>`), `{}`, "not Pawl's API"},
		{"an old API", plain(200, "application/json", `{"version":"0.1"}`), `{}`, "upgrade it"},
		{"an answer that broke", closed, `{}`, "did not answer"},
		{"rejected", nil, `{"x":"reject"}`, `rejected this call.\nDecided by ana.\nNotes: not on Fridays\nCall ID: pawl-0`},
		{"started by another", nil, `{"x":"taken"}`, "Another request has started the same call, pawl-1"},
		{"a large integer", nil, `{"a":{"n":12345678901234567890}}`, "/a/n: the integer is beyond 2^53"},
		{"arguments of a list", nil, `[1]`, "args: must be a JSON object"},
		{"a key twice", nil, `{"a":1,"a":2}`, "given twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			api.mu.Lock()
			api.down = c.down
			api.mu.Unlock()
			got := r.ask(n+1, call(n+1, "echo", c.args))
			if !strings.Contains(got, c.want) || !strings.Contains(got, `"isError":true`) {
				t.Errorf("answered %s, want %q", got, c.want)
			}
			if byPawl := strings.Contains(c.want, "pawl-"); strings.Contains(got, undo) == byPawl {
				t.Errorf("answered %s", got)
			}
			if down := n == 0 || c.want == "did not answer"; strings.Contains(got, start) != down {
				t.Errorf("answered %s", got)
			}
			if runs := r.runs(); runs != "" {
				t.Errorf("%s ran", runs)
			}
		})
	}
	api.mu.Lock()
	api.down = nil
	api.mu.Unlock()
	for name, frame := range map[string]string{
		"a task":      strings.Replace(call(98, "echo", "{}"), `"name"`, `"task":{},"name"`, 1),
		"two methods": strings.Replace(call(98, "echo", "{}"), `"method"`, `"method":"ping","method"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			r.send("%s", frame)
			if got := r.next("Pawl did not forward this"); !strings.Contains(got, undo) ||
				strings.Contains(got, start) || r.runs() != "" {
				t.Errorf("answered %s, ran %q", got, r.runs())
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		api.Close()
		got := r.ask(99, call(99, "echo", "{}"))
		if !strings.Contains(got, "nothing answers at") || !strings.Contains(got, start) || r.runs() != "" {
			t.Errorf("answered %s, ran %q", got, r.runs())
		}
	})
}

// Frames that two readers understand differently, and calls that nobody could follow, are not forwarded.
func TestNothingIsSmuggledPast(t *testing.T) {
	r, next := connect(t, newAPI(t)), 100
	inner := `"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"echo","arguments":{"x":"reject"}}`
	for name, frame := range map[string]string{
		"a second method":        `{"method":"ping",` + inner + `}`,
		"a method in capitals":   `{"METHOD":"tools/call","jsonrpc":"2.0","id":9,"method":"ping","params":{"name":"echo"}}`,
		"a long s":               `{"param\u017f":{"name":"echo"},"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"die"}}`,
		"a batch":                `[{` + inner + `}]`,
		"an answer as well":      `{"result":{},` + inner + `}`,
		"two names":              `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"die","name":"echo"}}`,
		"a name in capitals":     `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"die","Name":"echo"}}`,
		"arguments twice":        `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"echo","arguments":{},"arguments":{}}}`,
		"a task":                 `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"echo","task":{}}}`,
		"no ID":                  `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}`,
		"an ID that is a list":   `{"jsonrpc":"2.0","id":[9],"method":"tools/call","params":{"name":"echo"}}`,
		"something after it":     `{"jsonrpc":"2.0","id":8,"method":"ping"} {` + inner + `}`,
		"a carriage return":      "{\"x\":\r{" + inner + "}\r,\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\"}",
		"an escaped method":      `{"jsonrpc":"2.0","id":9,"method":"tools\/\u0063all","params":{"name":"echo","arguments":{"x":"reject"}}}`,
		"input without question": `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"ask","inputResponses":{},"arguments":{"x":"reject"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			next += 10 // an ID that is in use would hide what becomes of the frame
			r.send("%s", strings.NewReplacer(`"id":8`, fmt.Sprintf(`"id":%d`, next), `"id":9`, fmt.Sprintf(`"id":%d`, next+1)).Replace(frame))
			r.ask(next+2, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"test/raw"}`, next+2))
			if runs := r.runs(); runs != "" {
				t.Errorf("%s ran", runs)
			}
		})
	}
}

// Without a public URL, the API that the gateway asks serves the page of each call.
func TestPendingCallsSayWhereTheyAreDecided(t *testing.T) {
	for _, private := range []bool{false, true} {
		api := newAPI(t)
		api.private = private
		page := "http://pawl/requests/pawl-0"
		if private {
			page = api.URL + "/requests/pawl-0"
		}
		r := connect(t, api, func(o *mcp.Options) { o.Wait = 50 * time.Millisecond })
		for text, got := range map[string]string{
			"Approve at: " + page:                         r.ask(1, call(1, "echo", `{"x":"wait"}`)),
			`Approve at: ` + page + `\nTo get its result`: r.ask(2, call(2, "pawl_approval_status", `{"id":"pawl-0"}`)),
		} {
			if !strings.Contains(got, text) {
				t.Errorf("private %v: answered %s", private, got)
			}
		}
	}
}

func TestPendingCallsAreTakenUpAgain(t *testing.T) {
	api := newAPI(t)
	r := connect(t, api, func(o *mcp.Options) { o.Wait = 50 * time.Millisecond })
	got := r.ask(1, call(1, "echo", `{"x":"wait"}`))
	if !strings.Contains(got, "Pending") || !strings.Contains(got, "http://pawl/requests/pawl-0") || strings.Contains(got, "isError") {
		t.Errorf("answered %s", got)
	}
	if got := r.ask(2, call(2, "pawl_approval_status", `{"id":"pawl-0"}`)); !strings.Contains(got, "Pending") {
		t.Errorf("answered %s", got)
	}
	api.decide(0, "approved")
	if got := r.ask(3, call(3, "pawl_approval_status", `{"id":"pawl-0"}`)); !strings.Contains(got, "is approved, and has not run") {
		t.Errorf("answered %s", got)
	}
	if r.runs() != "" {
		t.Error("it ran while nobody waited")
	}
	// Laid out otherwise, it is the same call.
	if got := r.ask(4, call(4, "echo", `{ "\u0078" : "wait" }`)); !strings.Contains(got, `"text":"{`) {
		t.Errorf("answered %s", got)
	}
	if len(api.started) != 1 || r.runs() != "echo" {
		t.Errorf("asked %d times, ran %q", len(api.started), r.runs())
	}
	// The permit is used up: the next one is asked about anew.
	if got := r.ask(5, call(5, "echo", `{"x":"wait"}`)); !strings.Contains(got, "Pending") || !strings.Contains(got, "pawl-1") {
		t.Errorf("answered %s", got)
	}
	// Without its declared shape a result would be dropped, unless it is an error.
	if got := r.ask(6, call(6, "shaped", `{"x":"wait"}`)); !strings.Contains(got, "Pending") || !strings.Contains(got, `"isError":true`) {
		t.Errorf("answered %s", got)
	}
}
