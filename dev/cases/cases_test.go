// Package cases_test runs clients/cases.json with each client of Pawl: the Go SDK, package client, Python,
// LangChain, the MCP gateway and Claude Code's hook.
package cases_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/pythontest"
	"github.com/pawlhq/pawl/store"
)

// caseStep is one step in clients/cases.json, which says what each means.
type caseStep struct {
	Call      string
	Key       bool
	Attach    bool
	Dies      bool
	Unsure    bool
	Brief     bool
	Waiting   int
	Approve   bool
	Reject    string
	Kill      string
	Abandoned bool
	Down, Up  bool
	Polls     int64
	Ends, As  string
	Runs      *int
	Calls     *int
	Unknown   *int
}

type caseOf struct {
	Name, Policy string
	Not          map[string]string // why it is not for a client, by that
	Steps        []caseStep
}

// waits is how many seconds the case waits, about: those that take long begin first.
func (c caseOf) waits() (seconds int64) {
	for _, s := range c.Steps {
		seconds += s.Polls
		if s.Abandoned {
			seconds += int64(store.Lease / time.Second)
		}
		if s.Brief {
			seconds += brief
		}
	}
	return seconds
}

const (
	atOnce = 8 // cases
	brief  = 5 // seconds that a brief call waits
)

// pycache keeps what Python compiles out of the source tree.
var pycache = filepath.Join(os.TempDir(), "pawl-pycache")

// caseCall is what the process of a call reads.
type caseCall struct {
	API    string `json:"api"`
	Agent  string `json:"agent"`
	Dir    string `json:"dir"` // of journals
	Tool   string `json:"tool"`
	Key    string `json:"key"`
	Attach bool   `json:"attach"`
	Dies   bool   `json:"dies"`
	Unsure bool   `json:"unsure"`
	Wait   int64  `json:"wait"` // seconds that it waits for people at most
	Ran    string `json:"ran"`  // the file that has a line for each run
}

const caseMode = "PAWL_CASE"

// caseClients start the process of a call.
var caseClients = map[string]func(*testing.T) *exec.Cmd{
	goMode:      func(*testing.T) *exec.Cmd { return caseProcessOf(goMode) },
	clientMode:  func(*testing.T) *exec.Cmd { return caseProcessOf(clientMode) },
	gatewayMode: func(*testing.T) *exec.Cmd { return caseProcessOf(gatewayMode) },
	hookMode:    func(*testing.T) *exec.Cmd { return caseProcessOf(hookMode) },
	"python":    func(*testing.T) *exec.Cmd { return pythonProcess("python3", "tests/caller.py") },
	langchainMode: func(t *testing.T) *exec.Cmd {
		return pythonProcess(pythontest.InstallForClient(t), "tests/langchain_caller.py")
	},
}

const langchainMode = "langchain"

func pythonProcess(python, program string) *exec.Cmd {
	cmd := exec.Command(python, program)
	cmd.Dir = "../../clients/python"
	cmd.Env = append(os.Environ(), "PYTHONPATH=.", "PYTHONPYCACHEPREFIX="+pycache)
	return cmd
}

func caseProcessOf(mode string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestCaseProcess$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), caseMode+"="+mode)
	return cmd
}

// TestCases runs clients/cases.json with each client that a case is for.
func TestCases(t *testing.T) {
	doc, err := os.ReadFile("../../clients/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		About string
		Cases []caseOf
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&table); err != nil {
		t.Fatal(err)
	}
	clients := caseClients
	if err := exec.Command("python3", "-c", "import sys; sys.exit(sys.version_info < (3, 11))").Run(); err != nil {
		message := "NOT TESTED: the cases of the Python client need a python3 of 3.11 or newer"
		if os.Getenv("CI") == "true" {
			t.Error(message)
		}
		t.Log(message)
		clients = maps.Clone(caseClients)
		delete(clients, "python")
		delete(clients, langchainMode)
	}
	api := pawlDev(t)
	target, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	run := strings.ToLower(rand.Text()[:8]) // the tools of this run, at an API that stays
	slices.SortStableFunc(table.Cases, func(a, b caseOf) int { return cmp.Compare(b.waits(), a.waits()) })
	// More at once than there are cores, whatever -parallel says: most of a case is waiting.
	slots, all := make(chan struct{}, atOnce), sync.WaitGroup{}
	for _, c := range table.Cases {
		for client, start := range clients {
			// LangChain's tools have no keys either: what waits is always taken up.
			if c.Not[client] != "" || client == langchainMode && c.Not[gatewayMode] != "" {
				continue
			}
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				t.Run(c.Name+"/"+client, func(t *testing.T) {
					r := caseRun{
						t: t, real: api, client: start, dir: t.TempDir(), started: map[string]*caseProcess{},
						agent: "case-" + client + "-" + c.Name, tool: strings.Join([]string{c.Policy, c.Name, client, run}, "."),
					}
					r.proxy = &httputil.ReverseProxy{
						Rewrite:      func(p *httputil.ProxyRequest) { p.SetURL(target) },
						ErrorHandler: badGateway,
					}
					server := httptest.NewServer(&r)
					t.Cleanup(server.Close)
					r.api = server.URL
					for i, s := range c.Steps {
						r.step(i, s)
					}
				})
			})
		}
	}
	all.Wait()
}

type caseProcess struct {
	cmd  *exec.Cmd
	said strings.Builder
}

type caseRun struct {
	t       *testing.T
	client  func(*testing.T) *exec.Cmd
	proxy   *httputil.ReverseProxy
	down    atomic.Bool
	polls   atomic.Int64
	started map[string]*caseProcess

	api, real, agent, tool, dir string // api is the proxy before real
}

// ServeHTTP is the way to the API, which may be cut off.
func (r *caseRun) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if r.down.Load() {
		if c, _, err := http.NewResponseController(rw).Hijack(); err == nil {
			_ = c.Close()
		}
		return
	}
	if req.URL.Path == "/api/calls/wait" || req.URL.Query().Has("wait") {
		r.polls.Add(1)
		// Like a proxy that holds no request for long, so that a wait is many of them.
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		req = req.WithContext(ctx)
	}
	r.proxy.ServeHTTP(rw, req)
}

func badGateway(rw http.ResponseWriter, _ *http.Request, _ error) {
	rw.WriteHeader(http.StatusBadGateway)
}

func (r *caseRun) step(i int, s caseStep) {
	r.t.Helper()
	until := func(what string, f func() bool) {
		r.t.Helper()
		waitFor(r.t, fmt.Sprintf("step %d: %s", i+1, what), f)
	}
	switch {
	case s.Call != "":
		r.start(s)
	case s.Waiting > 0:
		until("it waits", func() bool { return len(r.listed("pending")) == s.Waiting })
	case s.Approve, s.Reject != "":
		for _, id := range r.listed("pending") {
			answer := r.decide(id, s)
			if answer.code != http.StatusOK && answer.code != http.StatusAccepted {
				r.t.Fatalf("step %d: %d %v", i+1, answer.code, answer.doc)
			}
		}
	case s.Kill != "":
		_ = r.started[s.Kill].cmd.Process.Kill()
		_ = r.started[s.Kill].cmd.Wait()
	case s.Abandoned:
		<-time.After(store.Lease + time.Second) // a killed process can't give it back
	case s.Polls > 0:
		seen := r.polls.Load()
		until("it asks again and again", func() bool { return r.polls.Load() >= seen+s.Polls })
	case s.Down, s.Up:
		r.down.Store(s.Down)
	case s.Ends != "":
		p := r.started[s.Ends]
		err := p.cmd.Wait()
		said := strings.TrimSpace(p.said.String())
		if err != nil && said == "" {
			said = "killed"
		}
		if said, _, _ := strings.Cut(said, "\n"); said != s.As {
			r.t.Fatalf("step %d: %s ends as %q, %v, want %q", i+1, s.Ends, p.said.String(), err, s.As)
		}
	}
	if s.Runs != nil {
		ran, _ := os.ReadFile(filepath.Join(r.dir, "ran"))
		if n := bytes.Count(ran, []byte("\n")); n != *s.Runs {
			r.t.Errorf("step %d: the tool ran %d times, want %d", i+1, n, *s.Runs)
		}
	}
	if s.Calls != nil {
		if ids := r.listed("all"); len(ids) != *s.Calls {
			r.t.Errorf("step %d: there are %d calls, want %d: %v", i+1, len(ids), *s.Calls, ids)
		}
	}
	if s.Unknown != nil {
		until("its outcome is unknown", func() bool { return len(r.listed("outcome_unknown")) == *s.Unknown })
	}
}

func (r *caseRun) start(s caseStep) {
	r.t.Helper()
	call := caseCall{
		API: r.api, Agent: r.agent, Dir: filepath.Join(r.dir, "journal"), Tool: r.tool,
		Attach: s.Attach, Dies: s.Dies, Unsure: s.Unsure, Wait: 300, Ran: filepath.Join(r.dir, "ran"),
	}
	if s.Brief {
		call.Wait = brief
	}
	if s.Key {
		call.Key = "key of " + r.tool
	}
	doc, err := json.Marshal(call)
	if err != nil {
		r.t.Fatal(err)
	}
	p := &caseProcess{cmd: r.client(r.t)}
	p.cmd.Stdin, p.cmd.Stdout = bytes.NewReader(doc), &p.said
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	r.started[s.Call] = p
}

// listed are the case's calls that people see: those that the policy let run or denied, too.
func (r *caseRun) listed(status string) (ids []string) {
	r.t.Helper()
	items, _ := r.send(http.MethodGet, "/api/requests?status="+status+"&tool="+r.tool, "").doc["items"].([]any)
	for _, item := range items {
		ids = append(ids, item.(map[string]any)["id"].(string))
	}
	return ids
}

func (r *caseRun) decide(id string, s caseStep) answer {
	if s.Reject != "" {
		return r.send(http.MethodPost, "/api/requests/"+id+"/reject", fmt.Sprintf(`{"notes":%q}`, s.Reject))
	}
	return r.send(http.MethodPost, "/api/requests/"+id+"/approve", "{}")
}

func (r *caseRun) send(method, path, body string) answer {
	r.t.Helper()
	return send(r.t, method, r.real+path, body)
}
