// Package worker starts what runs guarded calls: the workflow, its activities and the tools. One
// call of New and one of Start is all a process needs, and one of Stop at its end.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/workflows"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// PrepareClient readies the options of a client for a worker or an API: without it, a workflow that
// somebody starts under an ID beyond printable ASCII can be neither run nor ended.
func PrepareClient(o *client.Options) { calls.PrintableHeaders(o) }

// DefaultWorkflowCache bounds a worker's memory, which is less than 256 MiB with it where arguments
// have at most 20 KiB: a call in the cache takes about 50 KiB, and eight times its arguments' size.
const DefaultWorkflowCache = 1000

// Options says what a worker serves.
type Options struct {
	Client    client.Client // required; see PrepareClient
	Namespace string        // the client's namespace; default "default"
	Store     store.Store   // required, open for writing
	Tools     []*tool.Tool  // offered by this worker; none is allowed
	TaskQueue string        // default approval.TaskQueue
	Logger    *slog.Logger  // default: discard

	// Policy judges calls. Default: the policy that is active in the store, followed as it changes.
	// Another one's text nobody can look up by the digest in its verdicts.
	Policy activities.Policy

	// PayloadKeys is the keyring that Client was configured with. Default: none, for a client that
	// writes plain text.
	PayloadKeys *codec.Keyring

	// OrdinarySteps runs every step of a call as an ordinary activity, so that each shows in
	// Temporal's UI; see activities.Activities. Default false.
	OrdinarySteps bool

	// Decisions says which decisions count for every call; policies can be stricter. All workers of a
	// task queue should have the same. Default: any where one approval is enough, and signed ones where
	// several people are asked and the policy does not say approval.DecisionsAny.
	Decisions approval.Decisions

	// Sealer seals the audit log while the worker runs. Default: another process does.
	Sealer *tree.Sealer

	// PublicURL is where people reach Pawl's page: Temporal's UI then shows the address of each
	// request. See approval.CheckPublicURL. Default: none.
	PublicURL string

	// Retention says how long what is over is kept. Default: for good.
	Retention Retention

	// StopTimeout is how long Stop waits for running tools. Default 10 s.
	StopTimeout time.Duration

	// WorkflowCache is how many waiting calls keep their workflow's state in memory between two
	// events; the others are replayed from their history when something happens to them. The SDK has
	// one such cache for the process: the size that was set last before the first worker was made
	// holds for all. Default: DefaultWorkflowCache.
	WorkflowCache int

	// OnFatal is called, at most once and from another goroutine, with the reason why the worker has
	// stopped polling and can't go on: the namespace is gone, for instance, or ErrRestored. Call Stop
	// then. Default: nothing is called.
	OnFatal func(error)
}

func (o *Options) validate() error {
	switch {
	case o.Client == nil:
		return errors.New("worker: Options.Client is missing")
	case o.Store == nil:
		return errors.New("worker: Options.Store is missing")
	case o.StopTimeout < 0:
		return errors.New("worker: Options.StopTimeout is negative")
	case o.WorkflowCache < 0:
		return errors.New("worker: Options.WorkflowCache is negative")
	}
	o.WorkflowCache = cmp.Or(o.WorkflowCache, DefaultWorkflowCache)
	if o.Decisions != "" {
		if _, err := approval.ParseDecisions(string(o.Decisions)); err != nil {
			return fmt.Errorf("worker: Options.Decisions: %w", err)
		}
	}
	if err := o.Retention.Check(); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if o.PublicURL != "" {
		if err := approval.CheckPublicURL(o.PublicURL); err != nil {
			return fmt.Errorf("worker: Options.PublicURL: %w", err)
		}
	}
	o.Namespace = cmp.Or(o.Namespace, client.DefaultNamespace)
	o.TaskQueue = cmp.Or(o.TaskQueue, approval.TaskQueue)
	o.StopTimeout = cmp.Or(o.StopTimeout, 10*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return nil
}

// Worker serves guarded calls until it is stopped.
type Worker struct {
	worker  worker.Worker
	stop    func()         // stops worker, once
	policy  *active.Policy // nil: Options.Policy judges
	sweeper sweeper
	sealer  *tree.Sealer // nil: none

	retainer retainer
	cancel   context.CancelFunc // of both
	beside   sync.WaitGroup     // they
}

// New readies a worker: it publishes the tools to the catalogue and looks whether the namespace has
// Pawl's search attributes. It does not poll yet.
func New(ctx context.Context, o Options) (*Worker, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	registry, err := tool.NewRegistry(o.Tools...)
	if err != nil {
		return nil, err
	}
	storeID, err := o.Store.ID(ctx)
	if err != nil {
		return nil, err
	}
	if err := bind(ctx, o, storeID); err != nil {
		return nil, err
	}
	if err := awaitCompared(ctx, o); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	if err := publish(ctx, o, registry); err != nil {
		return nil, err
	}
	var follows *active.Policy
	if o.Policy == nil {
		if follows, err = active.Follow(ctx, active.Options{Store: o.Store, Logger: o.Logger}); err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		o.Policy = follows
	}
	noteRedaction(ctx, o)
	missing, err := health.MissingAttributes(ctx, o.Client.OperatorService(), o.Namespace)
	if err != nil {
		o.Logger.WarnContext(ctx, "search attributes could not be looked up; going on without them", "error", err)
	}
	var once sync.Once
	fatal := func(err error) {
		if o.OnFatal != nil {
			once.Do(func() { o.OnFatal(err) })
		}
	}
	worker.SetStickyWorkflowCacheSize(o.WorkflowCache)
	w := worker.New(o.Client, o.TaskQueue, worker.Options{
		WorkerStopTimeout: o.StopTimeout,
		OnFatalError:      fatal,
		// The default second is short for a busy machine: what it catches is a workflow that blocks for
		// good.
		DeadlockDetectionTimeout: 5 * time.Second,
		Interceptors:             []interceptor.WorkerInterceptor{workflows.CallHeader()},
	})
	w.RegisterWorkflowWithOptions(workflows.GuardedCall, workflow.RegisterOptions{Name: approval.WorkflowType})
	w.RegisterWorkflowWithOptions(workflows.PublishTools,
		workflow.RegisterOptions{Name: approval.WorkflowPublish})
	w.RegisterWorkflowWithOptions(workflows.KeepStore, workflow.RegisterOptions{Name: approval.WorkflowStore})
	w.RegisterActivity(&activities.Activities{
		Store: o.Store, StoreID: storeID, Policy: o.Policy, Tools: registry, Logger: o.Logger,
		Ordinary: o.OrdinarySteps, Decisions: o.Decisions, SearchAttributes: err == nil && len(missing) == 0,
		PublicURL: o.PublicURL,
	})
	sweeps, stop := newSweeper(o), sync.OnceFunc(w.Stop)
	sweeps.fatal = func(err error) {
		stop()
		fatal(err)
	}
	return &Worker{
		worker: w, stop: stop, policy: follows, sweeper: sweeps, sealer: o.Sealer,
		retainer: retainer{o.Retention, o.Store, o.Logger, map[string]bool{}},
	}, nil
}

// Callers is what an API needs to serve those who run tools themselves: an api.Callers.
type Callers struct {
	store.Callers
	activities.CallerAPI
}

// NewCallers makes Callers on a store that may be written, with the policy that judges there.
func NewCallers(
	ctx context.Context, s store.Store, p activities.Policy, log *slog.Logger,
) (Callers, error) {
	id, err := s.ID(ctx)
	steps := &activities.Activities{Store: s, StoreID: id, Policy: p, Logger: log}
	return Callers{s, activities.CallerAPI{Steps: steps}}, err
}

// Start begins to poll. It returns an error if Temporal does not answer.
func (w *Worker) Start() error {
	if err := w.worker.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.beside.Go(func() { w.sweeper.run(ctx) })
	w.beside.Go(func() { w.retainer.run(ctx) })
	if w.sealer != nil {
		w.beside.Go(func() { w.sealer.Run(ctx) })
	}
	return nil
}

// Stop takes no more work, waits for running tools as long as Options.StopTimeout says, and
// returns. A tool that runs on is cut off: its call ends outcome_unknown.
func (w *Worker) Stop() {
	w.stop()
	if w.cancel != nil {
		w.cancel()
		w.beside.Wait()
	}
	if w.policy != nil {
		w.policy.Close()
	}
}

// noteRedaction says where the values are that a policy hides from people.
func noteRedaction(ctx context.Context, o Options) {
	p, ok := o.Policy.(interface{ Redacts() bool })
	if ok && p.Redacts() && o.PayloadKeys == nil {
		o.Logger.WarnContext(ctx, "the policy hides values from reviewers and the record, but Temporal's history "+
			"holds them: without a keyring nothing is encrypted; see docs/encryption.md")
	}
}

// bindWithin is how long a Temporal is waited for that answers, but not in time: one that starts on a
// busy machine, for instance.
const bindWithin = time.Minute

// bind is bindOnce, again while Temporal gives no answer.
func bind(ctx context.Context, o Options, id string) error {
	var pause retry.Backoff
	for until := time.Now().Add(bindWithin); ; {
		err := bindOnce(ctx, o, id)
		if !silent(err) || time.Now().After(until) || !pause.Wait(ctx) {
			return err
		}
	}
}

// silent reports whether an error is that Temporal gave no answer: it may give one later.
func silent(err error) bool {
	failed, ok := errors.AsType[*calls.Error](calls.Classify(err))
	return ok && !failed.Refused
}

// bindOnce says in Temporal that the task queue's calls are kept in this store, or finds that they
// are kept in another one: health.ErrOtherStore.
func bindOnce(ctx context.Context, o Options, id string) error {
	keep := client.StartWorkflowOptions{
		ID: approval.StoreWorkflowID(o.TaskQueue), TaskQueue: o.TaskQueue,
		// With another policy, whoever comes second would not learn of the first.
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		Memo:                     map[string]any{approval.MemoStore: id},
		StaticSummary:            "the store of the task queue " + o.TaskQueue + ": leave it running",
	}
	if _, err := o.Client.ExecuteWorkflow(ctx, keep, approval.WorkflowStore); err != nil {
		return fmt.Errorf("telling Temporal which store the task queue has: %w", err)
	}
	if err := health.SameStore(ctx, o.Client, o.TaskQueue, id); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if o.PayloadKeys == nil {
		return nil
	}
	// The workflow outlives keys. Written anew with today's, its memo can be read when those before
	// are forgotten.
	d, err := o.Client.DescribeWorkflow(ctx, keep.ID, "")
	if err == nil && !o.PayloadKeys.Current(d.Memo.GetFields()[approval.MemoStore]) {
		keep.WorkflowIDConflictPolicy = enums.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING // in one step
		_, err = o.Client.ExecuteWorkflow(ctx, keep, approval.WorkflowStore)
	}
	if err != nil {
		return fmt.Errorf("telling Temporal with the active key which store the task queue has: %w", err)
	}
	return nil
}

// publish says in the catalogue which tools this worker offers.
func publish(ctx context.Context, o Options, registry *tool.Registry) error {
	p := store.Publication{Publisher: o.TaskQueue, Operator: true}
	for _, t := range registry.All() {
		if t.Queue() == o.TaskQueue {
			return fmt.Errorf("worker: the tool %s is said to run on a remote worker, "+
				"but the task queue %s is this worker's own",
				t.Name(), t.Queue())
		}
		p.Tools = append(p.Tools, activities.Row(t, o.TaskQueue))
	}
	if _, err := o.Store.PublishTools(ctx, p); err != nil {
		return fmt.Errorf("publishing the tools: %w", err)
	}
	return nil
}
