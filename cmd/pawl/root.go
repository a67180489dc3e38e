package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/client"
)

// Env is everything the command line takes from the process it runs in. Every
// field is needed.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Environ        func() []string       // all that Getenv knows, as NAME=VALUE
	IsTerminal     func(stream any) bool // of Stdin, Stdout or Stderr
	Now            func() time.Time
}

// app is what all commands share. A command is a method that returns a
// *cobra.Command; newRoot lists them.
type app struct {
	Env
	output outputFormat
}

// newRoot builds the whole command tree. It prints no errors; run does.
func newRoot(env Env) *cobra.Command {
	a := &app{Env: env, output: outputTable}
	root := group("pawl", "Hold an AI agent's risky tool calls until a person lets them go")
	root.Long = root.Short + `.

Agents start guarded calls, reviewers see and decide the ones that wait. Both
go through Pawl's API. Pawl itself is the commands worker and api; setup and
doctor help to run them.

Exit codes: 0 done, 1 error, 2 usage, 3 denied (rejected, expired, blocked,
cancelled; a decision that did not count), 4 the tool failed or its outcome is
unknown, 5 still pending.`
	root.Example = `  pawl call send_email --args '{"to":"ana@example.com","subject":"Hello"}' --wait 10m
  pawl pending
  pawl show pawl-k3vq2m7
  pawl approve pawl-k3vq2m7 --as ana
  pawl review --as ana`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = buildVersion()
	root.SetVersionTemplate("pawl {{.Version}}\n")
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.checkEnvironment(cmd) }
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })

	flags := root.PersistentFlags()
	// The defaults stay out of the flags: help would print a token.
	flags.String("api", "", "the API's `address` (default $PAWL_API, else "+client.DefaultURL+")")
	flags.String("token-file", "", "`file` with your token (default $PAWL_TOKEN_FILE)")
	flags.String("token", "", "your `token`; better --token-file or $PAWL_TOKEN: other users can see flags")
	flags.String("as", "", "your `name` as a reviewer, where the API runs without authentication (default $PAWL_AS)")
	flags.VarP(&a.output, "output", "o", "output `format`: table or json")

	audit := group("audit", "Look into the audit log")
	audit.Example = "  pawl audit list --request pawl-k3vq2m7"
	audit.AddCommand(a.auditList())
	root.AddCommand(
		a.call(), a.resume(), a.cancel(),
		a.pending(), a.show(), a.decide(approval.Approve), a.decide(approval.Reject), a.review(),
		audit, a.policy(), a.tools(), a.whoami(), a.token(), a.key(), a.worker(), a.serve(), a.setup(), a.doctor(), a.keyring(), a.version(),
	)
	help := helpCommand()
	checkArgs(help) // it is not below root yet
	root.SetHelpCommand(help)
	checkArgs(root)
	return root
}

// group is a command that only holds others: alone it prints its help.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			cmd.SuggestionsMinimumDistance = 2
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// helpCommand is cobra's, but unknown commands are errors.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command", Example: "  pawl help token new",
		Args: func(cmd *cobra.Command, args []string) error {
			near, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil:
				return err
			case len(rest) > 0:
				return fmt.Errorf("unknown command %q for %q", rest[0], near.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			target, _, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			return target.Help()
		},
	}
}

// checkArgs makes every refusal of positional arguments a usage error.
func checkArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return usage(check(cmd, args)) }
	}
	for _, sub := range cmd.Commands() {
		checkArgs(sub)
	}
}

// setting reads a global flag, else its environment variable.
func (a *app) setting(cmd *cobra.Command, flag, env string) string {
	if f := cmd.Flag(flag); f.Changed {
		return strings.TrimSpace(f.Value.String())
	}
	return strings.TrimSpace(a.Getenv(env))
}

// client makes the client that the global flags ask for.
func (a *app) client(cmd *cobra.Command) (*client.Client, error) {
	token, err := a.credential(cmd)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{
		URL: a.setting(cmd, "api", "PAWL_API"), Token: token,
		Reviewer: a.setting(cmd, "as", "PAWL_AS"), UserAgent: "pawl-cli/" + buildVersion(),
	})
	if err != nil {
		return nil, usage(err)
	}
	if token != "" {
		if cmd.Flag("token").Changed {
			a.note("warning: other users of this machine can see --token; set PAWL_TOKEN instead")
		}
		if u, err := url.Parse(c.URL()); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
			a.note("warning: the token goes to %s unencrypted; use https", c.URL())
		}
	}
	return c, nil
}

// credential returns the token to send, or none.
func (a *app) credential(cmd *cobra.Command) (string, error) {
	byFlag, byFile := cmd.Flag("token").Changed, cmd.Flag("token-file").Changed
	if byFlag && byFile {
		return "", usage(errors.New("give either --token-file or --token"))
	}
	token := a.setting(cmd, "token", "PAWL_TOKEN")
	path := a.setting(cmd, "token-file", "PAWL_TOKEN_FILE")
	if path == "" || !byFile && token != "" {
		if path != "" && !byFlag {
			a.note("note: PAWL_TOKEN and PAWL_TOKEN_FILE are both set; PAWL_TOKEN is used")
		}
		return token, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	// What a file holds that is no token is never shown: it may be another secret.
	if !info.Mode().IsRegular() || info.Size() > auth.MaxCredential {
		return "", fmt.Errorf("the token's file %s holds no token: is it the right file?", path)
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		a.note("warning: other users of this machine may read %s; 'chmod 600' keeps them out", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	if token = strings.TrimSpace(string(text)); token == "" {
		return "", fmt.Errorf("the token's file %s is empty", path)
	}
	return token, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// reviewer makes a client for deciding, which needs somebody who decides.
func (a *app) reviewer(cmd *cobra.Command) (*client.Client, error) {
	if a.setting(cmd, "token", "PAWL_TOKEN") == "" && a.setting(cmd, "token-file", "PAWL_TOKEN_FILE") == "" && a.setting(cmd, "as", "PAWL_AS") == "" {
		return nil, usage(errors.New("who are you? Give your token with PAWL_TOKEN or --token-file, or, where the API authenticates nobody, your name with --as NAME or PAWL_AS"))
	}
	return a.client(cmd)
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, env Env, args []string) int {
	root := newRoot(env)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	code, text := explain(err)
	text = nameSetting(cmd, err, text)
	if text != "" {
		// Errors quote servers and arguments, so they are as untrusted as those.
		fmt.Fprintf(env.Stderr, "pawl: %s\n", approval.DisplayLines(text, 2000))
	}
	if code == exitUsage {
		fmt.Fprintf(env.Stderr, "See '%s --help'.\n", cmd.CommandPath())
	}
	return code
}
