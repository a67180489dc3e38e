package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl"
)

// Settings of the child process of TestKilledCallers.
const (
	callerURL  = "PAWL_E2E_CALLER_URL"
	callerDir  = "PAWL_E2E_CALLER_DIR"
	callerKey  = "PAWL_E2E_CALLER_KEY"
	callerTool = "PAWL_E2E_CALLER_TOOL"
	callerKill = "PAWL_E2E_CALLER_KILL"
)

type job struct {
	Name string `json:"name"`
}

// TestCallerProcess is the caller: it asks for one job and runs it. It does nothing unless
// TestKilledCallers runs it.
func TestCallerProcess(t *testing.T) {
	api, dir := os.Getenv(callerURL), os.Getenv(callerDir)
	if api == "" {
		return // it is a test's child, and no test
	}
	a, err := pawl.ConnectHTTP(t.Context(), pawl.HTTPOptions{Agent: "killed", URL: api, Dir: filepath.Join(dir, "journal")})
	if err != nil {
		t.Fatal(err)
	}
	die := func(at string) {
		if os.Getenv(callerKill) == at {
			p, _ := os.FindProcess(os.Getpid())
			_ = p.Kill()
			select {}
		}
	}
	run, err := pawl.GuardHTTP(a, os.Getenv(callerTool), func(_ context.Context, in job) (string, error) {
		die("before the tool acts")
		f, err := os.OpenFile(filepath.Join(dir, "ran"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		_, err = f.WriteString(in.Name + "\n")
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return "", err
		}
		die("after the tool acted")
		return "did " + in.Name, nil
	}, pawl.Tool{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := run(pawl.With(ctx, pawl.About{Key: os.Getenv(callerKey)}), job{os.Getenv(callerKey)})
	said := map[string]string{"result": out}
	switch {
	case errors.Is(err, pawl.ErrOutcomeUnknown):
		said["error"] = "unknown"
	case err != nil:
		said["error"] = err.Error()
	}
	doc, _ := json.Marshal(said)
	if err := os.WriteFile(filepath.Join(dir, "said"), doc, 0o600); err != nil {
		t.Fatal(err)
	}
}

// killer is a proxy before the API that ends the caller once: when a request comes, or when its answer
// is there and not passed on.
type killer struct {
	proxy *httputil.ReverseProxy
	mu    sync.Mutex
	at    string // "before POST /api/calls", "after POST …/start"
	child *os.Process
}

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route := r.Method + " " + r.URL.Path
	if parts := strings.Split(r.URL.Path, "/"); len(parts) > 4 {
		route = r.Method + " …/" + parts[4]
	}
	if k.kills("before " + route) {
		return
	}
	answer := httptest.NewRecorder()
	k.proxy.ServeHTTP(answer, r)
	if k.kills("after " + route) {
		return
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (k *killer) kills(at string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at != at {
		return false
	}
	k.at = ""
	_ = k.child.Kill()
	return true
}

// done reports whether there is nothing to kill, or only what comes after an approval.
func (k *killer) done() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !strings.Contains(k.at, "/api/calls")
}

// A caller that is killed after any line of the protocol, and started again, never runs its tool twice;
// and where it was not killed while the tool ran, the tool ran once.
func TestKilledCallers(t *testing.T) {
	w := newWorld(t)
	applyPolicy(t, w, w.API, "rules: [{tool: job, auto_approve: true}, {tool: asked, require_approval: true, timeout: 5m}]")
	target, err := url.Parse(w.API)
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}}
	proxy := httptest.NewServer(k)
	defer proxy.Close()
	waitFor(t, "the policy is in force", func() bool {
		return w.http(http.MethodPost, w.API+"/api/calls", `{"tool":"job","execution":"caller","wait":"5s"}`).text("status") == "approved"
	})
	over := make(chan struct{})
	var approving sync.WaitGroup
	approving.Go(func() { w.approveAsked(k, over) })
	defer func() { close(over); approving.Wait() }()
	for tool, points := range map[string][]string{
		"job": {
			"", "before PUT …/tools", "after PUT …/tools", "before POST /api/calls", "after POST /api/calls",
			"before the tool acts", "after the tool acted", "before POST …/outcome", "after POST …/outcome",
		},
		"asked": {
			"", "after POST /api/calls", "before POST /api/calls/wait", "after POST /api/calls/wait",
			"before POST …/start", "after POST …/start", "after the tool acted", "after POST …/outcome",
		},
	} {
		for i, at := range points {
			t.Run(fmt.Sprintf("%s, killed %s", tool, at), func(t *testing.T) {
				k.mu.Lock()
				k.at = at
				k.mu.Unlock()
				killed(t, k, proxy.URL, tool, fmt.Sprint(tool, "-", i), at)
			})
		}
	}
}

// approveAsked approves whatever waits, but not before its caller was killed while it waited, where it
// is to be.
func (w *world) approveAsked(k *killer, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(20 * time.Millisecond):
		}
		if !k.done() {
			continue
		}
		items, _ := w.http(http.MethodGet, w.API+"/api/requests?tool=asked", "").doc["items"].([]any)
		for _, item := range items {
			id, _ := item.(map[string]any)["id"].(string)
			w.http(http.MethodPost, w.API+"/api/requests/"+id+"/approve", "{}", "X-Pawl-Reviewer", "ana")
		}
	}
}

// killed starts a caller, again as often as it is killed, and looks at what came of it.
func killed(t *testing.T, k *killer, api, tool, key, at string) {
	dir := t.TempDir()
	for round := 0; ; round++ {
		if round == 3 {
			t.Fatal("it does not come to an end")
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestCallerProcess$", "-test.timeout=2m")
		cmd.Env = append(os.Environ(), callerURL+"="+api, callerDir+"="+dir, callerKey+"="+key, callerTool+"="+tool)
		if round == 0 {
			cmd.Env = append(cmd.Env, callerKill+"="+at)
		}
		var printed strings.Builder
		cmd.Stdout, cmd.Stderr = &printed, &printed
		// The proxy must not kill before it knows whom.
		k.mu.Lock()
		err := cmd.Start()
		k.child = cmd.Process
		k.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			break
		}
		t.Logf("round %d: %s", round, printed.String())
	}
	ran, _ := os.ReadFile(filepath.Join(dir, "ran"))
	doc, err := os.ReadFile(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]string
	if err := json.Unmarshal(doc, &said); err != nil {
		t.Fatal(err)
	}
	times := strings.Count(string(ran), "\n")
	cut := strings.Contains(at, "the tool act")
	switch {
	case times > 1:
		t.Errorf("the tool ran %d times", times)
	case cut && said["error"] != "unknown":
		t.Errorf("cut short, it says %v", said)
	case !cut && (times != 1 || said["error"] != "" || said["result"] != "did "+key):
		t.Errorf("the tool ran %d times, and its caller says %v", times, said)
	}
}
