package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/build"
	"github.com/pawlhq/pawl/internal/settings"
)

// Env is everything the command line takes from the process it runs in. Program, Columns and
// LookPath may be left out.
type Env struct {
	Program        string // as hints name it: see Program; default "pawl"
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Environ        func() []string       // all that Getenv knows, as NAME=VALUE
	IsTerminal     func(stream any) bool // of Stdin, Stdout or Stderr
	Now            func() time.Time
	Columns        func() int                        // how wide Stdout's terminal is; 0: unknown
	LookPath       func(name string) (string, error) // finds a pager; nil: there is none
}

// App is what all commands share: each package of commands has methods on it that return a
// *cobra.Command.
type App struct {
	Env
	Output outputFormat
}

// Program is how people call this program again, given the first word of its command line: by that
// word if it is a path that needs no quotes, else by its name.
func Program(word string) string {
	if strings.Contains(word, "/") && plainPath.MatchString(word) {
		return word
	}
	return name
}

const name = "pawl"

var plainPath = regexp.MustCompile(`^[\pL\pN/._@%+,:-]+$`)

// hint names the program in a text's hints, such as 'pawl show ID', as it was called: who has just
// built bin/pawl has no pawl in PATH.
func (e Env) hint(text string) string {
	return strings.ReplaceAll(text, "'"+name+" ", "'"+cmp.Or(e.Program, name)+" ")
}

// Commands makes the commands of one package.
type Commands func(*App) []*cobra.Command

// NewRoot builds the whole command tree. It prints no errors; run does.
func NewRoot(env Env, groups ...Commands) *cobra.Command {
	a := &App{Env: env, Output: outputTable}
	root := Group("pawl", "Hold an AI agent's risky tool calls until a person approves them")
	root.Long = root.Short + `.

Agents start guarded calls, reviewers see and decide the ones that wait. Both
go through Pawl's API. Pawl itself is the commands worker and api; setup and
doctor help to run them.

Exit codes: 0 done, 1 error, 2 usage, 3 denied (rejected, expired, blocked,
cancelled; a decision that did not count), 4 the tool failed or its outcome is
unknown, 5 still pending.`
	root.Example = `  pawl call send_email --args '{"to":"a@example.com","subject":"Hi"}' --wait 10m
  pawl pending
  pawl show pawl-k3vq2m7
  pawl approve pawl-k3vq2m7 --as ana
  pawl review --as ana`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = build.Version()
	root.SetVersionTemplate("pawl {{.Version}}\n")
	root.SetUsageTemplate(strings.NewReplacer(".FlagUsages", ".FlagUsagesWrapped 80",
		"more information about a command", "more about a command").Replace(root.UsageTemplate()))
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.checkEnvironment(cmd) }
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return UsageError(err) })

	flags := root.PersistentFlags()
	new(settings.Settings).Table().For(settings.Client).AddFlags(flags)
	flags.VarP(&a.Output, "output", "o", "output `format`: table or json")

	for _, commands := range groups {
		root.AddCommand(commands(a)...)
	}
	root.AddCommand(a.version())
	root.SetHelpCommand(helpCommand())
	checkArgs(root)
	return root
}

// checkEnvironment looks for variables that nobody reads. A misspelt setting would silently count
// as not made, and less be guarded than somebody believes: what serves, or prepares that, does not
// start then. Others warn.
func (a *App) checkEnvironment(cmd *cobra.Command) error {
	unknown := a.UnknownVariables()
	switch cmd.CommandPath() {
	case "pawl doctor": // it reports them
	case "pawl worker", "pawl api", "pawl setup":
		if len(unknown) > 0 {
			return UsageError(errors.New(strings.Join(unknown, "\n") +
				"\nUnset them, or correct their names: an unknown setting has no effect, and may be one " +
				"that protects you"))
		}
	default:
		for _, text := range unknown {
			a.Note("warning: %s", text)
		}
	}
	return nil
}

// Group is a command that only holds others: alone it prints its help.
func Group(use, short string) *cobra.Command {
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
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil:
				return UsageError(err)
			case len(rest) > 0:
				return UsageError(fmt.Errorf("unknown command %q for %q", rest[0], target.CommandPath()))
			}
			return target.Help()
		},
	}
}

// checkArgs makes every refusal of positional arguments a usage error.
func checkArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return UsageError(check(cmd, args)) }
	}
	for _, sub := range cmd.Commands() {
		checkArgs(sub)
	}
}

// Run executes one command line, of these commands, and returns its exit code.
func Run(ctx context.Context, env Env, args []string, groups ...Commands) int {
	root := NewRoot(env, groups...)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	code, text := explain(err)
	text = nameSetting(cmd, err, text)
	if text = strings.TrimPrefix(text, "pawl: "); text != "" {
		// Errors quote servers and arguments, so they are as untrusted as those.
		fmt.Fprintf(env.Stderr, "pawl: %s\n", approval.DisplayLines(env.hint(text), 2000))
	}
	if code == ExitUsage && text != "" {
		fmt.Fprint(env.Stderr, env.hint(fmt.Sprintf("See '%s --help'.\n", cmd.CommandPath())))
	}
	return code
}

func (a *App) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show which Pawl this is",
		Example: "  pawl version -o json",
		Args:    NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{build.Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return a.Show(v, fmt.Sprintf("pawl %s (%s, %s)\n", v.Version, v.Go, v.Platform))
		},
	}
}
