package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/mcp"
	"github.com/pawlhq/pawl/store"
)

// Settings of the child processes of TestGateway.
const (
	gatewayAPI = "PAWL_E2E_GATEWAY_API" // it is a gateway, and asks there
	serverDir  = "E2E_SERVER_DIR"       // it is a server, and writes down there what ran
	serverDeaf = "E2E_SERVER_DEAF"      // it never answers
)

// TestGatewayProcess is a gateway, or the server behind one. It does nothing unless TestGateway runs it.
func TestGatewayProcess(t *testing.T) {
	api, dir := os.Getenv(gatewayAPI), os.Getenv(serverDir)
	switch {
	case api != "":
		g, err := mcp.New(mcp.Options{
			Server: "count", Agent: "coder", ReportWithin: time.Second, Wait: time.Minute,
			Upstream: mcp.Child(itself, os.Environ(), os.Stderr),
			Logger:   slog.New(slog.NewTextHandler(os.Stderr, nil)),
			API:      func(string) (*client.Client, error) { return client.New(client.Options{URL: api}) },
		})
		if err == nil {
			ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
			defer stop()
			err = g.ServeStdio(ctx, os.Stdin, os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(0)
	case dir != "":
		if os.Getenv(serverDeaf) != "" {
			select {}
		}
		_ = countingServer(dir).Run(t.Context(), &sdk.StdioTransport{}) // until the gateway goes
		os.Exit(0)
	}
}

var itself = []string{os.Args[0], "-test.run=^TestGatewayProcess$"}

// countingServer writes down each run of a tool, and then does what the tool is named for.
func countingServer(dir string) *sdk.Server {
	server := sdk.NewServer(&sdk.Implementation{Name: "count", Version: "1"}, nil)
	for name, act := range map[string]func(context.Context){
		"free_note": func(context.Context) {},
		"free_die":  func(context.Context) { os.Exit(3) },
		"free_hang": func(ctx context.Context) { <-ctx.Done() },
		"free_flood": func(context.Context) {
			noise := bytes.Repeat([]byte("noise\n"), 1000)
			for range 1000 {
				_, _ = os.Stderr.Write(noise)
			}
		},
		"ask_note": func(context.Context) {},
		"ask_hang": func(ctx context.Context) { <-ctx.Done() },
	} {
		server.AddTool(&sdk.Tool{Name: name, InputSchema: map[string]any{"type": "object"}},
			func(ctx context.Context, _ *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
				f, err := os.OpenFile(filepath.Join(dir, "ran"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
				if err != nil {
					return nil, err
				}
				defer f.Close()
				if _, err := fmt.Fprintln(f, name); err != nil {
					return nil, err
				}
				act(ctx)
				return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "did " + name}}}, nil
			})
	}
	return server
}

func ran(dir string) int {
	doc, _ := os.ReadFile(filepath.Join(dir, "ran"))
	return bytes.Count(doc, []byte("\n"))
}

// process is a gateway in a process of its own, before a server that is one, too.
func (w gatewayWorld) process(t *testing.T, dir string) (*exec.Cmd, *sdk.ClientSession) {
	t.Helper()
	cmd := exec.Command(itself[0], itself[1:]...)
	cmd.Env = append(os.Environ(), gatewayAPI+"="+w.API, serverDir+"="+dir)
	cmd.Stderr = io.Discard
	c := sdk.NewClient(&sdk.Implementation{Name: "go-test", Version: "1"}, nil)
	cs, err := c.Connect(t.Context(), &sdk.CommandTransport{Command: cmd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cs.Close() })
	return cmd, cs
}

// calls are those of a tool, the newest first.
func (w gatewayWorld) calls(t *testing.T, tool string) []approval.View {
	t.Helper()
	page, err := w.Store.Calls(t.Context(), store.CallQuery{Tool: tool})
	if err != nil {
		t.Error(err)
	}
	return page.Items
}

// A gateway that is killed while people think, or while the tool runs, runs nothing again when it is
// started again.
func gatewayKilled(t *testing.T, w gatewayWorld) {
	for _, tool := range []string{"free_hang", "ask_hang"} {
		t.Run("mid-tool, "+tool, func(t *testing.T) {
			t.Parallel()
			dir, about := t.TempDir(), "count."+tool
			args := map[string]any{"in": t.Name()}
			gateway, cs := w.process(t, dir)
			answered := make(chan error, 1)
			go func() {
				_, err := cs.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: args})
				answered <- err
			}()
			if tool == "ask_hang" {
				w.approves(t, about)
			}
			waitFor(t, "the tool runs", func() bool { return ran(dir) == 1 })
			_ = gateway.Process.Kill()
			if err := <-answered; err == nil {
				t.Error("the client got a result")
			}
			w.knowsNot(t, about)
			_, cs = w.process(t, dir)
			if got, isError := called(t, cs, "free_note", args); isError || got != "did free_note" {
				t.Errorf("after the restart: %q", got)
			}
			if n := ran(dir); n != 2 {
				t.Errorf("%d calls ran, not 2", n)
			}
			if tool != "ask_hang" {
				return
			}
			// The same call again is another one: people are asked about it.
			all := make(chan string, 1)
			go func() {
				got, _ := called(t, cs, tool, args)
				all <- got
			}()
			w.decides(t, about, "reject")
			if got := <-all; !strings.Contains(got, "rejected") || ran(dir) != 2 {
				t.Errorf("answered %q, %d calls ran", got, ran(dir))
			}
		})
	}
}

// A gateway that ends while people think takes the call up when it is started again: they are not asked
// anew, and what they approved meanwhile runs once.
func gatewayRestarted(t *testing.T, w gatewayWorld) {
	dir, about := t.TempDir(), "count.ask_note"
	args := map[string]any{"in": t.Name()}
	gateway, cs := w.process(t, dir)
	answered := make(chan error, 1)
	go func() {
		_, err := cs.CallTool(t.Context(), &sdk.CallToolParams{Name: "ask_note", Arguments: args})
		answered <- err
	}()
	waitFor(t, "it waits", func() bool {
		all := w.calls(t, about)
		return len(all) == 1 && all[0].Status == approval.StatusPending
	})
	_ = gateway.Process.Signal(os.Interrupt)
	if err := <-answered; err == nil {
		t.Error("the client got a result")
	}
	w.approves(t, about)
	_, cs = w.process(t, dir)
	if got, isError := called(t, cs, "ask_note", args); isError || got != "did ask_note" || ran(dir) != 1 {
		t.Errorf("answered %q, %d calls ran", got, ran(dir))
	}
	if all := w.calls(t, about); len(all) != 1 || all[0].SchemaUnknown {
		t.Errorf("people were asked of %v", all)
	}
}

// Servers that hang, flood their standard error or die: no other call is touched, and Pawl knows what
// nobody can tell.
func gatewayWithBadServers(t *testing.T, w gatewayWorld) {
	bad := func(t *testing.T, env ...string) (dir string, g *mcp.Gateway) {
		dir = t.TempDir()
		env = append(append(os.Environ(), serverDir+"="+dir), env...)
		return dir, w.gateway(t, "count", mcp.Child(itself, env, io.Discard),
			func(o *mcp.Options) { o.ReportWithin = 2 * time.Second })
	}
	t.Run("deaf", func(t *testing.T) {
		t.Parallel()
		_, g := bad(t, serverDeaf+"=1")
		in, to := io.Pipe()
		from, out := io.Pipe()
		served := make(chan error, 1)
		go func() { served <- g.ServeStdio(t.Context(), in, out) }()
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := sdk.NewClient(&sdk.Implementation{Name: "go-test", Version: "1"}, nil)
		if _, err := c.Connect(soon, &sdk.IOTransport{Reader: from, Writer: to}, nil); err == nil {
			t.Error("it was connected")
		}
		_ = to.Close()
		if err := <-served; err != nil { // which ends the server
			t.Error(err)
		}
	})
	t.Run("hang", func(t *testing.T) {
		t.Parallel()
		dir, g := bad(t)
		cs := stdio(t, g)
		soon, cancel := context.WithCancel(t.Context())
		hangs := make(chan error, 1)
		go func() {
			_, err := cs.CallTool(soon, &sdk.CallToolParams{Name: "free_hang", Arguments: map[string]any{}})
			hangs <- err
		}()
		waitFor(t, "it hangs", func() bool { return ran(dir) == 1 })
		if got, isError := called(t, cs, "free_note", nil); isError || got != "did free_note" {
			t.Errorf("another call answered %q", got)
		}
		w.knowsNot(t, "count.free_hang")
		cancel() // the server hears of it
		if err := <-hangs; err == nil {
			t.Error("the client got a result")
		}
	})
	t.Run("flood", func(t *testing.T) {
		t.Parallel()
		dir, g := bad(t)
		if got, isError := called(t, stdio(t, g), "free_flood", nil); isError || got != "did free_flood" || ran(dir) != 1 {
			t.Errorf("answered %q, %d calls ran", got, ran(dir))
		}
	})
	t.Run("die", func(t *testing.T) {
		t.Parallel()
		dir, g := bad(t)
		got, isError := called(t, stdio(t, g), "free_die", nil)
		if !isError || !strings.Contains(got, "may have run") || ran(dir) != 1 {
			t.Errorf("answered %q, %d calls ran", got, ran(dir))
		}
		w.knowsNot(t, "count.free_die")
	})
}

// knowsNot waits until the outcome of a tool's newest call is unknown.
func (w gatewayWorld) knowsNot(t *testing.T, tool string) {
	t.Helper()
	waitFor(t, "the outcome of "+tool+" is unknown", func() bool {
		all := w.calls(t, tool)
		return len(all) > 0 && all[0].Status == approval.StatusOutcomeUnknown
	})
}
