package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/workflows"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
)

// fixture is what all plans share, because it is slow to make.
type fixture struct {
	store  *sqlite.Store
	policy *active.Policy // the store's
	sets   []*policy.Set  // policies
	active int            // of them, in the store
	tools  *tool.Registry
	key    sign.Key
	calls  int
	now    atomic.Pointer[world] // the one whose plan runs
}

func newFixture(t *testing.T) *fixture {
	h := following(t)
	f := &fixture{store: h.store, policy: h.acts.Policy.(*active.Policy), key: newKey(t)}
	h.trust(f.key)
	send := mustTool(tool.New("send", func(_ context.Context, in toolArgs) (string, error) {
		f.now.Load().ran(in.To)
		return "sent", nil
	}, tool.Options{}))
	f.active = -1
	for i := range policies {
		f.sets = append(f.sets, policyOf(t, policyText(i)))
	}
	var err error
	if f.tools, err = tool.NewRegistry(send); err != nil {
		t.Fatal(err)
	}
	return f
}

// world is where a plan happens. It is the store, too, through which everything passes.
type world struct {
	store.Store
	f       *fixture
	plan    plan
	id      string
	call    approval.Call
	digest  string
	workers [2]*activities.Activities // the second one is of an older version
	env     *testsuite.TestWorkflowEnvironment
	began   time.Time // by Temporal's clock
	stopped bool      // the run was reset, or terminated
	steps   *stepping

	mu      sync.Mutex
	happens []event // what is still to come
	writes  int
	fails   []bool // the next writes; true: when they were done
	taken   int    // steps, by workers
	active  int    // of policies
	record  store.Record
	started time.Time
	signals []signalled // so far, in this run
	facts   facts
	story   []string
	wrong   []string
}

type signalled struct {
	name    string
	payload any
	at      time.Time
}

func (f *fixture) world(p plan) *world {
	f.calls++
	w := &world{Store: f.store, f: f, plan: p, id: fmt.Sprint("call-", f.calls), happens: p.events, facts: facts{onRecord: map[string]bool{}}}
	f.now.Store(w)
	w.call = approval.Call{Tool: "send", Args: json.RawMessage(fmt.Sprintf(`{"to":%q}`, w.id)), Requester: "bot", Owner: "olga", Nonce: "n"}
	if p.caller {
		w.call.Tool, w.call.Execution, w.call.ReportWithin = "bash", approval.ExecutionCaller, approval.Duration(seconds(reportDue))
	}
	var err error
	w.digest, err = w.call.Digest(w.id)
	w.can(err)
	w.apply(p.policy)
	w.can(f.policy.Refresh(context.Background()))
	for i, judges := range []activities.Policy{f.policy, stale{f.sets[p.policy]}} {
		w.workers[i] = &activities.Activities{
			Decisions: approval.DecisionsAny, Store: w, StoreID: storeID, Policy: judges, Tools: f.tools, Ordinary: p.ordinary,
			Logger: slog.New(slog.DiscardHandler),
		}
	}
	return w
}

// stale is the policy of a worker that can't use the active one.
type stale struct{ *policy.Set }

func (s stale) Judge(c approval.Call, now time.Time) (approval.Verdict, int64) {
	return s.Evaluate(c, now), 1
}

func (stale) Refresh(context.Context) error { return errors.New("the active policy is too new") }

func (w *world) can(err error) {
	if err != nil {
		w.must(false, "%v", err)
	}
}

// live runs the call's workflow until it ends by itself.
func (w *world) live() approval.Outcome {
	old := w.plan.before
	for now := time.Now(); ; now, old = w.env.Now(), false {
		w.begin(now, old)
		w.env.ExecuteWorkflow(approval.WorkflowType, w.call)
		w.steps.end()
		if !w.stopped {
			break
		}
	}
	var out approval.Outcome
	w.can(w.env.GetWorkflowResult(&out))
	return out
}

// begin makes the next run.
func (w *world) begin(now time.Time, old bool) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	w.env, w.stopped = suite.NewTestWorkflowEnvironment(), false
	w.steps = &stepping{}
	w.env.SetStartTime(now)
	w.env.SetTestTimeout(20 * time.Second)
	w.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: w.id, TaskQueue: approval.TaskQueue})
	w.env.RegisterWorkflowWithOptions(w.guarded, workflow.RegisterOptions{Name: approval.WorkflowType})
	if old {
		w.env.OnGetVersion("judge-again", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion)
	}
	step(w, "Admit", (*activities.Activities).Admit)
	step(w, "Claim", (*activities.Activities).Claim)
	step(w, "JudgeAndClaim", (*activities.Activities).JudgeAndClaim)
	step(w, "Execute", (*activities.Activities).Execute)
	step(w, "Record", (*activities.Activities).Record)
	step(w, "Keys", (*activities.Activities).Keys)
	step(w, "CallerState", (*activities.Activities).CallerState)
	step(w, "Report", (*activities.Activities).Report)
	step(w, "AnswerTimes", w.answerTimes)
	step(w, "RecordVotes", func(a *activities.Activities, ctx context.Context, in activities.RecordInput) (bool, error) {
		return true, a.RecordVotes(ctx, in)
	})
	step(w, "Refuse", func(a *activities.Activities, ctx context.Context, in activities.RefuseInput) (bool, error) {
		return true, a.Refuse(ctx, in)
	})
	if w.began.IsZero() {
		w.began = now
	}
	again := w.signals // a reset applies the signals again
	w.signals = nil
	for _, s := range again {
		w.env.RegisterDelayedCallback(func() { w.signal(s.name, s.payload) }, 0)
	}
	for _, e := range w.happens {
		if after := w.began.Add(seconds(e.at)).Sub(now); e.write == 0 && after > 0 {
			w.env.RegisterDelayedCallback(func() { w.do(e) }, after)
		}
	}
}

// guarded is the workflow, in a run that can be reset. What a reset leaves of it is its steps that run.
func (w *world) guarded(ctx workflow.Context, input converter.RawValue) (out approval.Outcome, err error) {
	ended, reset := false, false
	workflow.Go(ctx, func(ctx workflow.Context) {
		out, err = workflows.GuardedCall(ctx, input, converter.RawValue{})
		ended = true
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, string(resets)).Receive(ctx, nil)
		reset = true
	})
	free, _ := workflow.NewDisconnectedContext(ctx)
	wait := workflow.Await(free, func() bool { return ended || reset })
	w.stopped = !ended
	return out, errors.Join(err, wait)
}

// stepping is the steps of a run. After its end none begins, while those that run go on.
type stepping struct {
	mu      sync.Mutex
	over    bool
	running sync.WaitGroup
}

func (s *stepping) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.running.Add(1)
	}
	return !s.over
}

// end is the end of the run, and waits for what is left of it.
func (s *stepping) end() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.running.Wait()
}

// step registers a step. Which of the two workers takes it is the plan's.
func step[In, Out any](w *world, name string, run func(*activities.Activities, context.Context, In) (Out, error)) {
	steps := w.steps
	w.env.RegisterActivityWithOptions(func(ctx context.Context, in In) (out Out, err error) {
		if !steps.begin() {
			return out, errors.New("the run is over")
		}
		defer steps.running.Done()
		w.mu.Lock()
		w.taken++
		old := w.taken <= len(w.plan.old) && w.plan.old[w.taken-1]
		w.mu.Unlock()
		if !old {
			return run(w.workers[0], ctx, in)
		}
		if name == "JudgeAndClaim" || name == "CallerState" || name == "Report" {
			return out, errors.New("this worker does not know the step")
		}
		return run(w.workers[1], ctx, in)
	}, activity.RegisterOptions{Name: name})
}

func (w *world) answerTimes(_ *activities.Activities, _ context.Context, in activities.AnswersInput) (activities.Answers, error) {
	out := activities.Answers{InTime: map[string][]time.Time{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.signals {
		if s.at.Before(in.Deadline) {
			out.InTime[s.name] = append(out.InTime[s.name], s.at)
		}
	}
	return out, nil
}

func (w *world) signal(name string, payload any) {
	w.mu.Lock()
	w.signals = append(w.signals, signalled{name, payload, w.env.Now()})
	w.mu.Unlock()
	w.env.SignalWorkflow(name, payload)
}

func (w *world) apply(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active = i
	if w.f.active == i {
		return
	}
	ctx := context.Background()
	v, err := active.Version(ctx, w.f.store)
	w.can(err)
	_, err = active.Apply(ctx, w.f.store, active.Change{
		Files: []policy.File{{Name: "p.yaml", Data: []byte(policyText(i))}}, Expect: v.Version, By: "ana", Channel: "cli",
	})
	w.can(err)
	w.f.active = i
}

// do lets an event happen.
func (w *world) do(e event) {
	w.tell("%v", e)
	switch e.do {
	case approves, rejects:
		w.decide(e)
	case withdraws:
		w.signal(approval.SignalCancel, approval.CancelSignal{DecisionID: fmt.Sprint("withdrawal ", w.env.Now().UnixNano()), By: "bot"})
	case cancels:
		w.env.CancelWorkflow()
	case applies:
		w.apply(e.policy)
	case starts:
		r, err := w.callers().StartCaller(context.Background(), w.id, w.call, approval.HashStartID(e.by), approval.Actor{By: "bot"})
		if err == nil && !e.lost {
			if r.View.Status == approval.StatusExecuting {
				w.ran(e.by)
			}
			w.signal(approval.SignalStarted, nil)
		}
	case reports:
		said := approval.SentReport{ReportSignal: approval.ReportSignal{StartID: e.by, Status: e.report}}
		w.signal(approval.SignalReport, said)
		if r, err := w.Store.Call(context.Background(), w.id); err == nil && r.View.Status.Ended() {
			if err := w.callers().ReportLate(context.Background(), w.id, w.call, said); !errors.Is(err, store.ErrStarted) && !errors.Is(err, store.ErrNoPermit) && !errors.Is(err, errAway) {
				w.can(err)
			}
		}
	case resets:
		if e.lost {
			w.mu.Lock()
			w.signals = nil
			w.mu.Unlock()
		}
		w.env.SignalWorkflow(string(resets), nil)
	case failsStore:
		w.mu.Lock()
		w.fails = append(w.fails, e.lost)
		w.mu.Unlock()
	}
}

func (w *world) callers() activities.CallerAPI { return activities.CallerAPI{Steps: w.workers[0]} }

// decide sends a decision, as an API does.
func (w *world) decide(e event) {
	kind := approval.Approve
	if e.do == rejects {
		kind = approval.Reject
	}
	at := w.env.Now().UTC().Truncate(time.Microsecond)
	w.mu.Lock()
	d := approval.Decision{ID: fmt.Sprint("d", len(w.facts.decisions)), Kind: kind, Reviewer: e.by, Channel: "api", At: at}
	w.facts.decisions = append(w.facts.decisions, made{e, d.ID, at})
	w.mu.Unlock()
	if e.notes {
		d.Notes = "checked"
	}
	digest := w.digest
	if e.stale {
		digest = "00"
	}
	if e.signed {
		var err error
		d.Method = "token"
		d, err = sign.Sign(w.f.key, d, storeID, w.id, w.digest)
		w.can(err)
	}
	if e.recorded() {
		sent, err := audit.New(w.id, "sent/"+d.ID, at, audit.Sent{
			DecisionID: d.ID, Decides: kind, Reviewer: e.by, Channel: "api", Method: "token", Digest: digest, At: at,
		})
		w.can(err)
		w.mu.Lock()
		w.can(w.f.store.Append(context.Background(), sent))
		w.facts.onRecord[e.by] = true
		w.mu.Unlock()
	}
	if !e.lost {
		w.signal(string(kind), approval.DecisionSignal{
			DecisionID: d.ID, Reviewer: d.Reviewer, Channel: d.Channel, Notes: d.Notes, Digest: digest, Method: d.Method,
			Envelope: d.Envelope, NotesSalt: d.NotesSalt,
		})
	}
}
