// Command pawl is Pawl's command line. Reviewing and starting calls goes by the HTTP API, so
// whoever does that needs an address and a name or token, and no access to Temporal. The commands
// worker and api are Pawl itself; they, setup and doctor need Temporal and the store.
package main

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/access"
	"github.com/pawlhq/pawl/internal/cli/call"
	"github.com/pawlhq/pawl/internal/cli/gateway"
	"github.com/pawlhq/pawl/internal/cli/hooks"
	"github.com/pawlhq/pawl/internal/cli/operate"
	"github.com/pawlhq/pawl/internal/cli/policies"
	"github.com/pawlhq/pawl/internal/cli/review"
	"github.com/pawlhq/pawl/internal/osfile"
)

var groups = []cli.Commands{
	call.Commands, review.Commands, policies.Commands, access.Commands, hooks.Commands,
	gateway.Commands, operate.Commands,
}

func main() {
	os.Exit(cli.Run(untilSignal(), cli.Env{
		Program: cli.Program(os.Args[0]),
		Stdin:   os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Environ: os.Environ, Now: time.Now,
		IsTerminal: func(stream any) bool {
			f, ok := stream.(*os.File)
			return ok && isatty.IsTerminal(f.Fd())
		},
		Columns:  func() int { return osfile.Columns(os.Stdout) },
		LookPath: exec.LookPath,
	}, os.Args[1:], groups...))
}

// untilSignal returns a context that the first signal ends. The second ends the process, with the
// exit code that shells give to signals.
func untilSignal() context.Context {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		signals = append(signals, syscall.SIGHUP)
	}
	// Not signal.NotifyContext: between its end and its stop a second signal could get lost.
	signalled := make(chan os.Signal, 2)
	signal.Notify(signalled, signals...)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-signalled
		cancel()
		code := cli.ExitError
		if s, ok := (<-signalled).(syscall.Signal); ok {
			code = 128 + int(s)
		}
		os.Exit(code)
	}()
	return ctx
}
