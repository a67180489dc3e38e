package operate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/worker"
)

type workerCommand struct{ process }

func (a *app) worker() *cobra.Command {
	w := &workerCommand{}
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run guarded calls: judge them, wait for people, run tools",
		Long: `Run guarded calls: judge them by the policy, wait for people, run tools. As
many workers as wanted may run at once on a Postgres store; on a SQLite store
one, which owns the file.

All workers judge by the policy that is active in the store, and notice within
seconds when 'pawl policy apply' changes it. A store without a policy begins
with the --policy files. If the store has one, they change nothing: files that
were applied once are ignored, with a warning; with files that were never
applied the worker does not start.

` + cli.TemporalHelp + `

When it is ready, one line of JSON goes to stdout; the log goes to stderr.
SIGINT, SIGTERM and SIGHUP stop it: it takes no more work, lets running tools
end, and exits with 0. A second signal ends it at once, and the calls whose
tools were running end outcome_unknown.`,
		Example: `  pawl worker --database-url sqlite://.pawl/pawl.db --tools tools.yaml
  pawl worker --policy org.yaml --policy team.yaml --health-listen :8085`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := w.begin(a, cmd); err != nil {
				return err
			}
			w.Database.KeepSchema = w.KeepSchema
			if err := w.Database.Validate(); err != nil {
				return cli.UsageError(err)
			}
			return w.run(cmd)
		},
	}
	w.AddFlags(cmd, settings.Worker)
	return cmd
}

func (w *workerCommand) run(cmd *cobra.Command) (err error) {
	ctx := cmd.Context()
	// Files are checked before anything is connected.
	rules, err := policy.Load(w.Policy...)
	if err != nil {
		return fmt.Errorf("policy:\n%w", err)
	}
	var tools []*tool.Tool
	if w.Tools != "" {
		if tools, err = worker.LoadTools(w.Tools, os.LookupEnv); err != nil {
			return fmt.Errorf("tools:\n%w", err)
		}
	}
	channels, err := loadChannels(w.Notify)
	if err != nil {
		return err
	}
	options, keys, err := w.temporalOptions()
	if err != nil {
		return err
	}
	probes := health.NewHandler(w.log)
	fields := map[string]any{"task_queue": w.TaskQueue, "namespace": options.Namespace}
	if w.HealthListen != "" {
		l, err := net.Listen("tcp", w.HealthListen)
		if err != nil {
			return fmt.Errorf("the health address %s: %w; choose another with "+
				"--health-listen", w.HealthListen, err)
		}
		defer serveHealth(l, probes, w.log)()
		fields["health"] = "http://" + l.Addr().String()
	}

	temporal, err := w.dial(ctx, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	if err := w.awaitNamespace(ctx, temporal, options.Namespace); err != nil {
		return err
	}
	opened, err := w.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	judge, err := w.followPolicy(ctx, opened, rules)
	if err != nil {
		return err
	}
	defer judge.Close()
	sealer, err := w.sealer(ctx, opened)
	if err != nil {
		return err
	}

	fatal := make(chan error, 1)
	running, err := worker.New(ctx, worker.Options{
		Client: temporal, Namespace: options.Namespace, TaskQueue: w.TaskQueue, PayloadKeys: keys,
		Store: opened, Policy: judge, Tools: tools, Decisions: w.Decisions, OrdinarySteps: w.OrdinarySteps,
		PublicURL: w.PublicURL, WorkflowCache: w.WorkflowCache, StopTimeout: w.StopTimeout, Logger: w.log,
		Retention: worker.Retention{Payloads: w.RetainPayloads, Rows: w.RetainRows, Tokens: w.RetainTokens},
		Sealer:    sealer, OnFatal: func(err error) { fatal <- err },
	})
	if err != nil {
		return err
	}
	if err := running.Start(); err != nil {
		return fmt.Errorf("starting the worker at Temporal %s: %w", options.HostPort, err)
	}
	defer w.notify(ctx, opened, channels)()
	probes.Use(w.checks(temporal, options.Namespace, opened, judge)...)
	if err := announceReady(cmd.OutOrStdout(), fields); err != nil {
		running.Stop()
		return err
	}
	select {
	case <-ctx.Done():
		w.log.Info("stopping: no more work is taken, running tools may end", "within", w.StopTimeout)
	case err = <-fatal:
		err = fmt.Errorf("the worker can't go on: %w", err)
	}
	probes.Pause()
	running.Stop()
	return err
}

// followPolicy lets the files be the first policy of a store that has none, and follows the active
// one.
func (w *workerCommand) followPolicy(
	ctx context.Context, s store.Store, files *policy.Set,
) (*active.Policy, error) {
	v, fits, err := active.Seed(ctx, s, active.Change{
		Files: active.Names(files.Sources()), By: "pawl worker", Channel: "file",
		Note: "the store had no policy",
	})
	switch {
	case errors.Is(err, active.ErrNotApplied):
		return nil, fmt.Errorf("%w; apply them with 'pawl policy apply', or start without --policy to "+
			"use the store's", err)
	case err != nil:
		return nil, fmt.Errorf("policy: %w", err)
	case !fits:
		w.log.WarnContext(ctx, "the --policy files are not the active policy but an earlier one; they "+
			"are ignored",
			"active", v.Version, "by", approval.Display(v.By, 80))
	default:
		active.LogWarnings(ctx, w.log, files.Warnings())
	}
	judge, err := active.Follow(ctx, active.Options{Store: s, Logger: w.log})
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return judge, nil
}

// checks are what a worker needs. Whether it or another worker polls can't be distinguished; but a
// worker that can't poll any more ends.
func (w *workerCommand) checks(
	c client.Client, namespace string, s store.Store, judge *active.Policy,
) []health.Check {
	polled := func(kind enums.TaskQueueType) func(context.Context) error {
		return func(ctx context.Context) error {
			ok, err := health.Polled(ctx, c.WorkflowService(), namespace, w.TaskQueue, kind)
			if err == nil && !ok {
				err = fmt.Errorf("polls of the task queue: %w", health.ErrMissing)
			}
			return err
		}
	}
	temporal := func(ctx context.Context) error {
		_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	}
	exists := func(ctx context.Context) error { return health.Namespace(ctx, c.WorkflowService(), namespace) }
	searchable := func(ctx context.Context) error {
		return health.SearchAttributes(ctx, c.OperatorService(), namespace)
	}
	return []health.Check{
		{Name: "temporal", Look: temporal, Advice: "Temporal does not answer."},
		{Name: "namespace", Needs: "temporal", Look: exists, Missing: "Create the namespace with 'pawl setup'.",
			Advice: "Temporal does not say whether the namespace exists: check the credentials."},
		{Name: "store", Look: s.Ping, Advice: "The store can't be used now; calls wait until it can."},
		logCheck(s),
		{Name: "policy", Look: judge.Check,
			Advice: "Calls are judged by an older policy: the active one can't be used or looked up here. " +
				"The log says why."},
		{Name: "search_attributes", Needs: "namespace", Optional: true, Look: searchable,
			Advice: "Calls can't be found by status, tool and agent in Temporal: run 'pawl setup' and " +
				"restart the workers."},
		{Name: "workflow_worker", Needs: "namespace", Look: polled(enums.TASK_QUEUE_TYPE_WORKFLOW),
			Advice: "Nobody polls the task queue for workflow tasks yet."},
		{Name: "activity_worker", Needs: "namespace", Look: polled(enums.TASK_QUEUE_TYPE_ACTIVITY),
			Advice: "Nobody polls the task queue for activities yet."},
	}
}

func serveHealth(l net.Listener, h http.Handler, log *slog.Logger) (stop func()) {
	server := &http.Server{
		Handler: h, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("health checks are not served any more", "error", err)
		}
	}()
	return func() { _ = server.Close() }
}
