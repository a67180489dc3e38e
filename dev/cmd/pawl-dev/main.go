// Command pawl-dev runs Temporal, its UI, Pawl's worker and Pawl's API in one process. It is for
// trying Pawl out and for development, and keeps everything in files, so that even a killed process
// loses nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/internal/cli"
)

// memoryLimit is what the garbage collector keeps the heap and all else of Go's below, where
// GOMEMLIMIT does not say otherwise. The program itself takes 140 MiB more: together that is less
// than 512 MiB, also while calls come faster than they can be judged.
const memoryLimit = 320 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// errUsage marks what is wrong with the command line itself: exit code 2.
var errUsage = errors.New("usage")

func run(args []string, stdout, stderr io.Writer) int {
	cmd := command(stdout, stderr)
	cmd.SetArgs(args)
	err := cmd.Execute()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "pawl-dev: %v\nSee pawl-dev --help.\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "pawl-dev: %v\n", err)
	return 1
}

func command(stdout, stderr io.Writer) *cobra.Command {
	config := new(stack.Config)
	cmd := &cobra.Command{
		Use:   "pawl-dev",
		Short: "Run Temporal, its UI, Pawl's worker and Pawl's API in one process",
		Long: `Run Temporal, its UI, Pawl's worker and Pawl's API in one process.

It reads temporal-dev.yaml in the current folder, if there is one; flags win over
the file. When everything serves, one line of JSON with the addresses goes to
stdout; everything else goes to stderr. Ctrl-C stops it cleanly; calls that wait
go on at the next start, also if it was killed.`,
		Example: `  pawl-dev
  pawl-dev --data /tmp/try --policy my-policy.yaml --tools my-tools.yaml
  pawl-dev --api-listen 127.0.0.1:0 --temporal-listen 127.0.0.1:0 --no-ui`,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := config.Read(cmd.Flags()); err != nil {
				return err
			}
			if err := config.Validate(); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			var level slog.Level
			if err := level.UnmarshalText([]byte(config.LogLevel)); err != nil {
				return err
			}
			logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
			return serve(*config, logger, stdout, stderr)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	config.AddFlags(cmd.Flags())
	return cmd
}

func serve(config stack.Config, logger *slog.Logger, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	began := time.Now()
	s, err := stack.Start(ctx, stack.Options{
		Config: config, Logger: logger,
		Progress: func(step string) { fmt.Fprintln(stderr, step) },
	})
	if err != nil {
		return err
	}
	banner(stderr, s, config.Auth == stack.AuthTokens && s.API != "", time.Since(began))
	ready := map[string]any{"ready": true, "temporal": s.Temporal, "namespace": config.Namespace}
	if s.API != "" {
		ready["api"] = s.API
		if config.Auth == stack.AuthTokens {
			ready["admin_token_file"] = s.AdminTokenFile()
		}
	}
	if s.UI != "" {
		ready["ui"] = s.UI
	}
	if keys := s.KeysPath(); keys != "" {
		ready["payload_keys"] = keys
	}
	if err := json.NewEncoder(stdout).Encode(ready); err != nil {
		return errors.Join(err, s.Close())
	}
	err = s.Wait(ctx)
	stop() // a second Ctrl-C ends the process at once
	fmt.Fprintln(stderr)
	if err = errors.Join(err, s.Close()); err == nil {
		fmt.Fprintln(stderr, "Stopped. Calls that wait go on at the next start.")
	}
	return err
}

func banner(w io.Writer, s *stack.Stack, tokens bool, took time.Duration) {
	fmt.Fprintf(w, "\nPawl is ready (%.1f s).\n", took.Seconds())
	for _, line := range [][2]string{
		{"Page", s.API}, {"API", s.API}, {"Temporal", s.Temporal}, {"Temporal's UI", s.UI}, {"Payload keys", s.KeysPath()},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-14s %s\n", line[0], line[1])
		}
	}
	if tokens {
		fmt.Fprintf(w, "  %-14s %s\n", "Admin's token", s.AdminTokenFile())
		fmt.Fprintf(w, "\nThe API takes tokens. Make some:\n"+
			"  %s token new rita --role reviewer --api %s --token-file %s\n",
			cli.Program(filepath.Join(filepath.Dir(os.Args[0]), "pawl")), s.API, s.AdminTokenFile())
		fmt.Fprintln(w, "Temporal, beside it, takes everybody on this machine.")
	}
	fmt.Fprintln(w, "Ctrl-C stops it.")
}
