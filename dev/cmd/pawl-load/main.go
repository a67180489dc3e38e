// Command pawl-load measures what Pawl's guard costs, next to a workflow without it, and prints the
// figures beside what is expected of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130 // 128 + SIGINT, as shells have it

	// unguardedCommand makes this program the worker of unguarded workflows.
	unguardedCommand = "unguarded-worker"
)

var (
	errUsage       = errors.New("usage")
	errInterrupted = errors.New("interrupted")
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interrupts()
	defer stop()
	cmd := command(stdout, stderr)
	cmd.SetArgs(args)
	switch err := cmd.ExecuteContext(ctx); {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(stderr, "pawl-load: interrupted; everything it started has ended")
		return exitInterrupted
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "pawl-load: %v\nSee pawl-load --help.\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "pawl-load: %v\n", err)
		return exitError
	}
}

// interrupts returns a context that ends with errInterrupted when the program is asked to stop. A
// second Ctrl-C ends it at once, and its children with it.
func interrupts() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(errInterrupted)
		signal.Stop(signals)
	}()
	return ctx, func() { cancel(nil) }
}

// options are the flags.
type options struct {
	scenarios []string
	duration  time.Duration
	database  string
	output    string
	data      string
	waiting   int
	settle    time.Duration
	pawl      string
	pawlDev   string
}

func command(stdout, stderr io.Writer) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "pawl-load",
		Short: "Measure what Pawl's guard costs, beside workflows without it",
		Long: `Measure what Pawl's guard costs, beside workflows without it.

Figures that are compared are measured side by side, in short turns, in one run:
the ratios are what counts, the absolute figures are the machine's. Everything
runs on servers and files of its own, which are gone afterwards. All of it takes
half an hour; what is being done is said on stderr.

Scenarios:
` + scenarioHelp() + `
Figures that miss what is expected are marked, and are no error: machines differ.
Exit codes: 0 done, 1 something failed, 2 usage, 130 interrupted (what was
measured until then is printed).`,
		Example: `  pawl-load
  pawl-load --scenario calls --duration 10s
  PAWL_DATABASE_URL=postgres://bench@db.example.com/postgres pawl-load --scenario calls,decision -o json`,
		SilenceUsage: true, SilenceErrors: true,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.database == "" {
				o.database = os.Getenv("PAWL_DATABASE_URL")
			}
			b, err := newBench(o, stderr)
			if err != nil {
				return err
			}
			if err = b.run(cmd.Context()); err != nil {
				b.report.note("The run ended early; this is what was measured until then.")
			}
			if len(b.report.Rows) > 0 {
				err = errors.Join(err, b.report.write(stdout, o.output))
			}
			return err
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.CompletionOptions.DisableDefaultCmd = true
	f := cmd.Flags()
	f.StringSliceVar(&o.scenarios, "scenario", nil,
		"`names` of what to measure, with commas between (default all)")
	f.DurationVar(&o.duration, "duration", 30*time.Second, "how long each comparison is measured")
	f.StringVar(&o.database, "database-url", "", "a Postgres `URL` where databases may be made and dropped "+
		"(default $PAWL_DATABASE_URL, else a throw-away server if Postgres is installed). "+
		"Other users can see flags: a password belongs into the environment")
	f.StringVarP(&o.output, "output", "o", "table", "`form` of the figures: table, markdown or json")
	f.StringVar(&o.data, "data", os.TempDir(),
		"`folder` on the disk to measure; what is put there is removed again")
	f.IntVar(&o.waiting, "waiting", 10_000, "`calls` that wait in the memory scenario")
	f.DurationVar(&o.settle, "settle", 10*time.Second,
		"how long memory must not shrink before it is read")
	f.StringVar(&o.pawl, "pawl-bin", "", "the `program` pawl (default: the one beside this program)")
	f.StringVar(&o.pawlDev, "dev-bin", "", "the `program` pawl-dev (default: the one beside this program)")
	cmd.AddCommand(&cobra.Command{
		Use: unguardedCommand + " TEMPORAL TOOL", Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return serveUnguarded(cmd.Context(), args[0], args[1])
		},
	})
	return cmd
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
	}
	return nil
}

// validate checks what would only be seen after minutes.
func (o *options) validate() error {
	for _, name := range o.scenarios {
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name }) {
			return fmt.Errorf("%w: --scenario %q is none of %s", errUsage, name, strings.Join(scenarioNames(), ", "))
		}
	}
	switch {
	case !slices.Contains([]string{"table", "markdown", "json"}, o.output):
		return fmt.Errorf("%w: --output %q is not table, markdown or json", errUsage, o.output)
	case o.duration <= 0:
		return fmt.Errorf("%w: --duration %v is no time to measure", errUsage, o.duration)
	case o.settle <= 0:
		return fmt.Errorf("%w: --settle %v is no time to settle", errUsage, o.settle)
	case o.waiting < 10:
		return fmt.Errorf("%w: --waiting %d: at least 10 calls are needed", errUsage, o.waiting)
	case o.database != "" &&
		!strings.HasPrefix(o.database, "postgres://") && !strings.HasPrefix(o.database, "postgresql://"):
		return fmt.Errorf("%w: --database-url: %w", errUsage, errDatabaseURL)
	}
	return nil
}
