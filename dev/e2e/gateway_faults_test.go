package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/mcp"
)

// gatewayFault is what becomes of a request to Pawl's API. Without an answer it is sent on.
type gatewayFault func(*http.Request) (*http.Response, error)

// detour is a gateway's way to the API. While on says so of a request, that meets a fault: instead of
// being sent, or afterwards.
type detour struct {
	fault gatewayFault
	after bool
	on    atomic.Pointer[func(*http.Request) bool]
	polls atomic.Int64 // for a call's state
}

func (d *detour) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/api/calls/") {
		d.polls.Add(1)
	}
	on := d.on.Load()
	if on == nil || !(*on)(r) {
		return http.DefaultTransport.RoundTrip(r)
	}
	if d.after {
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	return d.fault(r)
}

func (d *detour) meets(on func(*http.Request) bool) { d.on.Store(&on) }

func always(*http.Request) bool { return true }

func starts(r *http.Request) bool  { return strings.HasSuffix(r.URL.Path, "/start") }
func reports(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/outcome") }

// apiFaults are those of the table in docs/mcp.md.
func apiFaults(t *testing.T) map[string]gatewayFault {
	answers := func(code int, kind, body string) gatewayFault {
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", kind)
			rw.WriteHeader(code)
			fmt.Fprint(rw, body)
		}))
		t.Cleanup(server.Close)
		return elsewhere(server.Listener.Addr().String())
	}
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then a server sees that its client has gone
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	breaks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(breaks.Close)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	return map[string]gatewayFault{
		"nothing listens":       elsewhere(nobody.Addr().String()),
		"the connection breaks": elsewhere(breaks.Listener.Addr().String()),
		"no answer in time":     elsewhere(hangs.Listener.Addr().String()),
		"500":                   answers(500, "application/problem+json", `{"code":"internal","detail":"broken"}`),
		"garbage":               answers(200, "application/json", `{"id`),
		"the gateway panics":    func(*http.Request) (*http.Response, error) { panic("a fault of ours") },
	}
}

func elsewhere(address string) gatewayFault {
	return func(r *http.Request) (*http.Response, error) {
		away := r.Clone(r.Context())
		away.URL.Host = address
		return http.DefaultTransport.RoundTrip(away)
	}
}

// When nothing of Pawl's can be relied on, nothing runs; and once all is well again, what was approved
// runs once, when its client asks for it.
func gatewayFaults(t *testing.T, w gatewayWorld) {
	moments := map[string]func(*testing.T, gatewayFault) *faultyGateway{
		"before it asks": func(t *testing.T, fault gatewayFault) *faultyGateway {
			f := w.faulty(t, fault, "free", false)
			f.meets(always)
			f.refuses(t)
			if all := w.calls(t, f.about); len(all) > 0 {
				t.Errorf("Pawl knows of %v", all)
			}
			return f
		},
		"while people think": func(t *testing.T, fault gatewayFault) *faultyGateway {
			f := w.faulty(t, fault, "ask", false)
			answered := f.ask(t)
			waitFor(t, "it waits", func() bool { return f.polls.Load() > 0 })
			f.meets(always)
			w.approves(t, f.about)
			<-answered
			return f
		},
		"when it starts": func(t *testing.T, fault gatewayFault) *faultyGateway {
			f := w.faulty(t, fault, "free", false)
			f.meets(starts)
			f.refuses(t)
			return f
		},
		"after it started": func(t *testing.T, fault gatewayFault) *faultyGateway {
			f := w.faulty(t, fault, "free", true)
			f.meets(starts)
			f.refuses(t)
			return f
		},
	}
	var all sync.WaitGroup // they wait much, and do little
	for name, fault := range apiFaults(t) {
		ours := name == "the gateway panics"
		for moment, meet := range moments {
			all.Go(func() {
				t.Run(name+", "+moment, func(t *testing.T) {
					f := meet(t, fault)
					if n := f.ran.Load(); n != 0 {
						t.Errorf("it ran %d times", n)
					}
					f.on.Store(nil)
					if ours && moment != "before it asks" {
						return // the gateway has forgotten what it was about
					}
					// Nothing runs by itself. When the client repeats its call, that runs once.
					waitFor(t, "all is well", func() bool { return <-f.ask(t) == "ran" })
					if n := f.ran.Load(); n != 1 {
						t.Errorf("it ran %d times", n)
					}
				})
			})
		}
		if ours { // nothing catches it there
			continue
		}
		all.Go(func() {
			t.Run(name+", when it reports", func(t *testing.T) {
				f := w.faulty(t, fault, "free", false)
				f.meets(reports)
				waitFor(t, "it runs", func() bool { return <-f.ask(t) == "ran" })
				if n := f.ran.Load(); n != 1 {
					t.Errorf("it ran %d times", n)
				}
				f.on.Store(nil)
				waitFor(t, "it is reported", func() bool {
					all := w.calls(t, f.about)
					return len(all) > 0 && all[0].Status == approval.StatusExecuted
				})
			})
		})
	}
	all.Wait()
}

// faultyGateway is a client before a gateway before a server with one tool.
type faultyGateway struct {
	*detour
	cs          *sdk.ClientSession
	tool, about string // the latter in Pawl
	ran         atomic.Int64
}

var faulties atomic.Int64

func (w gatewayWorld) faulty(t *testing.T, fault gatewayFault, verdict string, after bool) *faultyGateway {
	t.Helper()
	f := &faultyGateway{detour: &detour{fault: fault, after: after}}
	f.tool = fmt.Sprintf("%s_%d", verdict, faulties.Add(1))
	f.about = "count." + f.tool
	server := sdk.NewServer(&sdk.Implementation{Name: "count", Version: "1"}, nil)
	server.AddTool(&sdk.Tool{Name: f.tool, InputSchema: map[string]any{"type": "object"}},
		func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			f.ran.Add(1)
			return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "ran"}}}, nil
		})
	web := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server },
		&sdk.StreamableHTTPOptions{Stateless: true}))
	t.Cleanup(web.Close)
	g := w.gateway(t, "count", mcp.Remote(web.URL, nil), func(o *mcp.Options) {
		o.Wait = 5 * time.Second
		o.API = func(string) (*client.Client, error) {
			return client.New(client.Options{
				URL: w.API, HTTP: &http.Client{Transport: f.detour}, Timeout: 5 * time.Second, // shorter than patience
			})
		}
	})
	f.cs = stdio(t, g)
	return f
}

// ask calls the tool.
func (f *faultyGateway) ask(t *testing.T) <-chan string {
	answered := make(chan string, 1)
	go func() {
		got, _ := called(t, f.cs, f.tool, map[string]any{"x": 1})
		answered <- got
	}()
	return answered
}

// refuses expects an answer that says that nothing has run.
func (f *faultyGateway) refuses(t *testing.T) {
	t.Helper()
	if got := <-f.ask(t); !strings.Contains(got, "Not run") && !strings.Contains(got, "Nothing has run") {
		t.Errorf("it answers %q", got)
	}
}
