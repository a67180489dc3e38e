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
	run, err := pawl.GuardHTTP(a, "job", func(_ context.Context, in job) (string, error) {
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

// A caller that is killed after any line of the protocol, and started again, never runs its tool twice;
// and where it was not killed while the tool ran, the tool ran once.
func TestKilledCallers(t *testing.T) {
	w := newWorld(t)
	applyPolicy(t, w, w.API, "rules: [{tool: job, auto_approve: true}]")
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
	for i, at := range []string{
		"", "before PUT …/tools", "after PUT …/tools", "before POST /api/calls", "after POST /api/calls",
		"before the tool acts", "after the tool acted", "before POST …/outcome", "after POST …/outcome",
	} {
		t.Run(fmt.Sprintf("killed %s", at), func(t *testing.T) {
			dir, key := t.TempDir(), fmt.Sprintf("job-%d", i)
			k.mu.Lock()
			k.at = at
			k.mu.Unlock()
			for round := 0; ; round++ {
				if round == 3 {
					t.Fatal("it does not come to an end")
				}
				cmd := exec.Command(os.Args[0], "-test.run=^TestCallerProcess$", "-test.timeout=2m")
				cmd.Env = append(os.Environ(), callerURL+"="+proxy.URL, callerDir+"="+dir, callerKey+"="+key)
				if round == 0 {
					cmd.Env = append(cmd.Env, callerKill+"="+at)
				}
				var printed strings.Builder
				cmd.Stdout, cmd.Stderr = &printed, &printed
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				k.mu.Lock()
				k.child = cmd.Process
				k.mu.Unlock()
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
		})
	}
}
