// Command pawl-dev runs Temporal, its UI, Pawl's worker and Pawl's API in one
// process. It is for trying Pawl out and for development, and keeps everything
// in files, so that even a killed process loses nothing.
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
	"syscall"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

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
	var flags stack.Config
	var file, logLevel string
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
			config, err := stack.LoadConfig(file, cmd.Flags().Changed("config"))
			if err != nil {
				return err
			}
			merge(cmd, &config, flags)
			if err := config.Validate(); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			var level slog.Level
			if err := level.UnmarshalText([]byte(logLevel)); err != nil {
				return fmt.Errorf("%w: --log-level %q is not debug, info, warn or error", errUsage, logLevel)
			}
			logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
			return serve(config, logger, stdout, stderr)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	d := stack.Default()
	f := cmd.Flags()
	f.StringVar(&file, "config", stack.DefaultFile, "configuration file")
	f.StringVar(&flags.Data, "data", d.Data, "directory of all data")
	f.StringVar(&flags.DatabaseURL, "database-url", "", "Postgres for Pawl's store, postgres://USER@HOST:PORT/DATABASE; a password belongs into $PGPASSWORD (default SQLite in the data directory)")
	f.StringVar(&flags.APIListen, "api-listen", d.APIListen, "address of Pawl's API; port 0 picks one")
	f.StringVar(&flags.Auth, "auth", d.Auth, "how the API knows its callers: none, or tokens; then the first administrator's token is written to admin.token in the data directory")
	f.StringVar(&flags.TemporalListen, "temporal-listen", d.TemporalListen, "address of Temporal; port 0 picks one")
	f.StringVar(&flags.UIListen, "ui-listen", d.UIListen, "address of Temporal's UI; port 0 picks one")
	f.StringArrayVar(&flags.Policy, "policy", nil, "policy file; repeat it for more layers")
	f.StringVar(&flags.Tools, "tools", "", "tools file")
	f.BoolVar(&flags.SampleTools, "sample-tools", false, "offer harmless tools to try Pawl with")
	f.BoolVar(&flags.OrdinarySteps, "ordinary-steps", false, "show every step of a call in Temporal's UI")
	f.StringVar((*string)(&flags.Decisions), "decisions", string(approval.DecisionsAny), "which decisions count: any, or signed, which takes --auth tokens")
	f.BoolVar(&flags.Encrypt, "encrypt", false, "encrypt arguments and results in Temporal, by a keyring in the data directory that is made if it is missing; the UI shows them decoded")
	f.StringVar(&flags.PayloadKeys, "payload-keys", "", "encrypt by this keyring file instead")
	f.BoolVar(&flags.NoUI, "no-ui", false, "leave out Temporal's UI")
	f.BoolVar(&flags.NoAPI, "no-api", false, "leave out Pawl's API")
	f.BoolVar(&flags.NoWorker, "no-worker", false, "leave out the worker: calls and answers are taken, and wait")
	f.StringVar(&logLevel, "log-level", "warn", "least level of the log on stderr: debug, info, warn or error")
	return cmd
}

// merge lets the flags that were given win over the file.
func merge(cmd *cobra.Command, c *stack.Config, flags stack.Config) {
	for name, take := range map[string]func(){
		"data":            func() { c.Data = flags.Data },
		"database-url":    func() { c.DatabaseURL = flags.DatabaseURL },
		"api-listen":      func() { c.APIListen = flags.APIListen },
		"auth":            func() { c.Auth = flags.Auth },
		"temporal-listen": func() { c.TemporalListen = flags.TemporalListen },
		"ui-listen":       func() { c.UIListen = flags.UIListen },
		"policy":          func() { c.Policy = flags.Policy },
		"tools":           func() { c.Tools = flags.Tools },
		"sample-tools":    func() { c.SampleTools = flags.SampleTools },
		"ordinary-steps":  func() { c.OrdinarySteps = flags.OrdinarySteps },
		"decisions":       func() { c.Decisions = flags.Decisions },
		"encrypt":         func() { c.Encrypt = flags.Encrypt },
		"payload-keys":    func() { c.PayloadKeys = flags.PayloadKeys },
	} {
		if cmd.Flags().Changed(name) {
			take()
		}
	}
	c.NoUI, c.NoAPI, c.NoWorker = flags.NoUI, flags.NoAPI, flags.NoWorker
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
	for _, line := range [][2]string{{"API", s.API}, {"Temporal", s.Temporal}, {"Temporal's UI", s.UI}, {"Payload keys", s.KeysPath()}} {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-14s %s\n", line[0], line[1])
		}
	}
	if tokens {
		fmt.Fprintf(w, "  %-14s %s\n", "Admin's token", s.AdminTokenFile())
		fmt.Fprintf(w, "\nThe API takes tokens. Make some:\n  pawl token new rita --role reviewer --api %s --token-file %s\n", s.API, s.AdminTokenFile())
		fmt.Fprintln(w, "Temporal, beside it, takes everybody on this machine.")
	}
	fmt.Fprintln(w, "Ctrl-C stops it.")
}
