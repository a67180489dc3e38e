package temporal

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const (
	queue = "dev-temporal-test"
	// childEnv makes the test binary run a server on the directory it names until it is killed.
	childEnv = "PAWL_TEST_TEMPORAL_CHILD"
	patience = 60 * time.Second
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		runChild(dir)
	}
	os.Exit(m.Run())
}

// ready is the one line that a child prints on stdout.
type ready struct {
	Frontend string `json:"frontend"`
	UI       string `json:"ui"`
}

func runChild(dir string) {
	s, err := Start(context.Background(), Options{
		DataDir:  dir,
		Listen:   "127.0.0.1:0",
		UIListen: "127.0.0.1:0",
		Logger:   slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(ready{Frontend: s.FrontendAddr(), UI: s.UIURL()})
	fmt.Fprintln(os.Stderr, <-s.Failed())
	os.Exit(1)
}

// child is a server in a process of its own.
type child struct {
	ready
	cmd    *exec.Cmd
	stdout *bufio.Reader
}

// launchChild does not wait for the server to be ready.
func launchChild(t *testing.T, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, stdout: bufio.NewReader(out)}
	t.Cleanup(func() { c.kill() })
	return c
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	c := launchChild(t, dir)
	line, err := c.stdout.ReadBytes('\n')
	if err != nil {
		t.Fatalf("child was not ready: %v", err)
	}
	if err := json.Unmarshal(line, &c.ready); err != nil {
		t.Fatalf("child printed %q: %v", line, err)
	}
	return c
}

// kill ends the child without any chance to tidy up, and waits until it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_, _ = c.cmd.Process.Wait()
}

func options(dir string) Options {
	return Options{DataDir: dir, Listen: "127.0.0.1:0"}
}

// start runs a server that is stopped at the end of the test at the latest.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func dial(t *testing.T, addr string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{
		HostPort: addr,
		Logger:   sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// work runs a worker for the test workflows and answers how to end it.
func work(t *testing.T, c client.Client) (end func()) {
	t.Helper()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(greet)
	w.RegisterWorkflow(nap)
	w.RegisterWorkflow(await)
	w.RegisterActivity(greeting)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	return w.Stop
}

func greeting(_ context.Context, name string) (string, error) { return "hello " + name, nil }

func greet(ctx workflow.Context, name string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var out string
	err := workflow.ExecuteActivity(ctx, greeting, name).Get(ctx, &out)
	return out, err
}

func nap(ctx workflow.Context, d time.Duration) (string, error) {
	return "rested", workflow.Sleep(ctx, d)
}

func await(ctx workflow.Context) (string, error) {
	var answer string
	workflow.GetSignalChannel(ctx, "answer").Receive(ctx, &answer)
	return answer, nil
}

func execute(t *testing.T, c client.Client, id string, fn any, args ...any) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: queue}, fn, args...)
	if err != nil {
		t.Fatalf("start %s: %v", id, err)
	}
	return run
}

func wantResult(t *testing.T, run client.WorkflowRun, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got string
	if err := run.Get(ctx, &got); err != nil {
		t.Fatalf("result of %s: %v", run.GetID(), err)
	}
	if got != want {
		t.Errorf("result of %s = %q, want %q", run.GetID(), got, want)
	}
}

func status(t *testing.T, c client.Client, id string) enumspb.WorkflowExecutionStatus {
	t.Helper()
	d, err := c.DescribeWorkflowExecution(t.Context(), id, "")
	if err != nil {
		t.Fatalf("describe %s: %v", id, err)
	}
	return d.WorkflowExecutionInfo.GetStatus()
}

// eventually polls until ok answers true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}
