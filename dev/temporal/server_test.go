package temporal

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestRestartKeepsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data") // made by Start
	s := start(t, options(dir))
	c := dial(t, s.FrontendAddr())
	end := work(t, c)
	wantResult(t, execute(t, c, "done", greet, "Ada"), "hello Ada")
	execute(t, c, "napping", nap, 6*time.Second)
	execute(t, c, "waiting", await)
	eventually(t, "timer is in history", func() bool {
		iter := c.GetWorkflowHistory(t.Context(), "napping", "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for iter.HasNext() {
			e, err := iter.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e.GetEventType() == enumspb.EVENT_TYPE_TIMER_STARTED {
				return true
			}
		}
		return false
	})
	end()
	if got := status(t, c, "napping"); got != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Fatalf("napping is %s before the stop: the test proves nothing", got)
	}
	began := time.Now()
	stop(t, s)
	if took := time.Since(began); took > stopTimeout {
		t.Errorf("stop took %s", took)
	}
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("data directory: %v, %v; want mode 0700", fi.Mode(), err)
	}

	again := start(t, options(dir))
	c = dial(t, again.FrontendAddr())
	var out string
	if err := c.GetWorkflow(t.Context(), "done", "").Get(t.Context(), &out); err != nil || out != "hello Ada" {
		t.Errorf("finished workflow after restart: %q, %v", out, err)
	}
	defer work(t, c)()
	wantResult(t, c.GetWorkflow(t.Context(), "napping", ""), "rested")
	if err := c.SignalWorkflow(t.Context(), "waiting", "", "answer", "yes"); err != nil {
		t.Fatal(err)
	}
	wantResult(t, c.GetWorkflow(t.Context(), "waiting", ""), "yes")
}

func TestSearchAttributes(t *testing.T) {
	dir := t.TempDir()
	status := sdk.NewSearchAttributeKeyKeyword("PawlStatus")
	tool := sdk.NewSearchAttributeKeyKeyword("PawlTool")

	// begin starts a workflow with the attribute as the very first call after Start.
	begin := func(s *Server, id string, update sdk.SearchAttributeUpdate, query string) {
		t.Helper()
		c := dial(t, s.FrontendAddr())
		if _, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: id, TaskQueue: queue, TypedSearchAttributes: sdk.NewSearchAttributes(update),
		}, await); err != nil {
			t.Fatal(err)
		}
		eventually(t, id+" is listed", func() bool {
			r, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
			if err != nil {
				t.Fatal(err)
			}
			return len(r.GetExecutions()) == 1 && r.GetExecutions()[0].GetExecution().GetWorkflowId() == id
		})
	}

	o := options(dir)
	o.SearchAttributes = map[string]enumspb.IndexedValueType{"PawlStatus": enumspb.INDEXED_VALUE_TYPE_KEYWORD}
	s := start(t, o)
	begin(s, "first", status.ValueSet("pending"), `PawlStatus = "pending"`)
	stop(t, s)

	// A later start adds one and keeps the other.
	o.SearchAttributes = map[string]enumspb.IndexedValueType{"PawlTool": enumspb.INDEXED_VALUE_TYPE_KEYWORD}
	s = start(t, o)
	begin(s, "second", tool.ValueSet("charge_card"), `PawlTool = "charge_card"`)
	begin(s, "third", status.ValueSet("executed"), `PawlStatus = "executed"`)
	stop(t, s)

	o.SearchAttributes = map[string]enumspb.IndexedValueType{"PawlTool": enumspb.INDEXED_VALUE_TYPE_INT}
	if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), `"PawlTool" is Keyword already, not Int`) {
		t.Errorf("change of type: %v", err)
	}
}

func TestNamespaceAndRetention(t *testing.T) {
	o := options(t.TempDir())
	o.Namespace = "tools"
	for _, retention := range []time.Duration{0, 5 * time.Hour} {
		o.Retention = retention
		s := start(t, o)
		c, err := client.NewNamespaceClient(client.Options{HostPort: s.FrontendAddr()})
		if err != nil {
			t.Fatal(err)
		}
		ns, err := c.Describe(t.Context(), "tools")
		if err != nil {
			t.Fatal(err)
		}
		want := durationpb.New(o.withDefaults().Retention)
		if got := ns.GetConfig().GetWorkflowExecutionRetentionTtl(); got.AsDuration() != want.AsDuration() {
			t.Errorf("retention is %s, want %s", got.AsDuration(), want.AsDuration())
		}
		c.Close()
		stop(t, s)
	}
}

func TestBusyPort(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	addr := busy.Addr().String()

	for flag, o := range map[string]Options{
		"--temporal-listen": {Listen: addr},
		"--ui-listen":       {Listen: "127.0.0.1:0", UIListen: addr},
	} {
		o.DataDir = filepath.Join(t.TempDir(), "data")
		_, err := Start(t.Context(), o)
		if !errors.Is(err, ErrAddressInUse) || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v; want ErrAddressInUse with address and flag", flag, err)
		}
		if _, err := os.Stat(o.DataDir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: data directory was touched: %v", flag, err)
		}
	}
}

func TestOneServerPerDirectory(t *testing.T) {
	dir := t.TempDir()
	s := start(t, options(dir))
	_, err := Start(t.Context(), options(dir))
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second server: %v; want ErrLocked with the directory", err)
	}
	c := dial(t, s.FrontendAddr())
	execute(t, c, "unharmed", await)
}

func TestShardsAreFixed(t *testing.T) {
	o := options(t.TempDir())
	stop(t, start(t, o))
	o.HistoryShards = 8
	_, err := Start(t.Context(), o)
	if !errors.Is(err, ErrShardsFixed) {
		t.Fatalf("other shard count: %v, want ErrShardsFixed", err)
	}
	for _, part := range []string{filepath.Join(o.DataDir, databaseFile), "has 4 ", " 8 are asked for"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	o.HistoryShards = 4
	stop(t, start(t, o))
}

func TestStopDoesNotWaitForClients(t *testing.T) {
	s := start(t, options(t.TempDir()))
	c := dial(t, s.FrontendAddr())
	end := work(t, c) // its polls wait a minute for work
	wantResult(t, execute(t, c, "any", greet, "Ada"), "hello Ada")
	began := time.Now()
	stop(t, s)
	if took := time.Since(began); took > stopTimeout/2 {
		t.Errorf("stop took %s", took)
	}
	end()
}

func TestListenAddresses(t *testing.T) {
	for addr, host := range map[string]string{"0.0.0.0:0": "127.0.0.1", "localhost:0": "127.0.0.1"} {
		s := start(t, Options{DataDir: t.TempDir(), Listen: addr, UIListen: addr})
		if got, _, err := net.SplitHostPort(s.FrontendAddr()); err != nil || got != host {
			t.Errorf("listening on %s, clients are told %s", addr, s.FrontendAddr())
		}
		if !strings.HasPrefix(s.UIURL(), "http://"+host+":") {
			t.Errorf("listening on %s, browsers are told %s", addr, s.UIURL())
		}
		execute(t, dial(t, s.FrontendAddr()), "any", await)
	}
}

func TestCancelledStart(t *testing.T) {
	o := options(t.TempDir())
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Start(cancelled, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled before: %v, %v", s, err)
	}
	// Whatever it reached in this time must be undone.
	for _, d := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond} {
		short, cancel := context.WithTimeout(t.Context(), d)
		s, err := Start(short, o)
		cancel()
		if err == nil {
			stop(t, s)
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled after %s: %v", d, err)
		}
	}
	start(t, o)
}

func TestStopIsIdempotentAndLeavesLittle(t *testing.T) {
	o := options(t.TempDir())
	o.UIListen = "127.0.0.1:0"
	cycle := func() {
		s := start(t, o)
		stop(t, s)
		stop(t, s)
		if _, err := net.DialTimeout("tcp", s.FrontendAddr(), time.Second); err == nil {
			t.Error("frontend still listens")
		}
		select {
		case err := <-s.Failed():
			t.Errorf("a stop was reported as failure: %v", err)
		default:
		}
	}
	cycle()
	before := runtime.NumGoroutine()
	const cycles = 3
	for range cycles {
		cycle()
	}
	eventually(t, "goroutines of stopped servers end", func() bool {
		return runtime.NumGoroutine() <= before+cycles*5
	})
	t.Logf("goroutines: %d after one cycle, %d after %d more", before, runtime.NumGoroutine(), cycles)
}

func TestOptionsAreValidated(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"DataDir is required":      func(o *Options) { o.DataDir = "" },
		`Listen "7233" is not`:     func(o *Options) { o.Listen = "7233" },
		`port "http" is not`:       func(o *Options) { o.UIListen = "127.0.0.1:http" },
		`"temporal-system" is Tem`: func(o *Options) { o.Namespace = "temporal-system" },
		"Retention 1m0s":           func(o *Options) { o.Retention = time.Minute },
		"HistoryShards -1":         func(o *Options) { o.HistoryShards = -1 },
		`"WorkflowId" is taken`:    func(o *Options) { o.SearchAttributes = map[string]enumspb.IndexedValueType{"WorkflowId": 1} },
		`"Odd" has unknown type`:   func(o *Options) { o.SearchAttributes = map[string]enumspb.IndexedValueType{"Odd": 99} },
		"attribute has an empty ":  func(o *Options) { o.SearchAttributes = map[string]enumspb.IndexedValueType{"": 1} },
	} {
		o := options(t.TempDir())
		change(&o)
		if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
