// Command pawl-demo shows Pawl at work: it starts the development stack (pawl-dev) and an agent,
// each a process of its own, explains how to decide the agent's calls, and shows what becomes of
// them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pawlhq/pawl/dev/programs"
	"github.com/spf13/cobra"
)

const (
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

var (
	errUsage       = errors.New("usage")
	errInterrupted = errors.New("interrupted before the agent was done")
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	cmd := command()
	cmd.SetArgs(args)
	switch err := cmd.Execute(); {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "pawl-demo: %v\nSee pawl-demo --help.\n", err)
		return exitUsage
	default:
		fmt.Fprintf(os.Stderr, "pawl-demo: %v\n", err)
		return exitError
	}
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "pawl-demo",
		Short: "Watch Pawl hold an agent's tool calls, and approve them yourself",
		Long: `Watch Pawl hold an agent's tool calls, and approve them yourself.

It starts pawl-dev and an agent that makes eight calls, says how to approve
those that wait, and prints each outcome as it comes. Then the stack keeps
running until Ctrl-C, which stops everything.

Exit codes: 0 done, 1 something failed, 2 usage, 130 interrupted before the
agent was done.`,
		Example: `  pawl-demo
  pawl-demo --api-listen 127.0.0.1:0 --temporal-listen 127.0.0.1:0 --ui-listen 127.0.0.1:0
  pawl-demo --exit --production-timeout 5s`,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			ctx, hard := interrupts()
			return (&demo{options: o, out: os.Stdout}).run(ctx, hard)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	f := cmd.Flags()
	f.StringVar(&o.data, "data", ".pawl-demo", "directory of all data; a second run continues with it")
	f.StringVar(&o.config, "config", "",
		"configuration file of pawl-dev (default temporal-dev.yaml in this folder)")
	f.StringVar(&o.apiListen, "api-listen", "", "address of Pawl's API, as for pawl-dev")
	f.StringVar(&o.temporalListen, "temporal-listen", "", "address of Temporal, as for pawl-dev")
	f.StringVar(&o.uiListen, "ui-listen", "", "address of Temporal's UI, as for pawl-dev")
	f.DurationVar(&o.productionTimeout, "production-timeout", time.Minute,
		"how long the production write waits for people")
	f.BoolVar(&o.exit, "exit", false, "stop everything when the agent is done")
	f.StringVar(&o.devBin, "dev-bin", "", "the pawl-dev to run (default: the one beside this program)")
	f.StringVar(&o.agentBin, "agent-bin", "", "the agent to run (default: demo-agent beside this program)")
	return cmd
}

// options are the flags; empty addresses leave the choice to the configuration.
type options struct {
	data, config                        string
	apiListen, temporalListen, uiListen string
	productionTimeout                   time.Duration
	exit                                bool
	devBin, agentBin, pawlBin           string
}

// complete finds the programs and checks what would only fail later, or silently show something
// else.
func (o *options) complete() error {
	var err error
	if o.pawlBin, err = programs.Beside("pawl"); err != nil {
		return err
	}
	for _, bin := range []struct {
		path       *string
		name, flag string
	}{{&o.devBin, "pawl-dev", "--dev-bin"}, {&o.agentBin, "demo-agent", "--agent-bin"}} {
		if *bin.path == "" {
			if *bin.path, err = programs.Beside(bin.name); err != nil {
				return err
			}
		}
		if _, err := os.Stat(*bin.path); err != nil {
			return fmt.Errorf("%w: build it with `make demo`, or say where it is with %s", err, bin.flag)
		}
	}
	if o.config == "" {
		if _, err := os.Stat("temporal-dev.yaml"); err != nil {
			return errors.New("no temporal-dev.yaml here, which has the demo's tools and policy: " +
				"run the demo in Pawl's folder, or name the file with --config")
		}
	}
	if o.productionTimeout <= 0 {
		return fmt.Errorf("%w: --production-timeout %v is no time to wait", errUsage, o.productionTimeout)
	}
	return nil
}

// interrupts returns a context that ends when the demo is asked to stop, and one that ends when it
// is asked again. One wish may come as several signals at once, so only a Ctrl-C some time after it
// counts as the second.
func interrupts() (ctx, hard context.Context) {
	ctx, stop := context.WithCancel(context.Background())
	hard, kill := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 4)
	// SIGPIPE: nobody reads the output any more. Not noticing it would end this process at once, and
	// leave its children behind.
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		<-signals
		asked := time.Now()
		stop()
		for s := range signals {
			if s == os.Interrupt && time.Since(asked) > time.Second {
				kill()
			}
		}
	}()
	return ctx, hard
}
