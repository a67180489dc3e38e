package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/nodetest"
	"github.com/pawlhq/pawl/dev/pythontest"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/mcp"
)

// gatewayWorld is a stack whose policy is for servers behind a gateway.
type gatewayWorld struct{ *world }

func newGatewayWorld(t *testing.T) gatewayWorld {
	return gatewayWorld{newWorld(t, func(c *stack.Config) {
		c.Policy = []string{write(t, t.TempDir(), "policy.yaml", `rules:
  - {tool: ["go.tool_*", "count.free_*"], auto_approve: true}
  - {tool: [every.echo, files.read_text_file], auto_approve: true}
  - {tool: every.get-env, deny: true}
  - {tool: "*", require_approval: true, timeout: 5m}
`)}
	})}
}

// gateway guards one server in this process.
func (w gatewayWorld) gateway(t *testing.T, name string, up mcp.Upstream, change ...func(*mcp.Options)) *mcp.Gateway {
	t.Helper()
	o := mcp.Options{Server: name, Agent: "coder", Upstream: up, Wait: time.Minute,
		API: func(string) (*client.Client, error) { return client.New(client.Options{URL: w.API}) }}
	for _, f := range change {
		f(&o)
	}
	g, err := mcp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGateway runs everything about the gateway at one stack.
func TestGateway(t *testing.T) {
	w := newGatewayWorld(t)
	t.Run("the new era", func(t *testing.T) { gatewayInTheNewEra(t, w) })
	t.Run("servers of others", func(t *testing.T) { gatewayWithServersOfOthers(t, w) })
	t.Run("faults", func(t *testing.T) { gatewayFaults(t, w) })
	t.Run("bad servers", func(t *testing.T) { gatewayWithBadServers(t, w) })
	t.Run("killed", func(t *testing.T) { gatewayKilled(t, w) })
	t.Run("restarted", func(t *testing.T) { gatewayRestarted(t, w) })
}

// stdio connects a client of the Go SDK by the gateway's standard streams.
func stdio(t *testing.T, g *mcp.Gateway) *sdk.ClientSession {
	t.Helper()
	in, to := io.Pipe()
	from, out := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- g.ServeStdio(context.WithoutCancel(t.Context()), in, out)
		_ = out.Close()
	}()
	c := sdk.NewClient(&sdk.Implementation{Name: "go-test", Version: "1"}, nil)
	cs, err := c.Connect(t.Context(), &sdk.IOTransport{Reader: from, Writer: to}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = to.Close()
		_ = cs.Close()
		<-served
	})
	return cs
}

// listens returns the address of a gateway that listens.
func listens(t *testing.T, g *mcp.Gateway) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	l := g.Listen(server.Listener.Addr().String())
	server.Config.Handler = l
	server.Start()
	t.Cleanup(func() {
		l.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL + "/mcp"
}

// approves approves the next call of a tool.
func (w gatewayWorld) approves(t *testing.T, tool string) {
	t.Helper()
	w.decides(t, tool, "approve")
}

func (w gatewayWorld) decides(t *testing.T, tool, how string) {
	t.Helper()
	waitFor(t, "a call of "+tool+" waits", func() bool {
		items, _ := w.http(http.MethodGet, w.API+"/api/requests?tool="+tool, "").doc["items"].([]any)
		for _, i := range items {
			if v, _ := i.(map[string]any); v["tool"] == tool {
				path := fmt.Sprintf("%s/api/requests/%v/%s", w.API, v["id"], how)
				code := w.http(http.MethodPost, path, `{}`, "X-Pawl-Reviewer", "ana").code
				return code == http.StatusOK || code == http.StatusAccepted
			}
		}
		return false
	})
}

// called calls a tool, and returns the text that it answers with.
func called(t *testing.T, cs *sdk.ClientSession, tool string, args map[string]any) (text string, isError bool) {
	t.Helper()
	res, err := cs.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		t.Errorf("%s: %v", tool, err)
		return "", true
	}
	for _, c := range res.Content {
		if said, ok := c.(*sdk.TextContent); ok {
			text += said.Text
		}
	}
	return text, res.IsError
}

// goServer is a server on the newest SDK, which speaks the newest protocol, with 200 tools.
func goServer(t *testing.T) (url string, ran *atomic.Int64) {
	t.Helper()
	ran = new(atomic.Int64)
	server := sdk.NewServer(&sdk.Implementation{Name: "go", Version: "1"}, nil)
	for i := range 200 {
		name := fmt.Sprintf("tool_%03d", i)
		if i == 199 {
			name = "asked"
		}
		server.AddTool(&sdk.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)},
			func(_ context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
				ran.Add(1)
				return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: name + string(r.Params.Arguments)}}}, nil
			})
	}
	web := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server },
		&sdk.StreamableHTTPOptions{Stateless: true}))
	t.Cleanup(web.Close)
	return web.URL, ran
}

// The gateway in front of a server of the newest protocol: both ends speak that through it.
func gatewayInTheNewEra(t *testing.T, w gatewayWorld) {
	url, ran := goServer(t)
	g := w.gateway(t, "go", mcp.Remote(url, nil))
	over := map[string]*sdk.ClientSession{"stdio": stdio(t, g)}
	c := sdk.NewClient(&sdk.Implementation{Name: "go-test", Version: "1"}, nil)
	cs, err := c.Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: listens(t, g)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close()
	over["http"] = cs
	for name, cs := range over {
		t.Run(name, func(t *testing.T) {
			if v := cs.InitializeResult().ProtocolVersion; v != "2026-07-28" {
				t.Errorf("they speak %s", v)
			}
			seen := map[string]bool{}
			for tool, err := range cs.Tools(t.Context(), nil) {
				if err != nil {
					t.Fatal(err)
				}
				seen[tool.Name] = true
			}
			if len(seen) != 201 || !seen["pawl_approval_status"] {
				t.Errorf("%d tools are listed", len(seen))
			}
			before := ran.Load()
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					tool := fmt.Sprintf("tool_%03d", i)
					if got, isError := called(t, cs, tool, map[string]any{"n": i}); isError || got != fmt.Sprintf(`%s{"n":%d}`, tool, i) {
						t.Errorf("%s answered %q", tool, got)
					}
				})
			}
			all.Wait()
			if n := ran.Load() - before; n != 50 {
				t.Errorf("%d calls ran, not 50", n)
			}
			all.Go(func() {
				if got, isError := called(t, cs, "asked", map[string]any{"x": "y"}); isError || got != `asked{"x":"y"}` {
					t.Errorf("answered %q", got)
				}
			})
			w.approves(t, "go.asked")
			all.Wait()
		})
	}
}

// Servers from npm, which speak the protocol before, driven by the SDKs for Go, Python and TypeScript.
func gatewayWithServersOfOthers(t *testing.T, w gatewayWorld) {
	dir := nodetest.Install(t, "mcp")
	python := pythontest.InstallFrom(t, "mcp/requirements.txt")
	program := func(name string) string {
		return filepath.Join(dir, "node_modules", "@modelcontextprotocol", name, "dist", "index.js")
	}
	every := w.gateway(t, "every", mcp.Child([]string{"node", program("server-everything")}, os.Environ(), io.Discard))

	t.Run("Go", func(t *testing.T) {
		cs := stdio(t, every)
		if v := cs.InitializeResult().ProtocolVersion; v >= "2026" {
			t.Errorf("they speak %s", v)
		}
		if got, isError := called(t, cs, "echo", map[string]any{"message": "hi"}); isError || got != "Echo: hi" {
			t.Errorf("echo answered %q", got)
		}
		if got, isError := called(t, cs, "get-env", nil); !isError || !strings.Contains(got, "policy does not allow") {
			t.Errorf("get-env answered %q", got)
		}
	})
	url := listens(t, every)
	for name, command := range map[string][]string{
		"Python":     {python, filepath.Join(dir, "client.py"), url},
		"TypeScript": {"node", filepath.Join(dir, "client.mjs"), url},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
			var said, trouble strings.Builder
			cmd.Stdout, cmd.Stderr = &said, &trouble
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.approves(t, "every.get-sum")
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, trouble.String())
			}
			var seen struct {
				Version           string
				Tools             []string
				Echo, Denied, Sum string
			}
			if err := json.Unmarshal([]byte(said.String()), &seen); err != nil {
				t.Fatalf("%v: %s", err, said.String())
			}
			if seen.Version == "" || seen.Version >= "2026" {
				t.Errorf("they speak %q, which the server does not", seen.Version)
			}
			if len(seen.Tools) < 10 || seen.Tools[0] != "pawl_approval_status" || seen.Echo != "Echo: hi" ||
				!strings.Contains(seen.Denied, "policy does not allow") || seen.Sum != "The sum of 1 and 2 is 3." {
				t.Errorf("it saw %+v", seen)
			}
		})
	}

	t.Run("files", func(t *testing.T) {
		work := t.TempDir()
		command := []string{"node", program("server-filesystem"), work}
		cs := stdio(t, w.gateway(t, "files", mcp.Child(command, os.Environ(), io.Discard)))
		path := filepath.Join(work, "note.txt")
		var all sync.WaitGroup
		all.Go(func() {
			if got, isError := called(t, cs, "write_file", map[string]any{"path": path, "content": "hello"}); isError {
				t.Errorf("write_file answered %q", got)
			}
		})
		w.approves(t, "files.write_file")
		all.Wait()
		if got, isError := called(t, cs, "read_text_file", map[string]any{"path": path}); isError || !strings.Contains(got, "hello") {
			t.Errorf("read_text_file answered %q", got)
		}
	})
}
