package mcp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
