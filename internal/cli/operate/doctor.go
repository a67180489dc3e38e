package operate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/temporal"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/worker"
)

const (
	// maxSkew is how far clocks may differ. Permits and deadlines count in minutes, and workers use
	// their own clock when they use a permit.
	maxSkew = 5 * time.Second

	adviceWorker = "start one with 'pawl worker'; if one runs, its log and its /readyz say what it lacks"
)

type doctorCommand struct {
	process
	unknown []string // variables that nobody reads

	options  client.Options
	temporal client.Client // nil: it did not answer, or has not the namespace
	store    store.Store   // nil: it did not open
	rules    *policy.Set   // of the files; nil: none given, or broken
}

func (a *app) doctor() *cobra.Command {
	d := &doctorCommand{}
	d.Database.ReadOnly = true
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether everything Pawl needs is there, and say what to do",
		Long: `Check whether everything Pawl needs is there, and say what to do. It changes
nothing and waits for nothing, and checks all parts even if some are down.

` + cli.TemporalHelp + `

Exit code 0: all is well; 1: something is missing or failed.`,
		Example: `  pawl doctor --database-url sqlite://.pawl/pawl.db --policy policy.yaml
  pawl doctor --config pawl.yaml -o json`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.begin(a, cmd); err != nil {
				return err
			}
			if err := d.checkAccess(); err != nil {
				return cli.UsageError(err)
			}
			d.unknown = a.UnknownVariables()
			findings := d.checkAll(cmd.Context())
			if a.Output != cli.OutputJSON {
				for _, f := range findings {
					if err := a.Say(f.line()); err != nil {
						return err
					}
				}
			}
			return a.report(findings)
		},
	}
	d.AddFlags(cmd, settings.Doctor)
	settings.Default(cmd.Flags(), "log-level", "error")
	cmd.Flags().Lookup("policy").Usage = "policy `file` to check; repeat it for more layers"
	cmd.Flags().Lookup("tools").Usage = "tools `file` to check"
	return cmd
}

// checkAll makes all checks, side by side where they do not need each other.
func (d *doctorCommand) checkAll(ctx context.Context) []finding {
	var temporal, stored, files []finding
	var parts sync.WaitGroup
	parts.Go(func() { temporal = d.checkTemporal(ctx) })
	parts.Go(func() { stored = d.checkStore(ctx) })
	parts.Go(func() { files = d.checkFiles() })
	parts.Wait()
	judged := d.checkPolicy(ctx)
	queues := slices.Concat(d.checkCallers(ctx), d.checkQueues(ctx), d.checkPeople(ctx))
	if d.temporal != nil {
		d.temporal.Close()
	}
	if d.store != nil {
		_ = d.store.Close() // it only read
	}
	return slices.Concat(temporal, stored, files, judged, queues)
}

func (d *doctorCommand) checkTemporal(ctx context.Context) []finding {
	var err error
	if d.options, err = temporal.Options(d.log); err != nil {
		return []finding{failed("temporal", err, adviceTemporal)}
	}
	if encrypting, _, err := d.temporalOptions(); err == nil { // checkKeys reports what is wrong
		d.options = encrypting
	}
	within, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	c, err := client.DialContext(within, d.options)
	if err != nil {
		err = fmt.Errorf("no answer from %s (TLS %s): %w", d.options.HostPort, temporal.TLS(d.options), err)
		return append([]finding{failed("temporal", err, adviceTemporal)}, unasked()...)
	}
	d.temporal = c
	where := fmt.Sprintf("%s, TLS %s", d.options.HostPort, temporal.TLS(d.options))
	info, err := c.WorkflowService().GetSystemInfo(within, &workflowservice.GetSystemInfoRequest{})
	if version := info.GetServerVersion(); err == nil && version != "" {
		where += ", version " + version
	}
	there, state := found("temporal", stateOK, "%s", where), d.namespace(within)
	if state.bad() {
		c.Close()
		d.temporal = nil
		return []finding{there, state, found("search attributes", stateSkipped, "no namespace to check")}
	}
	return []finding{there, state, d.attributes(within)}
}

func (d *doctorCommand) namespace(ctx context.Context) finding {
	const what = "namespace"
	name := d.options.Namespace
	retention, err := health.Retention(ctx, d.temporal.WorkflowService(), name)
	switch {
	case errors.Is(err, health.ErrMissing):
		return found(what, stateMissing, "%s", name).
			advise("create it with 'pawl setup', or name another with TEMPORAL_NAMESPACE")
	case err != nil:
		return failed(what, fmt.Errorf("%s: %w", name, err), "check TEMPORAL_NAMESPACE and the credentials")
	}
	return found(what, stateOK, "%s, retention %s", name, hours(retention))
}

func (d *doctorCommand) attributes(ctx context.Context) finding {
	const what = "search attributes"
	missing, err := health.MissingAttributes(ctx, d.temporal.OperatorService(), d.options.Namespace)
	switch {
	case err != nil:
		return failed(what, err, "ask somebody with permission to list them: 'temporal operator "+
			"search-attribute list'")
	case len(missing) > 0:
		return found(what, stateMissing, "%s", strings.Join(missing, ", ")).
			advise("add them with 'pawl setup', then restart the workers; until then calls can't be " +
				"searched by them in Temporal's UI")
	}
	return found(what, stateOK, "%s", strings.Join(health.Attributes, ", "))
}

func (d *doctorCommand) checkStore(ctx context.Context) []finding {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	opened, err := d.Database.Open(ctx)
	if err == nil {
		err = opened.Ping(ctx)
		d.store = opened
	}
	switch {
	case d.Database.URL == "":
		return []finding{failed("store", err, "tell doctor the same as the workers")}
	case cli.NeedsSetup(err):
		return []finding{found("store", stateMissing, "%v", err).
			advise("run 'pawl setup' with this version of Pawl")}
	case err != nil:
		return []finding{failed("store", err, "")}
	}
	there := found("store", stateOK, "%s, its schema fits this Pawl", d.Database)
	if exposed := d.Database.Exposed(); exposed != "" {
		there = failed("store", errors.New(exposed), "")
	}
	return []finding{there, d.clocks(ctx), d.sealing(ctx)}
}

// clocks compares this host's clock with the store's server. Temporal shows its own nowhere without
// starting something.
func (d *doctorCommand) clocks(ctx context.Context) finding {
	const what = "clock"
	server, ok := d.store.(interface {
		Clock(context.Context) (time.Time, error)
	})
	if !ok {
		return found(what, stateSkipped, "the store is on this host")
	}
	before := time.Now()
	there, err := server.Clock(ctx)
	if err != nil {
		return failed(what, err, "")
	}
	took := time.Since(before)
	skew := there.Sub(before.Add(took / 2)).Abs()
	if skew > maxSkew+took {
		return finding{Name: what, State: stateFailed, Detail: fmt.Sprintf("this host and the database "+
			"server differ by %v", skew.Round(time.Second)),
			Advice: "let both, and Temporal's hosts, follow one time source (NTP): permits and deadlines " +
				"depend on clocks"}
	}
	return found(what, stateOK, "this host and the database server agree "+
		"within %v", (skew + took).Round(time.Millisecond))
}

func (d *doctorCommand) checkEnvironment() finding {
	const what = "environment"
	if len(d.unknown) == 0 {
		return found(what, stateOK, "every variable that begins with PAWL_ is one of Pawl's")
	}
	return failed(what, errors.New(strings.Join(d.unknown, "\n")), "unset them, or correct their names: "+
		"workers and APIs refuse to start with them")
}

func (d *doctorCommand) checkFiles() []finding {
	const what = "policy"
	rules := found(what, stateSkipped, "no --policy given")
	if len(d.Policy) > 0 {
		rules = found(what, stateOK, "%s", strings.Join(d.Policy, ", "))
		var err error
		if d.rules, err = policy.Load(d.Policy...); err != nil {
			rules = failed(what, fmt.Errorf("it can't be used:\n%w", err), "a worker refuses to "+
				"start with it")
		}
	}
	tools := found("tools", stateSkipped, "no --tools given")
	if d.Tools != "" {
		list, err := worker.LoadTools(d.Tools, os.LookupEnv)
		tools = found("tools", stateOK, "%d in %s", len(list), d.Tools)
		if err != nil {
			tools = failed("tools", fmt.Errorf("they can't be used:\n%w", err), "a worker refuses to "+
				"start with them")
		}
	}
	channels := found("notifications", stateSkipped, "no --notify given")
	if d.Notify != "" {
		list, err := loadChannels(d.Notify)
		channels = found("notifications", stateOK, "%d channels in %s", len(list), d.Notify)
		if err != nil {
			channels = failed("notifications", err, "a worker refuses to start with them")
		}
	}
	return []finding{d.checkEnvironment(), rules, tools, channels, d.checkKeys()}
}

// oldKey is the age at which doctor advises a new key: long before even a large site has written too
// many payloads with one.
const oldKey = 365 * 24 * time.Hour

func (d *doctorCommand) checkKeys() finding {
	const what = "payload keys"
	if d.PayloadKeys == "" {
		return found(what, stateSkipped, "no --payload-keys given: whoever reads the namespace reads "+
			"arguments and results")
	}
	keys, err := codec.Load(d.PayloadKeys)
	if err != nil {
		return failed(what, err, "workers and APIs refuse to start with it")
	}
	active := keys.Active()
	f := found(what, stateOK, "%d, written with "+
		"%s of %s", len(keys.Keys()), active.ID, active.Created.Format(time.DateOnly))
	switch {
	case keys.ReadsPlain():
		f.Detail += "; payloads that are not encrypted are read, too"
		return f.advise("when all calls from before have ended, 'pawl keyring plain refuse'")
	case time.Since(active.Created) > oldKey:
		return f.advise("it is old: 'pawl keyring add', and when every process has the new key, " +
			"'pawl keyring activate'")
	}
	return f
}

// checkPolicy reports whether this version of Pawl can judge by the policy that is active in the
// store, and whether the files say the same.
func (d *doctorCommand) checkPolicy(ctx context.Context) []finding {
	const what = "active policy"
	if d.store == nil {
		return []finding{found(what, stateSkipped, "the store with the policy did not open")}
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	v, _, err := active.Load(ctx, d.store)
	var unusable *active.UnusableError
	switch {
	case errors.As(err, &unusable):
		return []finding{failed(what, err, "workers of this version don't start with it, and running "+
			"ones judge by the previous policy: use the version of Pawl that applied it, or apply a "+
			"policy that this version knows")}
	case err != nil:
		return []finding{failed(what, err, "")}
	case v.Version == 0 && d.rules != nil:
		return []finding{found(what, stateOK, "none was applied yet; the first worker that starts with "+
			"the files applies them")}
	case v.Version == 0:
		return []finding{found(what, stateOK, "none was applied yet: everything needs approval")}
	}
	said := found(what, stateOK, "version %d, digest %s, applied "+
		"%s by %s", v.Version, cli.ShortHash(v.Digest), cli.Timestamp(v.At), cli.Cell(v.By, 80))
	if d.rules == nil {
		return []finding{said}
	}
	switch fits, err := active.Fits(ctx, d.store, v, d.rules); {
	case errors.Is(err, active.ErrNotApplied):
		said = failed(what, fmt.Errorf("%s; the --policy files are different, and were "+
			"never applied", said.Detail),
			"apply them with 'pawl policy apply' if they are newer, or leave --policy out: workers "+
				"refuse to start with them")
	case err != nil:
		said = failed(what, err, "")
	case !fits:
		said.Detail += "; the --policy files are an earlier policy, and are ignored"
	}
	return []finding{said}
}

// checkQueues reports who polls: Pawl's workers, and the processes of tools with task queues of
// their own.
func (d *doctorCommand) checkQueues(ctx context.Context) []finding {
	if d.temporal == nil {
		return []finding{found("workers", stateSkipped, "no namespace to check")}
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	findings := []finding{
		d.polled(ctx, "workflow workers", d.TaskQueue, enums.TASK_QUEUE_TYPE_WORKFLOW, adviceWorker),
		d.polled(ctx, "activity workers", d.TaskQueue, enums.TASK_QUEUE_TYPE_ACTIVITY, adviceWorker),
	}
	if d.store == nil {
		return append(findings, found("tool queues", stateSkipped, "the store with the catalogue did "+
			"not open"))
	}
	findings = append(findings, d.sameStore(ctx))
	catalogue, err := d.store.Tools(ctx)
	if err != nil {
		return append(findings, failed("tool queues", err, ""))
	}
	remote := map[string][]string{}
	for _, t := range catalogue {
		if t.Queue != d.TaskQueue {
			remote[t.Queue] = append(remote[t.Queue], t.Name)
		}
	}
	for _, queue := range slices.Sorted(maps.Keys(remote)) {
		tools := cli.Cell(strings.Join(remote[queue], ", "), 200)
		advice := "start the process that runs " + tools + ", or its calls expire"
		findings = append(findings, d.polled(ctx, "tool workers", queue, enums.TASK_QUEUE_TYPE_ACTIVITY, advice))
	}
	return findings
}

// sameStore reports whether the store is the one in which the task queue's calls are kept.
func (d *doctorCommand) sameStore(ctx context.Context) finding {
	const what = "store of the queue"
	id, err := d.store.ID(ctx)
	if err == nil {
		err = health.SameStore(ctx, d.temporal, d.TaskQueue, id)
	}
	if err != nil {
		return failed(what, err, "")
	}
	return found(what, stateOK, "the calls of the task queue %s are kept in this store, or in "+
		"none yet", cli.Cell(d.TaskQueue, 200))
}

func (d *doctorCommand) polled(
	ctx context.Context, what, queue string, kind enums.TaskQueueType, advice string,
) finding {
	ok, err := health.Polled(ctx, d.temporal.WorkflowService(), d.options.Namespace, queue, kind)
	switch {
	case err != nil:
		return failed(what, err, "")
	case !ok:
		return found(what, stateMissing, "nobody polls the task "+
			"queue %s", cli.Cell(queue, 200)).advise(advice)
	}
	return found(what, stateOK, "the task queue %s is polled", cli.Cell(queue, 200))
}
