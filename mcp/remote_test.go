package mcp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/mcp"
)

// webServer is a server by Streamable HTTP, whose tools are named for how it answers.
type webServer struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // methods of HTTP and JSON-RPC, with headers that matter
}

func newWebServer(t *testing.T) *webServer {
	w := &webServer{}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (s *webServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	frame := string(body)
	s.mu.Lock()
	s.seen = append(s.seen, fmt.Sprintf("%s %s session=%s version=%s method=%s name=%s after=%s key=%s", r.Method, frame,
		r.Header.Get("Mcp-Session-Id"), r.Header.Get("Mcp-Protocol-Version"), r.Header.Get("Mcp-Method"),
		r.Header.Get("Mcp-Name"), r.Header.Get("Last-Event-ID"), r.Header.Get("X-Key")))
	s.mu.Unlock()
	reply := func(code int, kind, text string) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
		fmt.Fprint(w, text)
	}
	done := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"done"}]}}`
	has := func(tool string) bool { return strings.Contains(frame, `"name":"`+tool+`"`) }
	switch {
	case r.Method == http.MethodDelete:
	case r.Method == http.MethodGet && r.Header.Get("Last-Event-ID") == "e1":
		reply(200, "text/event-stream", "id: e2\ndata: "+done+"\n\n")
	case r.Method == http.MethodGet:
		reply(200, "text/event-stream", ": hello\n\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"test/unasked\"}\n\n")
	case strings.Contains(frame, "initialize\""):
		w.Header().Set("Mcp-Session-Id", "s7")
		reply(200, "application/json", `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}`)
	case strings.Contains(frame, "tools/list"):
		_, id, _ := strings.Cut(frame, `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		reply(200, "application/json", `{"jsonrpc":"2.0","id":"`+id+`","result":{"tools":[{"name":"json"},{"name":"stream"},`+
			`{"name":"resume"},{"name":"broken"},{"name":"cut"},{"name":"refused"},{"name":"moved"},{"name":"new"},{"name":"says"},{"name":"session"},{"name":"busy"},{"name":"done"},{"name":"given-up"}]}}`)
	case !strings.Contains(frame, `"id":`):
		w.WriteHeader(202)
	case has("json"), has("new"):
		reply(200, "application/json", done)
	case has("stream"):
		reply(200, "text/event-stream", "event: message\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\r\n\r\ndata: "+
			done+"\r\n\r\n")
	case has("resume"):
		reply(200, "text/event-stream", "id: e1\ndata:\n\n")
	case has("broken"):
		reply(500, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"sorry"}}`)
	case has("cut"):
		reply(200, "text/event-stream", "data: {\"json")
	case has("says"):
		reply(400, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such thing"}}`)
	case has("session"):
		reply(404, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"no such session"}}`)
	case has("done"):
		reply(404, "application/json", done)
	case has("busy"):
		reply(429, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"slowly"}}`)
	case has("given-up"):
		reply(499, "text/plain", "")
	case has("moved"):
		w.Header().Set("Location", "/elsewhere")
		reply(307, "text/plain", "")
	default:
		reply(404, "text/plain", "gone")
	}
}

func TestRemoteServers(t *testing.T) {
	for tool, c := range map[string]struct{ answer, status string }{
		"json":     {"done", "executed"},
		"stream":   {"done", "executed"},
		"resume":   {"done", "executed"},
		"broken":   {"It may have run", "outcome_unknown"},
		"cut":      {"It may have run", "outcome_unknown"},
		"moved":    {"It may have run", "outcome_unknown"},
		"says":     {"no such thing", "failed"},
		"session":  {"did not take it: HTTP status 404 (Not Found): no such session", "not_run"},
		"done":     {"done", "executed"}, // whatever its status says
		"busy":     {"It may have run", "outcome_unknown"},
		"given-up": {"It may have run", "outcome_unknown"},
		"refused":  {"Not run: the server did not take it: HTTP status 404 (Not Found)\\nCall ID", "not_run"},
	} {
		t.Run(tool, func(t *testing.T) {
			web, api := newWebServer(t), newAPI(t)
			r := connect(t, api, func(o *mcp.Options) {
				o.Upstream = mcp.Remote(web.URL, http.Header{"X-Key": {"k1"}})
			})
			r.ask(0, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`)
			r.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
			r.next("test/unasked")
			if got := r.ask(1, call(1, tool, "{}")); !strings.Contains(got, c.answer) {
				t.Errorf("answered %s", got)
			}
			if report := api.reported(0); report["status"] != c.status {
				t.Errorf("reported %v", report)
			}
			_ = r.to.Close()
			err := <-r.ended
			r.ended <- err
			web.mu.Lock()
			defer web.mu.Unlock()
			all, ran := strings.Join(web.seen, "\n"), 0
			for _, s := range web.seen {
				if strings.Contains(s, "tools/call") {
					ran++
				}
				if !strings.Contains(s, "key=k1") {
					t.Errorf("without its header: %s", s)
				}
			}
			if ran != 1 || !strings.Contains(all, "DELETE  session=s7 version=2025-11-25") {
				t.Errorf("the server saw\n%s", all)
			}
		})
	}
}

func TestRemoteServerThatIsNotThere(t *testing.T) {
	web, api := newWebServer(t), newAPI(t)
	web.Close()
	r := connect(t, api, func(o *mcp.Options) { o.Upstream = mcp.Remote(web.URL, nil) })
	if got := r.ask(1, `{"jsonrpc":"2.0","id":1,"method":"ping"}`); !strings.Contains(got, "gave no answer: dial tcp") {
		t.Errorf("answered %s", got)
	}
	r.send("%s", call(2, "json", "{}"))
	api.until("the call", func() bool { return len(api.started) == 1 }) // people are asked: nobody lists the tool
	api.decide(0, "approved")
	if got := r.next(`"id":2`); !strings.Contains(got, "Not run") {
		t.Errorf("answered %s", got)
	}
	if report := api.reported(0); report["status"] != "not_run" {
		t.Errorf("reported %v", report)
	}
}

func TestNewEraHeaders(t *testing.T) {
	web, api := newWebServer(t), newAPI(t)
	r := connect(t, api, func(o *mcp.Options) { o.Upstream = mcp.Remote(web.URL, nil) })
	r.ask(1, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"new","arguments":{},`+
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"n"}}}}`)
	web.mu.Lock()
	defer web.mu.Unlock()
	all := strings.Join(web.seen, "\n")
	for _, want := range []string{"version=2026-07-28 method=tools/call name=new", "version=2026-07-28 method=tools/list name= "} {
		if !strings.Contains(all, want) {
			t.Errorf("the server saw\n%s", all)
		}
	}
	if api.started[0]["labels"].(map[string]any)["mcp_client"] != "n" {
		t.Errorf("reviewers see %v", api.started[0])
	}
}
