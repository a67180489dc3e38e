package pawl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
)

// Settings of the child process of TestKilledCallers.
const (
	callerURL  = "PAWL_TEST_CALLER_URL"
	callerDir  = "PAWL_TEST_CALLER_DIR"
	callerKill = "PAWL_TEST_CALLER_KILL"
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
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := run(pawl.With(ctx, pawl.About{Key: "key"}), job{"x"})
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

// callerAPI is the part of Pawl's API that a caller needs, for one call. A person approves it at the
// second look, if it asks one. It ends its child once: when a request comes, or when its answer is
// ready and not sent.
type callerAPI struct {
	mu    sync.Mutex
	asks  bool // people first
	looks int
	kill  string // "before POST /api/calls", "after POST …/start"
	child *os.Process

	args    json.RawMessage
	start   string // the start_id that was first
	outcome *approval.Outcome
}

func (k *callerAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	route := r.Method + " " + r.URL.Path
	if parts := strings.Split(r.URL.Path, "/"); len(parts) > 4 {
		route = r.Method + " …/" + parts[4]
	}
	if k.kills("before " + route) {
		return
	}
	var in struct {
		approval.ReportSignal
		Args json.RawMessage `json:"args"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	status, answer := k.answer(route, in.StartID, in.Args, in.ReportSignal)
	if k.kills("after " + route) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (k *callerAPI) answer(route, start string, args json.RawMessage, report approval.ReportSignal) (int, any) {
	state := map[string]any{"id": "pawl-1", "tool": "job", "status": "approved", "revision": "r2"}
	switch {
	case k.outcome != nil:
		state["status"] = k.outcome.Status
	case k.start != "":
		state["status"], state["revision"] = "executing", "r3"
	case k.asks && k.looks < 2:
		state["status"], state["revision"] = "pending", "r1"
	}
	started := func() (int, any) {
		switch {
		case k.outcome != nil:
			return http.StatusConflict, map[string]any{"code": "ended", "status": 409}
		case state["status"] == "pending":
			return http.StatusConflict, map[string]any{"code": "not_approved", "status": 409}
		case k.start != "" && k.start != start:
			return http.StatusConflict, map[string]any{"code": "started", "status": 409}
		}
		k.start = start
		return http.StatusOK, map[string]any{
			"id": "pawl-1", "status": "executing", "digest": "d", "args": k.args, "report_by": time.Now(),
		}
	}
	switch route {
	case "GET /api/version":
		return http.StatusOK, map[string]any{"version": "devel", "features": []string{"caller"}}
	case "PUT …/tools":
		return http.StatusOK, map[string]any{"tools": []any{}}
	case "POST /api/calls":
		k.args = args
		switch {
		case k.outcome != nil:
			return http.StatusOK, k.outcome
		case state["status"] == "pending", k.start != "" && k.start != start:
			return http.StatusAccepted, state
		}
		return started()
	case "POST /api/calls/wait":
		k.looks++
		if k.outcome != nil {
			return http.StatusOK, map[string]any{"calls": []any{map[string]any{"id": "pawl-1", "outcome": k.outcome}}}
		}
		return http.StatusOK, map[string]any{"calls": []any{map[string]any{"id": "pawl-1", "call": state}}}
	case "POST …/start":
		return started()
	case "POST …/outcome":
		if k.start != start {
			return http.StatusConflict, map[string]any{"code": "started", "status": 409}
		}
		if k.outcome == nil {
			o, _ := report.Outcome()
			o.ID, o.Tool = "pawl-1", "job"
			k.outcome = &o
		}
		return http.StatusOK, k.outcome
	}
	return http.StatusNotFound, map[string]any{"code": "no_such_route", "status": 404, "detail": route}
}

func (k *callerAPI) kills(at string) bool {
	if k.kill != at || k.child == nil {
		return false
	}
	k.kill = ""
	_ = k.child.Kill()
	return true
}

// A caller that is killed after any line of the protocol, and started again, never runs its tool twice;
// and where it was not killed while the tool ran, the tool ran once.
func TestKilledCallers(t *testing.T) {
	for _, asks := range []bool{false, true} {
		points := []string{
			"nowhere", "before PUT …/tools", "after PUT …/tools", "before POST /api/calls", "after POST /api/calls",
			"before the tool acts", "after the tool acted", "before POST …/outcome", "after POST …/outcome",
		}
		if asks {
			points = []string{
				"nowhere", "after POST /api/calls", "before POST /api/calls/wait", "after POST /api/calls/wait",
				"before POST …/start", "after POST …/start", "after the tool acted", "after POST …/outcome",
			}
		}
		for _, at := range points {
			t.Run(fmt.Sprintf("killed %s, asks people: %v", at, asks), func(t *testing.T) {
				t.Parallel()
				killed(t, at, asks)
			})
		}
	}
}

func killed(t *testing.T, at string, asks bool) {
	dir := t.TempDir()
	k := &callerAPI{asks: asks, kill: at}
	api := httptest.NewServer(k)
	defer api.Close()
	for round := 0; ; round++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCallerProcess$", "-test.timeout=1m")
		cmd.Env = append(os.Environ(), callerURL+"="+api.URL, callerDir+"="+dir)
		if round == 0 {
			cmd.Env = append(cmd.Env, callerKill+"="+at)
		}
		var printed strings.Builder
		cmd.Stdout, cmd.Stderr = &printed, &printed
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
		if round == 2 {
			t.Fatalf("it does not come to an end: %s", printed.String())
		}
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
	case !cut && (times != 1 || said["error"] != "" || said["result"] != "did x"):
		t.Errorf("the tool ran %d times, and its caller says %v", times, said)
	}
}
