//go:build unix

package e2e_test

import (
	"bytes"
	"cmp"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/child"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// TestMixedFleet runs workers, APIs, command lines and agents of the previous commit with those of
// this one, on a real Temporal and a Postgres. Calls that were open before an upgrade end as people
// decided, and every tool runs exactly once.
func TestMixedFleet(t *testing.T) {
	tree := programs.PreviousTree(t)
	m := &mixed{new: newDeployment(t)}
	m.new.policy = write(t, t.TempDir(), "policy.yaml", plainRules)
	older := *m.new
	m.old = &older
	bin := t.TempDir()
	if err := programs.BuildFrom(t.Context(), tree, bin, "pawl"); err != nil {
		t.Fatal(err)
	}
	m.old.pawl = filepath.Join(bin, "pawl")
	root, err := programs.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.oldAgent, m.newAgent = agentOf(t, tree), agentOf(t, root)
	for name, test := range map[string]func(*testing.T, *mixed){
		"old worker, new API": testNewAPI, // and then a new worker
		"new worker, old API": testNewWorker,
		"both side by side":   testBothWorkers,
	} {
		t.Run(name, func(t *testing.T) { test(t, m) })
	}
}

// agentOf builds the README's program of a source tree: an agent that guards a function by the SDK.
func agentOf(t *testing.T, tree string) (path string) {
	t.Helper()
	dir, env := readmeProgram(t, tree)
	path = filepath.Join(dir, "agent")
	buildReadmeProgram(t, dir, env, path)
	return path
}

// mixed is two deployments on the same servers: of the previous commit and of this one.
type mixed struct {
	old, new           *deployment
	oldAgent, newAgent string // programs
}

// fleet is processes of both commits in one namespace, on one store that the previous commit made.
type fleet struct {
	*mixed
	t                   *testing.T
	namespace, database string
	env                 []string
	calls               map[string]int // how often each one's tool is to run
}

func newFleet(t *testing.T, m *mixed, namespace string) *fleet {
	t.Helper()
	f := &fleet{mixed: m, t: t, namespace: namespace, database: m.old.database(t), calls: map[string]int{}}
	f.env = m.old.environment(namespace, f.database)
	m.old.want(t, f.env, 0, nil, "setup")
	return f
}

// upgradeStore is the step of an upgrade that precedes new processes.
func (f *fleet) upgradeStore() {
	f.t.Helper()
	f.new.want(f.t, f.env, 0, nil, "setup")
}

// stop ends a process as an operator does.
func (f *fleet) stop(p *process) {
	f.t.Helper()
	p.Signal(syscall.SIGTERM)
	f.stopped(p)
}

// stopped waits for the end of a process that was told to stop.
func (f *fleet) stopped(p *process) {
	f.t.Helper()
	if code := p.exit(); code != 0 {
		f.t.Errorf("exit code %d of %v\n%s", code, p.args, p.stderr())
	}
}

// client is this commit's client of an API.
func (f *fleet) client(api *process) *client.Client {
	f.t.Helper()
	c, err := client.New(client.Options{URL: api.API, Reviewer: "ana"})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// start starts a call and returns when it is acknowledged.
func (f *fleet) start(c *client.Client, tool string, timeout time.Duration) client.View {
	f.t.Helper()
	v, _, err := c.Start(f.t.Context(), approval.Call{Tool: tool, Timeout: approval.Duration(timeout)}, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

// pending starts a call and returns when it waits for people.
func (f *fleet) pending(c *client.Client, timeout time.Duration) client.View {
	f.t.Helper()
	return f.waits(c, f.start(c, "send", timeout).ID)
}

func (f *fleet) waits(c *client.Client, id string) (v client.View) {
	f.t.Helper()
	waitFor(f.t, "the call waits for people", func() bool {
		var err error
		v, err = c.Get(f.t.Context(), id, 0)
		return err == nil && v.Status == approval.StatusPending
	})
	return v
}

func (f *fleet) decide(c *client.Client, v client.View, kind approval.DecisionKind, want approval.AnswerOutcome) {
	f.t.Helper()
	a, err := c.Decide(f.t.Context(), v.ID, client.Decision{Kind: kind, Digest: v.Digest})
	if err != nil || a.Outcome != want {
		f.t.Errorf("%s was answered %+v, %v, want %s", kind, a, err, want)
	}
}

// ends waits for a call's end.
func (f *fleet) ends(c *client.Client, id string, want approval.Status) client.View {
	f.t.Helper()
	v, err := c.Wait(f.t.Context(), id)
	if err != nil || v.Status != want {
		f.t.Errorf("call %s ended %s (%+v, %v), want %s", id, v.Status, v.Error, err, want)
	}
	runs := 0
	if want == approval.StatusExecuted {
		runs = 1
	}
	f.calls[id] = runs
	return v
}

// openCalls wait for people across an upgrade.
type openCalls struct{ approve, reject, withdraw, expire client.View }

func (f *fleet) open(c *client.Client) openCalls {
	f.t.Helper()
	return openCalls{f.pending(c, 0), f.pending(c, 0), f.pending(c, 0), f.pending(c, 4*time.Second)}
}

func (f *fleet) settle(c *client.Client, o openCalls) {
	f.t.Helper()
	f.decide(c, o.approve, approval.Approve, approval.AnswerResolved)
	f.decide(c, o.reject, approval.Reject, approval.AnswerResolved)
	if done, err := c.Cancel(f.t.Context(), o.withdraw.ID, ""); err != nil || !done {
		f.t.Errorf("withdrawn: %v, %v", done, err)
	}
	f.ends(c, o.approve.ID, approval.StatusExecuted)
	f.ends(c, o.reject.ID, approval.StatusRejected)
	f.ends(c, o.withdraw.ID, approval.StatusCancelled)
	f.ends(c, o.expire.ID, approval.StatusExpired)
}

// callsOfAllKinds makes calls that live within one state of the fleet. The command line that lists
// and decides is another commit's than the API.
func (f *fleet) callsOfAllKinds(c *client.Client, commandLine *deployment) {
	f.t.Helper()
	f.ends(c, f.start(c, "read", 0).ID, approval.StatusExecuted)
	f.ends(c, f.start(c, "unheard_of", 0).ID, approval.StatusBlocked)
	f.settle(c, f.open(c))

	call := approval.Call{Tool: "send", IdempotencyKey: "once-" + approval.NewID()}
	first, _, err := c.Start(f.t.Context(), call, 0)
	again, attached, errAgain := c.Start(f.t.Context(), call, 0)
	if err != nil || errAgain != nil || again.ID != first.ID || !attached {
		f.t.Errorf("under one key: %s (%v), then %s (%v)", first.ID, err, again.ID, errAgain)
	}
	f.waits(c, first.ID)
	api := []string{"--api", c.URL()}
	commandLine.want(f.t, f.env, 0, []string{first.ID}, append([]string{"pending", "-o", "json"}, api...)...)
	commandLine.want(f.t, f.env, 0, nil, append([]string{"approve", first.ID, "--as", "ana"}, api...)...)
	f.ends(c, first.ID, approval.StatusExecuted)
	commandLine.want(f.t, f.env, 0, []string{first.ID, "executed"}, append([]string{"show", first.ID}, api...)...)
}

// sdkAgent is a running agent, whose own function waits for people.
type sdkAgent struct {
	*child.Process
	out  *bytes.Buffer // complete when it has ended
	call client.View
}

func (f *fleet) startAgent(c *client.Client, program string) sdkAgent {
	f.t.Helper()
	a := sdkAgent{out: &bytes.Buffer{}}
	cmd := exec.Command(program)
	cmd.Env, cmd.Stdout = f.env, a.out
	var err error
	if a.Process, err = child.Start(cmd, child.Options{Kill: true}); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(a.Kill)
	waitFor(f.t, "the agent's call waits for people", func() bool {
		page, err := c.Requests(f.t.Context(), client.RequestQuery{Tool: "refund"})
		if err == nil && len(page.Items) == 1 {
			a.call = page.Items[0]
		}
		return a.call.ID != ""
	})
	return a
}

// approveAgent approves the agent's call and sees that its function ran once.
func (f *fleet) approveAgent(c *client.Client, a sdkAgent) {
	f.t.Helper()
	f.decide(c, a.call, approval.Approve, approval.AnswerResolved)
	f.ends(c, a.call.ID, approval.StatusExecuted)
	delete(f.calls, a.call.ID) // its tool is not one of the deployment's
	if err := a.Err(); err != nil || a.out.String() != "paid 1900 cents for order 4711 <nil>\n" {
		f.t.Errorf("the agent ended with %v, and printed %q\n%s", err, a.out, a.Log)
	}
}

// check sees that every tool ran as often as its call's end says, and that the log is whole.
func (f *fleet) check(c *client.Client) {
	f.t.Helper()
	for id, want := range f.calls {
		if runs := f.new.ran(id); runs != want {
			f.t.Errorf("the tool of call %s ran %d times, want %d", id, runs, want)
		}
	}
	page, err := c.Requests(f.t.Context(), client.RequestQuery{})
	if err != nil || len(page.Items) > 0 {
		f.t.Errorf("calls still wait: %+v, %v", page.Items, err)
	}
	s, err := postgres.Open(f.t.Context(), postgres.Options{URL: f.database, ReadOnly: true})
	if err != nil {
		f.t.Fatal(err)
	}
	defer s.Close()
	for q := (store.EntryQuery{Limit: store.MaxPage}); ; {
		page, err := s.Entries(f.t.Context(), q)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, e := range page.Items {
			if err := e.Check(); err != nil {
				f.t.Error(err)
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return
		}
	}
}

func testNewAPI(t *testing.T, m *mixed) {
	f := newFleet(t, m, "new-api")
	f.old.worker(t, f.env)
	api := f.old.api(t, f.env)
	calls, approved := f.open(f.client(api)), f.pending(f.client(api), 0)
	f.stop(api)
	f.upgradeStore()
	c := f.client(f.new.api(t, f.env))
	// The old worker can take no permit in the new store, because it would not judge again. So calls
	// wait for a new worker, and nothing is lost.
	f.decide(c, approved, approval.Approve, approval.AnswerResolved)
	allowed := f.start(c, "read", 0)
	f.new.worker(t, f.env)
	f.ends(c, approved.ID, approval.StatusExecuted)
	f.ends(c, allowed.ID, approval.StatusExecuted)
	f.settle(c, calls)
	a := f.startAgent(c, f.newAgent)
	f.callsOfAllKinds(c, f.old)
	f.approveAgent(c, a)
	f.check(c)
}

func testNewWorker(t *testing.T, m *mixed) {
	f := newFleet(t, m, "new-worker")
	worker := f.old.worker(t, f.env)
	c := f.client(f.old.api(t, f.env))
	calls := f.open(c)
	a := f.startAgent(c, f.oldAgent)
	approved, rejected, expired := f.pending(c, 0), f.pending(c, 0), f.pending(c, 2*time.Second)
	running := f.start(c, "slow", 0)
	waitFor(t, "the tool runs", func() bool { return f.old.ran(running.ID) == 1 })

	// The old worker lets its tool end, and the new one goes on from there.
	worker.Signal(syscall.SIGTERM)
	waitFor(t, "the worker is stopping", func() bool { code, _ := worker.readyz(); return code != 200 })
	f.old.release(running.ID)
	f.stopped(worker)
	started := f.start(c, "send", 0)
	var both sync.WaitGroup // each takes the client some seconds
	both.Go(func() { f.decide(c, approved, approval.Approve, rest.AnswerNotJudged) })
	both.Go(func() { f.decide(c, rejected, approval.Reject, rest.AnswerNotJudged) })
	both.Wait()
	waitFor(t, "the deadline is over", func() bool { return time.Now().After(*expired.Deadline) })
	f.upgradeStore()
	f.new.worker(t, f.env)

	f.ends(c, running.ID, approval.StatusExecuted)
	f.ends(c, approved.ID, approval.StatusExecuted)
	f.ends(c, rejected.ID, approval.StatusRejected)
	f.ends(c, expired.ID, approval.StatusExpired)
	f.decide(c, f.waits(c, started.ID), approval.Approve, approval.AnswerResolved)
	f.ends(c, started.ID, approval.StatusExecuted)
	f.settle(c, calls)
	f.approveAgent(c, a)
	f.callsOfAllKinds(c, f.new)
	f.check(c)
}

func testBothWorkers(t *testing.T, m *mixed) {
	f := newFleet(t, m, "both")
	workers := []*process{f.old.worker(t, f.env)}
	apis := []*client.Client{f.client(f.old.api(t, f.env))}
	calls := f.open(apis[0])
	f.upgradeStore()
	workers = append(workers, f.new.worker(t, f.env))
	apis = append(apis, f.client(f.new.api(t, f.env)))
	f.settle(apis[1], calls)

	// Each call is started by one API and decided by the other, until both workers have taken part.
	took := map[int]int{} // tasks, by process ID
	for n := 0; took[workers[0].PID()] < 5 || took[workers[1].PID()] < 5; n++ {
		if n == 100 {
			t.Fatalf("of %d calls, tasks went to these processes: %v", n, took)
		}
		asks, decides := apis[n%2], apis[1-n%2]
		v := f.waits(decides, f.start(asks, "send", 0).ID)
		kind, want := approval.Approve, approval.StatusExecuted
		if n%4 > 1 {
			kind, want = approval.Reject, approval.StatusRejected
		}
		f.decide(decides, v, kind, approval.AnswerResolved)
		one, other := f.ends(asks, v.ID, want), f.ends(decides, v.ID, want)
		if one.Digest != v.Digest || other.Digest != v.Digest {
			t.Errorf("call %s has the digests %s, %s, %s", v.ID, v.Digest, one.Digest, other.Digest)
		}
		f.countTasks(v.ID, took)
	}

	// Then the old worker leaves. Whichever of them began a call, the new one brings it to its end.
	var last []client.View
	for n := range 8 {
		last = append(last, f.pending(apis[n%2], 0))
	}
	f.stop(workers[0])
	for n, v := range last {
		f.decide(apis[n%2], v, approval.Approve, approval.AnswerResolved)
		f.ends(apis[1-n%2], v.ID, approval.StatusExecuted)
	}
	f.check(apis[0])
}

// countTasks counts the tasks of a call's history by the process that took them.
func (f *fleet) countTasks(id string, took map[int]int) {
	f.t.Helper()
	h, err := f.new.temporal.Client.WorkflowService().GetWorkflowExecutionHistory(f.t.Context(), &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: f.namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range h.GetHistory().GetEvents() {
		by := cmp.Or(e.GetWorkflowTaskStartedEventAttributes().GetIdentity(), e.GetActivityTaskStartedEventAttributes().GetIdentity())
		if number, _, ok := strings.Cut(by, "@"); ok {
			if pid, err := strconv.Atoi(number); err == nil {
				took[pid]++
			}
		}
	}
}
