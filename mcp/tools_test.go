package mcp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/mcp"
)

func TestListGainsOneTool(t *testing.T) {
	r := connect(t, newAPI(t))
	got := r.ask(1, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	want := `{"jsonrpc":"2.0","id":1,"result":{ "tools" : [{"name":"pawl_approval_status",`
	if !strings.HasPrefix(got, want) || !strings.Contains(got, `},{"name":"echo",`) ||
		!strings.Contains(got, `"maximum":12345678901234567890`) || !strings.HasSuffix(got, `], "nextCursor" : "2" }}`) {
		t.Errorf("listed %s", got)
	}
	got = r.ask(2, `{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"cursor":"2"}}`)
	if strings.Contains(got, "pawl_approval_status") || !strings.Contains(got, `"fail"`) {
		t.Errorf("page two: %s", got)
	}
}

// A server that changes what it says of a tool has people asked, who are shown the change, until they
// approve a call of it.
func TestChangedToolsAreShown(t *testing.T) {
	api := newAPI(t)
	file := filepath.Join(t.TempDir(), "sub", "pins.json")
	pinned := func(o *mcp.Options) { o.Pins = file }
	r := connect(t, api, pinned)
	r.ask(1, call(1, "echo", `{}`))
	if api.started[0]["require_approval"] != nil {
		t.Errorf("asked for %v", api.started[0])
	}
	r.send(`{"jsonrpc":"2.0","method":"test/change"}`)
	r.next("list_changed")
	r.send("%s", call(2, "echo", `{}`))
	api.until("the call", func() bool { return len(api.started) == 2 })
	asked := api.started[1]
	text := asked["description"].(string)
	if asked["require_approval"] != true || !strings.Contains(text, "Description was: Says it again.") ||
		!strings.Contains(text, "Description is: Deletes everything.") || strings.Contains(text, "Schema") {
		t.Errorf("asked for %v", asked)
	}
	api.decide(1, "approved")
	r.next(`"id":2`)
	r.ask(3, call(3, "echo", `{}`))
	if api.started[2]["require_approval"] != nil {
		t.Errorf("asked again for %v", api.started[2])
	}

	// It outlasts the process: here the old words are the change.
	again := connect(t, api, pinned)
	again.send("%s", call(1, "echo", `{}`))
	api.until("the call", func() bool { return len(api.started) == 4 })
	if text := api.started[3]["description"].(string); !strings.Contains(text, "Description is: Says it again.") {
		t.Errorf("reviewers see %q", text)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t, api, "x")
	pinned(&o)
	if _, err := mcp.New(o); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a damaged file was read: %v", err)
	}
}

// A call that waits is taken up again only where people saw what the tool says of itself now.
func TestToolsThatChangeWhileACallWaits(t *testing.T) {
	api := newAPI(t)
	r := connect(t, api, func(o *mcp.Options) {
		o.Pins, o.Wait = filepath.Join(t.TempDir(), "pins.json"), 50*time.Millisecond
	})
	r.ask(1, call(1, "echo", `{}`))
	waits := func(id, asked int, says string) {
		t.Helper()
		if got := r.ask(id, call(id, "echo", `{}`)); !strings.Contains(got, "Approve at") {
			t.Errorf("answered %s", got)
		}
		if len(api.started) != asked {
			t.Fatalf("asked %d times, want %d", len(api.started), asked)
		}
		if text := api.started[asked-1]["description"].(string); !strings.Contains(text, "Description is: "+says) {
			t.Errorf("reviewers see %q", text)
		}
	}
	r.send(`{"jsonrpc":"2.0","method":"test/change"}`)
	r.next("list_changed")
	waits(2, 2, "Deletes everything.")
	waits(3, 2, "Deletes everything.")
	r.send(`{"jsonrpc":"2.0","method":"test/change","params":{"name":"again"}}`)
	r.next("list_changed")
	waits(4, 3, "Sends everything away.")
	for n, name := range []string{"long 1", "long 2"} {
		r.send(`{"jsonrpc":"2.0","method":"test/change","params":{"name":%q}}`, name)
		r.next("list_changed")
		waits(5+n, 4+n, "Reads everything.")
	}
}

// Two clients of one server have a gateway each, and one file: what one pins the other knows.
func TestGatewaysShareWhatTheyKeep(t *testing.T) {
	api := newAPI(t)
	file := filepath.Join(t.TempDir(), "pins.json")
	pinned := func(o *mcp.Options) { o.Pins = file }
	one, other := connect(t, api, pinned), connect(t, api, pinned)
	asks := func(r *rig, id, n int, tool string, decided string) (people bool) {
		t.Helper()
		r.send("%s", call(id, tool, `{}`))
		api.until("the call", func() bool { return len(api.started) == n+1 })
		people = api.started[n]["require_approval"] == true
		if people {
			api.decide(n, decided)
		}
		r.next(fmt.Sprintf(`"id":%d`, id))
		return people
	}
	for n, tool := range []string{"echo", "env"} { // each pins one, without having read the other's
		if asks([]*rig{one, other}[n], 1, n, tool, "") {
			t.Errorf("people were asked about %s", tool)
		}
	}
	doc, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(doc), `"echo"`) || !strings.Contains(string(doc), `"env"`) {
		t.Fatalf("kept %s, %v", doc, err)
	}
	for _, r := range []*rig{one, other} {
		r.send(`{"jsonrpc":"2.0","method":"test/change"}`)
		r.next("list_changed")
	}
	if !asks(other, 2, 2, "echo", "rejected") { // which it has never called itself
		t.Error("a change was taken for a new tool")
	}
	if !asks(one, 2, 3, "echo", "approved") {
		t.Error("a change that was rejected by the way was taken for known")
	}
	if asks(other, 3, 4, "echo", "") {
		t.Error("people were asked again about what they approved through the other gateway")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	asks(one, 3, 5, "fail", "")
	if doc, _ := os.ReadFile(file); !strings.Contains(string(doc), `"echo"`) {
		t.Errorf("what was known is gone with the file: %s", doc)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !asks(other, 4, 6, "echo", "approved") {
		t.Error("people were not asked, though nobody can tell whether the tool changed")
	}
}

// Many gateways at once lose nothing.
func TestGatewaysKeepAtOnce(t *testing.T) {
	api := newAPI(t)
	file := filepath.Join(t.TempDir(), "pins.json")
	tools := []string{"echo", "env", "shaped", "flood", "fail", "wrong"}
	rigs := make([]*rig, len(tools))
	for i := range rigs {
		rigs[i] = connect(t, api, func(o *mcp.Options) { o.Pins = file })
	}
	for i, r := range rigs {
		r.send("%s", call(1, tools[i], `{}`))
	}
	for _, r := range rigs {
		r.next(`"id":1`)
	}
	doc, err := os.ReadFile(file)
	for _, tool := range tools {
		if err != nil || !strings.Contains(string(doc), `"`+tool+`"`) {
			t.Errorf("%s is lost: %s, %v", tool, doc, err)
		}
	}
}

// Pawl hears of the server's tools once, with the schemas that it can use, and again when they change or
// it has lost them.
func TestPawlHearsOfTheTools(t *testing.T) {
	api := newAPI(t)
	r := connect(t, api)
	offered := func(want int) string {
		t.Helper()
		api.mu.Lock()
		defer api.mu.Unlock()
		if len(api.offered) != want {
			t.Fatalf("offered %d times, want %d: %q", len(api.offered), want, api.offered)
		}
		return api.offered[want-1]
	}
	for id := range 3 {
		r.send("%s", call(id+1, "echo", fmt.Sprintf(`{"n":%d}`, id)))
	}
	for id := range 3 {
		api.reported(id)
	}
	want := `coder tools {"source":"mcp:srv","tools":[{"name":"srv.ask"},{"name":"srv.die"},{"name":"srv.echo"},{"name":"srv.env"},` +
		`{"name":"srv.fail"},{"name":"srv.flood"},{"name":"srv.hang"},{"name":"srv.shaped","schema":{"type":"object"}},{"name":"srv.wrong"}]}`
	if got := offered(1); got != want {
		t.Errorf("offered %s\nwant    %s", got, want)
	}
	r.send(`{"jsonrpc":"2.0","method":"test/change"}`)
	r.next("list_changed")
	r.ask(11, call(11, "env", `{}`))
	offered(2)
	r.ask(12, call(12, "shaped", `{"x":"unchecked"}`))
	offered(2)
	r.ask(13, call(13, "shaped", `{"x":"unchecked"}`))
	offered(3)
}

// Without an agent of its own a gateway asks as the one that its token is for.
func TestTheTokensAgentAsks(t *testing.T) {
	for who, want := range map[string]any{
		`{}`: "mcp", `{"agents":["coder"]}`: "coder", `{"agents":["a","b"]}`: nil,
	} {
		api := newAPI(t)
		api.who = who
		r := connect(t, api, func(o *mcp.Options) { o.Agent = "" })
		r.ask(1, call(1, "echo", `{}`))
		api.reported(0)
		if got := api.started[0]["agent"]; got != want || (len(api.offered) == 1) != (want != nil) {
			t.Errorf("%s: %v asks, offered %q", who, got, api.offered)
		}
	}
}
