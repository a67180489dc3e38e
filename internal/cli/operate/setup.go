package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/temporal"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/internal/settings"
)

const (
	// defaultRetention is for a namespace that setup creates. It counts from a call's end, so it need
	// not outlast any wait for approval: it is how long callers can fetch raw results and operators
	// see histories. Pawl's own store forgets nothing with it.
	defaultRetention = 30 * 24 * time.Hour

	// visibleTimeout is how long a new namespace and new search attributes may take until Temporal's
	// caches show them.
	visibleTimeout = 90 * time.Second
)

const (
	adviceNamespace = "ask somebody with permission to create it: 'temporal operator namespace create', " +
		"on Temporal Cloud its web console or 'tcld namespace create'; then run this again"
	adviceRetention = "ask somebody with permission to change it: 'temporal operator namespace update', " +
		"on Temporal Cloud its web console or 'tcld namespace retention set'"
	adviceSearch = "ask somebody with permission to add them, all of type Keyword: 'temporal operator " +
		"search-attribute create', on Temporal Cloud its web console or 'tcld namespace " +
		"search-attributes add'. Calls work without them"
	adviceTemporal = "check TEMPORAL_ADDRESS, TEMPORAL_TLS and the credentials, and that Temporal runs"
)

type setupCommand struct {
	process
	app *app

	findings []finding
}

func (a *app) setup() *cobra.Command {
	s := &setupCommand{app: a}
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Create what Pawl needs in Temporal, and the store",
		Long: `Create what Pawl needs: Temporal's namespace and its search attributes, and the
store's schema, or its upgrade. Each step says whether it was done or was there
already. It may be repeated, and run from several places at once.

A namespace that is there keeps its retention unless --retention is given. It
counts from a call's end, so it need not be longer than any wait for approval.

` + cli.TemporalHelp + `

Exit code 1: something could not be done; the report says what to do.`,
		Example: `  pawl setup --database-url postgres://pawl@db:5432/pawl
  pawl setup --dry-run`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.begin(a, cmd); err != nil {
				return err
			}
			if err := s.Database.Validate(); err != nil {
				return cli.UsageError(err)
			}
			d := time.Duration(s.Retention)
			if cmd.Flag("retention").Changed && (d < settings.MinRetention || d > settings.MaxRetention) {
				return cli.UsageError(errors.New("the retention must be from 24h to 8760h, a year"))
			}
			return s.run(cmd.Context())
		},
	}
	s.AddFlags(cmd, settings.Setup)
	settings.Default(cmd.Flags(), "log-level", "warn")
	return cmd
}

func (s *setupCommand) run(ctx context.Context) error {
	options, err := temporal.Options(s.log)
	if err != nil {
		return err
	}
	if c, err := s.dial(ctx, options); err != nil {
		s.add(failed("temporal", err, "")) // dial says what to check
		s.add(unasked()...)
	} else {
		defer c.Close()
		s.add(found("temporal", stateOK, "%s, TLS %s", options.HostPort, temporal.TLS(options)))
		there := s.namespace(ctx, c, options.Namespace)
		s.add(there)
		s.add(s.attributes(ctx, c, options.Namespace, there.State))
	}
	s.add(s.store(ctx))
	s.warnExposed(ctx)
	return s.app.report(s.findings)
}

// add prints steps as they end: some take a while.
func (s *setupCommand) add(steps ...finding) {
	s.findings = append(s.findings, steps...)
	for _, f := range steps {
		if s.app.Output != cli.OutputJSON {
			_ = s.app.Say(f.line())
		}
	}
}

func (s *setupCommand) namespace(ctx context.Context, c client.Client, name string) finding {
	const what = "namespace"
	ctx, cancel := context.WithTimeout(ctx, visibleTimeout)
	defer cancel()
	asked := time.Duration(s.Retention)
	current, err := health.Retention(ctx, c.WorkflowService(), name)
	if err == nil {
		return s.keepNamespace(ctx, c, name, current)
	}
	if !errors.Is(err, health.ErrMissing) {
		return failed(what, err, "check TEMPORAL_NAMESPACE and the credentials")
	}
	asked = cmp.Or(asked, defaultRetention)
	if s.DryRun {
		return found(what, stateToDo, "%s: create it with a retention of %s", name, hours(asked))
	}
	_, err = c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: name, Description: "Guarded tool calls of Pawl",
		WorkflowExecutionRetentionPeriod: durationpb.New(asked),
	})
	state := stateDone
	switch {
	case errors.As(err, new(*serviceerror.NamespaceAlreadyExists)):
		state = stateThere // somebody else did it just now
	case err != nil:
		return failed(what, fmt.Errorf("%s could not be created: %w", name, err), adviceNamespace)
	}
	// Temporal's caches take a while to know it; workers would be refused.
	err = retryUntilDone(ctx, func(ctx context.Context) error {
		_, err := health.Polled(ctx, c.WorkflowService(), name, "pawl-setup", enums.TASK_QUEUE_TYPE_WORKFLOW)
		return err
	})
	if err != nil {
		return failed(what, fmt.Errorf("%s was created but can't be used yet: %w", name, err), "run this "+
			"again in a minute")
	}
	return found(what, state, "%s, retention %s", name, hours(asked))
}

// keepNamespace leaves a namespace as it is, but for a retention that was asked for.
func (s *setupCommand) keepNamespace(
	ctx context.Context, c client.Client, name string, current time.Duration,
) finding {
	const what = "namespace"
	asked := time.Duration(s.Retention)
	switch {
	case asked == 0 || asked == current:
		return found(what, stateThere, "%s, retention %s", name, hours(current))
	case s.DryRun:
		return found(what, stateToDo, "%s: change the retention from "+
			"%s to %s", name, hours(current), hours(asked))
	}
	_, err := c.WorkflowService().UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{
		Namespace: name,
		Config:    &namespace.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(asked)},
	})
	if err != nil {
		return failed(what, fmt.Errorf("%s: its retention of %s could not be "+
			"changed: %w", name, hours(current), err), adviceRetention)
	}
	return found(what, stateDone, "%s, retention %s, was %s", name, hours(asked), hours(current))
}

// attributes adds search attributes, on every kind of visibility store, and waits until Temporal
// shows them.
func (s *setupCommand) attributes(ctx context.Context, c client.Client, name, namespaceState string) finding {
	const what = "search attributes"
	switch namespaceState {
	case stateFailed:
		return found(what, stateSkipped, "there is no namespace")
	case stateToDo:
		if err := health.Namespace(ctx, c.WorkflowService(), name); err != nil {
			return found(what, stateToDo, "add %s", strings.Join(health.Attributes, ", "))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, visibleTimeout)
	defer cancel()
	var have map[string]enums.IndexedValueType
	err := retryUntilDone(ctx, func(ctx context.Context) error {
		answer, err := c.OperatorService().ListSearchAttributes(ctx,
			&operatorservice.ListSearchAttributesRequest{Namespace: name})
		have = answer.GetCustomAttributes()
		return err
	})
	if err != nil {
		return failed(what, err, adviceSearch)
	}
	var missing []string
	add := &operatorservice.AddSearchAttributesRequest{
		Namespace: name, SearchAttributes: map[string]enums.IndexedValueType{},
	}
	for _, attribute := range health.Attributes {
		switch have[attribute] {
		case health.AttributeType:
		case enums.INDEXED_VALUE_TYPE_UNSPECIFIED:
			missing = append(missing, attribute)
			add.SearchAttributes[attribute] = health.AttributeType
		default:
			return failed(what, fmt.Errorf("%s is there with the type %s, and "+
				"should have %s", attribute, have[attribute], health.AttributeType),
				"rename or remove it, or use another namespace: Temporal can't change its type. Calls "+
					"work without it")
		}
	}
	if len(missing) == 0 {
		return found(what, stateThere, "%s", strings.Join(health.Attributes, ", "))
	}
	if s.DryRun {
		return found(what, stateToDo, "add %s", strings.Join(missing, ", "))
	}
	// On SQL stores Temporal picks a column for each, and refuses what another set-up was given in the
	// meantime.
	tries := 5
	err = retryUntilDone(ctx, func(ctx context.Context) error {
		absent, err := health.MissingAttributes(ctx, c.OperatorService(), name)
		if err != nil || len(absent) == 0 {
			return err
		}
		if tries > 0 {
			_, err := c.OperatorService().AddSearchAttributes(ctx, add)
			switch {
			case err == nil, errors.As(err, new(*serviceerror.AlreadyExists)):
				tries = 0
			case errors.As(err, new(*serviceerror.InvalidArgument)) && tries > 1:
				// Somebody else took the column that Temporal had picked.
				tries--
				return errors.New(err.Error()) // retryUntilDone would give up on the type
			default:
				return err
			}
		}
		return fmt.Errorf("not shown by Temporal yet: %s", strings.Join(absent, ", "))
	})
	if err != nil {
		return failed(what, err, adviceSearch)
	}
	return found(what, stateDone, "added %s", strings.Join(missing, ", "))
}

func (s *setupCommand) store(ctx context.Context) finding {
	const what = "store"
	look := s.Database
	look.ReadOnly = true
	open := func(d cli.Database) error {
		return s.await(ctx, "the store", func(ctx context.Context) error {
			opened, err := d.Open(ctx)
			if err != nil {
				return err
			}
			return opened.Close()
		}, func(err error) bool { return cli.MayRecover(err) && !cli.NeedsSetup(err) })
	}
	err := open(look)
	switch {
	case err == nil:
		return found(what, stateThere, "%s", s.Database)
	case !cli.NeedsSetup(err):
		return failed(what, err, "")
	case s.DryRun:
		return found(what, stateToDo, "%s: create its schema, or upgrade it", s.Database)
	}
	if err := open(s.Database); err != nil {
		return failed(what, err, "")
	}
	return found(what, stateDone, "%s: its schema is created", s.Database)
}

// retryUntilDone tries until it works, is refused for good, or ctx ends.
func retryUntilDone(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		if err == nil || refused(err) || errors.As(err, new(*serviceerror.Unimplemented)) {
			return err
		}
		if !retry.Sleep(ctx, retryPause) {
			return err
		}
	}
}

func hours(d time.Duration) string { return fmt.Sprintf("%gh", d.Hours()) }
