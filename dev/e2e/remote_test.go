package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/dev/child"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/policy"
	pawlworker "github.com/pawlhq/pawl/worker"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
)

// Tools that other workers run. The worker is this test's binary in a process of its own, so that
// it can be killed.

const (
	remoteTools = `
tools:
  - name: translate
    schema: {type: object, properties: {to: {type: string}}, additionalProperties: false}
    activity: {task_queue: tools-remote, timeout: 20s, heartbeat_timeout: 4s}
  - name: index
    idempotent: true
    activity: {task_queue: tools-remote, timeout: 20s, heartbeat_timeout: 4s}
`
	remotePolicy = `
rules:
  - {tool: translate, require_approval: true}
  - {tool: index, auto_approve: true}
  - {tool: mail, auto_approve: true}
`
	remoteAddress = "PAWL_TEST_TEMPORAL" // makes TestRemoteWorker a worker
	remoteQueue   = "PAWL_TEST_QUEUE"
	remoteTool    = "PAWL_TEST_TOOL_URL"
)

// remote is a world whose tools run on the queue tools-remote.
type remote struct {
	*world
	gate atomic.Pointer[chan struct{}] // the tool waits until it is closed
}

func newRemote(t *testing.T, change ...func(*stack.Config)) *remote {
	t.Helper()
	dir := t.TempDir()
	e := &remote{world: newWorld(t, append([]func(*stack.Config){func(c *stack.Config) {
		c.Tools = write(t, dir, "tools.yaml", remoteTools)
		c.Policy = []string{write(t, dir, "policy.yaml", remotePolicy)}
	}}, change...)...)}
	answer := e.behave
	e.behave = func(rw http.ResponseWriter, r *http.Request) {
		if gate := e.gate.Load(); gate != nil {
			select {
			case <-*gate:
			case <-time.After(patience): // its worker was killed
			}
		}
		answer(rw, r)
	}
	return e
}

// TestRemoteWorker is no test, but the process that the others start: a worker for activities
// alone, whose tools ask a URL.
func TestRemoteWorker(t *testing.T) {
	address := os.Getenv(remoteAddress)
	if address == "" {
		t.Skip("only the other tests start it")
	}
	c, err := client.Dial(client.Options{HostPort: address})
	if err != nil {
		t.Fatal(err)
	}
	w := worker.New(c, os.Getenv(remoteQueue), worker.Options{
		DisableWorkflowWorker: true, Interceptors: []interceptor.WorkerInterceptor{&callReader{}},
	})
	for _, name := range []string{"translate", "index", "mail"} {
		w.RegisterActivityWithOptions(askURL, activity.RegisterOptions{Name: name})
	}
	if err := w.Run(worker.InterruptCh()); err != nil {
		t.Fatal(err)
	}
}

func askURL(ctx context.Context, args json.RawMessage) (json.RawMessage, error) {
	beat := time.NewTicker(200 * time.Millisecond)
	defer beat.Stop()
	type answered struct {
		resp *http.Response
		err  error
	}
	done := make(chan answered, 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv(remoteTool), strings.NewReader(string(args)))
	if err != nil {
		return nil, err
	}
	fields := ctx.Value(callKey{}).(map[string]string)
	req.Header.Set("Pawl-Call-Id", fields[approval.HeaderCallID])
	req.Header.Set("Pawl-Digest", fields[approval.HeaderDigest])
	go func() {
		resp, err := http.DefaultClient.Do(req)
		done <- answered{resp, err}
	}()
	for {
		select {
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
		case a := <-done:
			if a.err != nil {
				return nil, a.err
			}
			defer a.resp.Body.Close()
			var doc json.RawMessage
			return doc, json.NewDecoder(a.resp.Body).Decode(&doc)
		}
	}
}

type callKey struct{}

// callReader hands Pawl's header fields to the activity.
type callReader struct {
	interceptor.WorkerInterceptorBase
}

func (*callReader) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &callReading{}
	in.Next = next
	return in
}

type callReading struct {
	interceptor.ActivityInboundInterceptorBase
}

func (in *callReading) ExecuteActivity(ctx context.Context, args *interceptor.ExecuteActivityInput) (any, error) {
	fields := map[string]string{}
	for _, name := range []string{approval.HeaderCallID, approval.HeaderDigest} {
		var text string
		if err := converter.GetDefaultDataConverter().FromPayload(interceptor.Header(ctx)[name], &text); err != nil {
			return nil, fmt.Errorf("the header %s: %w", name, err)
		}
		fields[name] = text
	}
	return in.Next.ExecuteActivity(context.WithValue(ctx, callKey{}, fields), args)
}

// serve starts a worker on the queue; kill ends it as kill -9 does.
func (w *remote) serve(queue string) (kill func()) {
	w.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestRemoteWorker$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), remoteAddress+"="+w.Temporal, remoteQueue+"="+queue, remoteTool+"="+w.toolURL)
	cmd.Stderr = os.Stderr
	p, err := child.Start(cmd, child.Options{Kill: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Kill)
	return p.Kill
}

// block makes the tool hang, until the function it returns is called.
func (e *remote) block(t *testing.T) (release func()) {
	t.Helper()
	gate := make(chan struct{})
	e.gate.Store(&gate)
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return release
}

func (w *remote) running(id string, runs int) {
	w.t.Helper()
	w.until("the tool runs", func() bool { return w.runs(id) == runs })
}

// ended waits until the newest run of the call's workflow has ended.
func (w *remote) ended(id string) {
	w.t.Helper()
	w.until("the workflow has ended", func() bool {
		d, err := w.Client.DescribeWorkflowExecution(context.Background(), id, "")
		return err == nil && d.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	})
}

func TestRemoteTools(t *testing.T) {
	w := newRemote(t)
	kill := w.serve("tools-remote")
	approved := func(doc string) string {
		id := w.pending(doc)
		if a := w.decide(id, "approve", "ana", ``); a.code != http.StatusOK {
			t.Fatalf("%d %v", a.code, a.doc)
		}
		return id
	}

	t.Run("reset after the end", func(t *testing.T) {
		id := approved(`{"tool":"translate","args":{"to":"x"}}`)
		first := w.ends(id, approval.StatusExecuted, 1)
		before := w.checkEntries(id)
		w.reset(id)
		w.ended(id)
		again := w.ends(id, approval.StatusExecuted, 1)
		if fmt.Sprint(first["result"]) != "map[got:map[to:x]]" || fmt.Sprint(again["result"]) == "" {
			t.Errorf("results %v, then %v", first["result"], again["result"])
		}
		after := slices.DeleteFunc(w.checkEntries(id), func(k audit.Kind) bool { return k == audit.KindRefused })
		if !slices.Equal(before, after) {
			t.Errorf("entries %v, before the reset %v", after, before)
		}
	})
	t.Run("reset while it runs", func(t *testing.T) {
		release := w.block(t)
		id := approved(`{"tool":"translate","args":{"to":"x"}}`)
		w.running(id, 1)
		w.reset(id)
		out := w.ends(id, approval.StatusOutcomeUnknown, 1)
		if e := out["error"].(map[string]any); e["code"] != approval.CodeAlreadyRan {
			t.Errorf("%v", e)
		}
		release()
		w.ends(id, approval.StatusOutcomeUnknown, 1) // what the first run says now counts no more
	})
	t.Run("reset of an allowed call while it runs", func(t *testing.T) {
		release := w.block(t)
		id := w.call(`{"tool":"index","args":{"to":"x"}}`)
		w.running(id, 1)
		w.reset(id)
		w.ends(id, approval.StatusOutcomeUnknown, 1)
		release()
	})
	t.Run("worker killed while it runs", func(t *testing.T) {
		w.block(t)
		id := approved(`{"tool":"translate","args":{"to":"x"}}`)
		w.running(id, 1)
		kill()
		out := w.ends(id, approval.StatusOutcomeUnknown, 1)
		if e := out["error"].(map[string]any); !strings.Contains(fmt.Sprint(e["message"]), "worker was lost") {
			t.Errorf("%v", e)
		}
		kill = w.serve("tools-remote")
	})
	t.Run("worker killed while an idempotent tool runs", func(t *testing.T) {
		release := w.block(t)
		id := w.call(`{"tool":"index","args":{"to":"x"}}`)
		w.running(id, 1)
		kill()
		release()
		kill = w.serve("tools-remote")
		w.ends(id, approval.StatusExecuted, 2) // both asked under one call ID
	})
	t.Run("cancelled while it runs", func(t *testing.T) {
		release := w.block(t)
		id := approved(`{"tool":"translate","args":{"to":"x"}}`)
		w.running(id, 1)
		if err := w.Client.CancelWorkflow(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		release()
		w.ends(id, approval.StatusExecuted, 1)
	})
}

// brief shortens how long approvals are good for, which policy files can't yet.
type brief struct {
	activities.Policy
	validFor *atomic.Int64 // a time.Duration
}

func (b brief) Evaluate(c approval.Call, now time.Time) approval.Verdict {
	v := b.Policy.Evaluate(c, now)
	v.ValidFor = approval.Duration(b.validFor.Load())
	return v
}

func TestNobodyPollsForARemoteTool(t *testing.T) {
	w := newRemote(t, func(c *stack.Config) { c.NoWorker = true })
	rules, err := policy.Load(w.config.Policy...)
	if err != nil {
		t.Fatal(err)
	}
	tools, err := pawlworker.LoadTools(w.config.Tools, nil)
	if err != nil {
		t.Fatal(err)
	}
	var validFor atomic.Int64
	validFor.Store(int64(2 * time.Second))
	pawl, err := pawlworker.New(t.Context(), pawlworker.Options{
		Client: w.Client, Store: w.Store, Policy: brief{rules, &validFor}, Tools: tools,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := pawl.Start(); err != nil {
		t.Fatal(err)
	}
	defer pawl.Stop()

	approved := w.pending(`{"tool":"translate","args":{"to":"x"}}`)
	w.decide(approved, "approve", "ana", ``)
	for _, id := range []string{approved, w.call(`{"tool":"index","args":{"to":"x"}}`)} {
		out := w.ends(id, approval.StatusExpired, 0)
		if e := out["error"].(map[string]any); e["code"] != approval.CodeExpired {
			t.Errorf("%v", e)
		}
	}
	// A worker that comes too late is not handed what has expired.
	w.serve("tools-remote")
	validFor.Store(int64(time.Minute))
	late := w.pending(`{"tool":"translate","args":{"to":"late"}}`)
	w.decide(late, "approve", "ana", ``)
	w.ends(late, approval.StatusExecuted, 1)
	if n := w.runs(approved); n != 0 {
		t.Errorf("an expired call ran %d times", n)
	}
}

// publish starts Pawl's publishing workflow, as whoever may write to the namespace can.
func (w *remote) publish(agent, tool string) approval.Published {
	w.t.Helper()
	run, err := w.Client.ExecuteWorkflow(w.t.Context(), client.StartWorkflowOptions{TaskQueue: approval.TaskQueue}, approval.WorkflowPublish,
		approval.Publication{Agent: agent, Tools: []approval.ToolSpec{{Name: tool, Schema: json.RawMessage(`{"type":"object"}`)}}})
	if err != nil {
		w.t.Fatal(err)
	}
	var out approval.Published
	if err := run.Get(w.t.Context(), &out); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func TestPublishOthersTools(t *testing.T) {
	w := newRemote(t)
	if out := w.publish("owner", "mail"); len(out.Refused) > 0 {
		t.Fatalf("%+v", out)
	}
	w.serve(approval.AgentQueue("owner"))
	for _, tool := range []string{"mail", "translate"} { // an agent's, the operator's
		before, err := w.Store.Tool(t.Context(), tool)
		if err != nil {
			t.Fatal(err)
		}
		out := w.publish("thief", tool)
		if len(out.Refused) != 1 || out.Refused[0].Name != tool || out.Refused[0].Reason == "" {
			t.Errorf("%s: %+v", tool, out)
		}
		if after, err := w.Store.Tool(t.Context(), tool); err != nil || after.Queue != before.Queue || after.SchemaDigest != before.SchemaDigest {
			t.Errorf("%s was %+v, is %+v, %v", tool, before, after, err)
		}
	}
	w.ends(w.call(`{"tool":"mail","args":{"to":"x"}}`), approval.StatusExecuted, 1) // by its owner
}
