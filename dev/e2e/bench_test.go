//go:build unix

package e2e_test

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// BenchmarkCall holds guarded calls against the floor, a bare workflow of one activity, in one
// process on one server, started the same way. "1" is one call at a time, "16" sixteen in flight.
// Batches of both take turns, because what else a machine does changes from second to second: the
// ratios are what counts. "steps" is the least that a call of three activities can cost.
//
//	x-throughput  of the bare one's, median of the pairs of batches; 1 is free
//	x-p50, x-cpu  median time from start to result, CPU time of everything
func BenchmarkCall(b *testing.B) {
	s := benchStack(b, "rules:\n  - {tool: read, auto_approve: true}\n", false, "read", "send")
	w := worker.New(s.Client, "bare", worker.Options{})
	w.RegisterWorkflow(bare)
	w.RegisterWorkflow(steps)
	w.RegisterActivity(noop)
	if err := w.Start(); err != nil {
		b.Fatal(err)
	}
	defer w.Stop()

	floor := func(workflow any) func() (client.WorkflowRun, error) {
		return func() (client.WorkflowRun, error) { return start(s, "bare", "", workflow) }
	}
	for _, bench := range []struct {
		name string
		run  func() (client.WorkflowRun, error)
	}{
		{"steps", floor(steps)},
		{"allowed", func() (client.WorkflowRun, error) { return allowed(s, "read") }},
		{"gated", func() (client.WorkflowRun, error) { return approved(s, "send") }},
	} {
		for _, n := range []struct {
			name     string
			inFlight int
		}{{"/1", 1}, {"/16", 16}} {
			b.Run(bench.name+n.name, func(b *testing.B) {
				base := &lane{b: b, stack: s, run: floor(bare), inFlight: n.inFlight}
				guarded := &lane{b: b, stack: s, run: bench.run, inFlight: n.inFlight}
				takeTurns(b, "bare", base, guarded)
				events, bytes := guarded.history()
				b.ReportMetric(ms(guarded.cpu)/float64(len(guarded.took)), "cpu-ms/call")
				b.ReportMetric(ms(base.cpu)/float64(len(base.took)), "bare-cpu-ms/call")
				b.ReportMetric(float64(events), "events/call")
				b.ReportMetric(float64(bytes), "history-B/call")
			})
		}
	}
}

// benchStack is a stack without API and UI, with tools that do nothing.
func benchStack(b *testing.B, policy string, encrypt bool, tools ...string) *stack.Stack {
	c := stack.Default()
	c.Data, c.APIListen, c.TemporalListen, c.NoUI, c.NoAPI, c.Encrypt = b.TempDir(), "127.0.0.1:0", "127.0.0.1:0", true, true, encrypt
	c.Policy = []string{write(b, b.TempDir(), "policy.yaml", policy)}
	o := stack.Options{Config: c}
	for _, name := range tools {
		t, err := tool.New(name, noop, tool.Options{})
		if err != nil {
			b.Fatal(err)
		}
		o.Tools = append(o.Tools, t)
	}
	s, err := stack.Start(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// start starts a workflow, a call or not, the same way as all.
func start(s *stack.Stack, queue, id string, what any, args ...any) (client.WorkflowRun, error) {
	return s.Client.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: id, TaskQueue: queue, EnableEagerStart: true}, what, args...)
}

func startCall(s *stack.Stack, name string) (run client.WorkflowRun, digest string, err error) {
	id, c := approval.NewID(), approval.Call{Tool: name, Args: []byte(`{}`), Nonce: approval.NewNonce()}
	if digest, err = c.Digest(id); err != nil {
		return nil, "", err
	}
	run, err = start(s, approval.TaskQueue, id, approval.WorkflowType, c)
	return run, digest, err
}

// allowed starts a call that waits for nobody.
func allowed(s *stack.Stack, name string) (client.WorkflowRun, error) {
	run, _, err := startCall(s, name)
	return run, err
}

// approved starts a call and approves it: who names the digest may do so before the call is seen to
// wait.
func approved(s *stack.Stack, name string) (client.WorkflowRun, error) {
	run, digest, err := startCall(s, name)
	if err != nil {
		return nil, err
	}
	return run, s.Client.SignalWorkflow(context.Background(), run.GetID(), "", approval.SignalApprove, approval.DecisionSignal{Digest: digest})
}

// takeTurns lets batches of two lanes take turns until b has enough, and reports how other does
// against base, by whose name its own figure goes.
func takeTurns(b *testing.B, name string, base, other *lane) {
	for _, l := range []*lane{base, other} {
		l.batch() // connections, caches
		l.reset()
	}
	for first, second := base, other; b.Loop(); first, second = second, first {
		first.batch()
		second.batch()
	}
	var turns []float64
	for i, d := range other.walls {
		turns = append(turns, float64(base.walls[i])/float64(d))
	}
	b.ReportMetric(0, "ns/op") // of a pair of batches: says nothing
	b.ReportMetric(median(turns), "x-throughput")
	b.ReportMetric(ms(median(other.took))/ms(median(base.took)), "x-p50")
	b.ReportMetric(ms(other.cpu)/ms(base.cpu), "x-cpu")
	b.ReportMetric(ms(median(other.took)), "p50-ms")
	b.ReportMetric(ms(median(base.took)), name+"-p50-ms")
}

// reportHistory reports the size of other's histories against base's.
func reportHistory(b *testing.B, base, other *lane) {
	_, baseBytes := base.history()
	_, otherBytes := other.history()
	b.ReportMetric(float64(otherBytes)/float64(baseBytes), "x-history")
}

// lane is one of the two that take turns.
type lane struct {
	b        *testing.B
	stack    *stack.Stack
	run      func() (client.WorkflowRun, error)
	inFlight int

	mu    sync.Mutex
	took  []time.Duration // each call, from start to result
	walls []time.Duration // each batch
	cpu   time.Duration   // of the whole process meanwhile
	last  client.WorkflowRun
}

// reset forgets what a warm-up measured.
func (l *lane) reset() { l.took, l.walls, l.cpu = nil, nil, 0 }

// batch makes some calls, as many at once as the lane holds.
func (l *lane) batch() {
	calls := max(32, 6*l.inFlight) // long enough that its ends do not count
	todo := make(chan struct{}, calls)
	for range calls {
		todo <- struct{}{}
	}
	close(todo)
	began, cpu := time.Now(), cpuTime(l.b)
	var wg sync.WaitGroup
	for range l.inFlight {
		wg.Go(func() {
			for range todo {
				l.one()
			}
		})
	}
	wg.Wait()
	l.walls = append(l.walls, time.Since(began))
	l.cpu += cpuTime(l.b) - cpu
}

func (l *lane) one() {
	began := time.Now()
	run, err := l.run()
	if err == nil {
		err = calls.Await(context.Background(), run, nil)
	}
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.b.Error(err)
		return
	}
	l.took, l.last = append(l.took, took), run
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// history measures that of the last call.
func (l *lane) history() (events, bytes int) {
	for it := l.stack.Client.GetWorkflowHistory(l.b.Context(), l.last.GetID(), l.last.GetRunID(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); events++ {
		e, err := it.Next()
		if err != nil {
			l.b.Fatal(err)
		}
		bytes += e.Size()
	}
	return events, bytes
}

func median[T time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func bare(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, noop, struct{}{}).Get(ctx, nil)
}

// steps is bare between two local activities that do nothing: what a policy and an audit activity
// cost before they have looked at or written anything.
func steps(ctx workflow.Context) error {
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
	if err := workflow.ExecuteLocalActivity(local, noop, struct{}{}).Get(ctx, nil); err != nil {
		return err
	}
	if err := bare(ctx); err != nil {
		return err
	}
	return workflow.ExecuteLocalActivity(local, noop, struct{}{}).Get(ctx, nil)
}

func noop(context.Context, struct{}) (string, error) { return "done", nil }
