package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/internal/cli/clitest"
)

// Without sign-in the gateway, like the API, is reached by this machine alone.
func TestListenRefusesOtherMachinesWithoutSignIn(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	api := clitest.NewAPI(t)
	api.On("GET /api/whoami", clitest.Reply(200,
		`{"subject":"local","kind":"person","roles":["agent"],"method":"none"}`))
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		clitest.CommandLine{API: api.URL}.Run(t, "mcp", "--server", "files", "--listen", address, "--", "server").Want(t, 2,
			nil, []string{"does not ask who its callers are", "127.0.0.1", "--auth"})
	}
}

// Several commands at once lose no server from the record, which --undo and hooks need.
func TestWrapAtOnce(t *testing.T) {
	_, record := settings(t, ".mcp.json", "{}")
	dir := t.TempDir()
	var all sync.WaitGroup
	for n := range 8 {
		file := filepath.Join(dir, fmt.Sprint(n))
		text := fmt.Sprintf(`{"mcpServers":{"a%d":{"command":"x"}}}`, n)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if r := (clitest.CommandLine{}).Run(t, "mcp", "wrap", file); r.Code != 0 {
				t.Errorf("%d %s", r.Code, r.Err)
			}
		})
	}
	all.Wait()
	if n := len(record().Servers); n != 8 {
		t.Errorf("%d servers are on record, want 8", n)
	}
}
