// Package hooks holds the commands that coding agents run as their hooks, and those that put them
// there.
package hooks

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/hook"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/internal/wrapped"
)

type app struct{ *cli.App }

// Commands are the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	group := cli.Group("hook", "Guard a coding agent by its own hooks")
	group.Example = "  pawl hook claude-code install"
	group.AddCommand(a.claudeCode())
	return []*cobra.Command{group}
}

// claude holds the flags of the hook itself.
type claude struct {
	*app
	wait     settings.Length
	agent    string
	team     string
	state    string
	headless bool
	project  bool
}

func (a *app) claudeCode() *cobra.Command {
	c := &claude{app: a, wait: settings.Length(hook.DefaultWait)}
	cmd := &cobra.Command{
		Use:   "claude-code",
		Short: "Answer an event of Claude Code's hooks",
		Long: `Answer one event of Claude Code's hooks: the event comes on standard input, and
the answer goes to standard output. 'pawl hook claude-code install' has Claude
Code run this command before and after each tool call.

Before a tool Pawl is asked. What the policy allows goes on by Claude Code's own
permission rules; what a person approves is allowed; everything else is denied,
also when Pawl can't be reached. A call that still waits after --wait is denied
as pending, or, with 'claude -p', held back: 'claude -p --resume' goes on with
it. If the model makes the same call again, it goes on where it stopped.

The tool runs in Claude Code, so this is cooperation, not enforcement: whoever
runs programs as the same user can get around it. See docs/agents.md.`,
		Example: `  pawl hook claude-code install
  pawl hook claude-code --wait 2m`,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.answer(cmd) },
	}
	// Settings that somebody has written by hand block, too.
	refuse := func(err error) error { return fmt.Errorf("%w. Nothing has run. %s", err, c.undo()) }
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := cli.NoArgs(cmd, args); err != nil {
			return refuse(err)
		}
		return nil
	}
	cmd.SetFlagErrorFunc(func(failed *cobra.Command, err error) error {
		if failed == cmd {
			err = refuse(err)
		}
		return cli.UsageError(err)
	})
	flags := cmd.Flags()
	flags.Var(&c.wait, "wait", "how long a tool call waits for people; less than the hook's timeout")
	flags.StringVar(&c.agent, "agent", "claude-code", "`name` of the agent, in the policy and to reviewers")
	flags.StringVar(&c.team, "team", "", "the agent's `team`")
	flags.BoolVar(&c.headless, "headless", false,
		"let run what Pawl's policy allows, whatever Claude Code's own permission rules say")
	flags.StringVar(&c.state, "state", "", "`folder` for what this hook has started "+
		"(default pawl/claude-code in your folder for settings)")
	flags.BoolVar(&c.project, "project", false,
		"this hook is in a project's settings; denials say how to take it out there")
	cmd.AddCommand(a.install(), a.uninstall())
	return cmd
}

// answer answers one event. Errors are answers: another exit code than 2 would let the tool run.
func (c *claude) answer(cmd *cobra.Command) error {
	var a hook.Answer
	h, err := c.hook(cmd)
	switch {
	case errors.Is(err, fs.ErrNotExist): // the token's file
		a = hook.Blocked(err, c.noToken(cmp.Or(c.Setting(cmd, "api"), client.DefaultURL)))
	case err != nil:
		a = hook.Blocked(err, c.undo())
	default:
		a = h.Answer(cmd.Context(), c.Stdin)
	}
	if err := c.Print(a.Out); err != nil {
		a = hook.Blocked(err, c.undo())
	}
	if a.Err != "" {
		_, _ = c.Stderr.Write([]byte(a.Err)) // nobody is left to be told
	}
	return cli.ExitWith(a.Exit)
}

func (c *claude) hook(cmd *cobra.Command) (*hook.ClaudeCode, error) {
	api, err := c.client(cmd)
	if err != nil {
		return nil, err
	}
	if c.state == "" {
		if c.state, err = ownDir("claude-code"); err != nil {
			return nil, err
		}
	}
	guarded, err := c.guarded()
	if err != nil {
		return nil, err
	}
	return hook.NewClaudeCode(hook.ClaudeOptions{
		Client: api, Dir: c.state, Agent: c.agent, Team: c.team, Wait: time.Duration(c.wait),
		Headless: c.headless, Project: c.Getenv("CLAUDE_PROJECT_DIR"), Guarded: guarded,
		// How 'claude -p' calls itself to its hooks.
		Print:   c.Getenv("CLAUDE_CODE_ENTRYPOINT") == "sdk-cli",
		Alive:   alive(c.Getenv("CLAUDE_PID")),
		Trouble: c.trouble(), NoToken: c.noToken(api.URL()), Undo: c.undo(), Now: c.Now,
	})
}

// client asks Pawl with the token that is given, else with the one that the user's agent has for this API. A
// project's settings, which others share, name no token.
func (c *claude) client(cmd *cobra.Command) (*client.Client, error) {
	api, err := c.Client(cmd)
	if err != nil || c.Setting(cmd, "token") != "" || c.Setting(cmd, "token-file") != "" {
		return api, err
	}
	file, k, err := tokenFile(api.URL())
	if err != nil || k.Token == "" { // without one: Pawl may take calls from everybody
		return api, err
	}
	if err := cmd.Flag("token-file").Value.Set(file); err != nil {
		return nil, err
	}
	cmd.Flag("token-file").Changed = true
	return c.Client(cmd)
}

// alive tells whether a process is still there; one that nobody names is.
func alive(pid string) func() bool {
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 0 {
		return nil
	}
	host, err := os.FindProcess(n)
	if err != nil {
		return func() bool { return false }
	}
	// Windows knows no signal but Kill; there the process was found, and that has to do.
	return func() bool { return !errors.Is(host.Signal(syscall.Signal(0)), os.ErrProcessDone) && !unreaped(n) }
}

// unreaped reports a process that was killed and still takes signals, as its parent has not asked for its end.
// Linux alone tells.
func unreaped(pid int) bool {
	if runtime.GOOS != "linux" {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	name := bytes.LastIndex(stat, []byte(") ")) // which may hold anything
	return err == nil && name >= 0 && bytes.ContainsAny(stat[name+2:min(name+3, len(stat))], "ZX")
}

// guarded tells which MCP servers go through the gateway, which asks about their calls itself.
// Without the folder of the project nobody can tell.
func (c *claude) guarded() (func(server string, subagent bool) bool, error) {
	home, err := os.UserHomeDir()
	config, configErr := os.UserConfigDir()
	if err = errors.Join(err, configErr); err != nil {
		return nil, err
	}
	record, err := wrapped.Read(wrapped.File(config))
	at := wrapped.ClaudeAt(home, c.Getenv("CLAUDE_CONFIG_DIR"), c.Getenv("CLAUDE_PROJECT_DIR"))
	return func(server string, subagent bool) bool {
		return at.Project != "" && record.Covers(server, at) && (!subagent || !at.OwnAgents())
	}, err
}

// trouble goes to the model, and by it to the person: the model itself can't run a command then.
func (c *claude) trouble() string {
	return c.advise("start Pawl (`pawl-dev`, or in its source `make dev`)")
}

// noToken is said instead where the API does not know who asks.
func (c *claude) noToken(api string) string {
	if c.plugin() {
		return c.advise("have an agent's token in a file that PAWL_TOKEN_FILE names")
	}
	return c.advise(c.run("install --api "+quote(api)) + ", which gives this agent a token, or says who can")
}

func (c *claude) advise(begin string) string {
	return "Ask the person to " + begin + ", or, to remove this guard, to " + c.removal() + "."
}

// undo is said where neither helps.
func (c *claude) undo() string {
	return "Ask the person. To remove this guard, they " + c.removal() + "."
}

func (c *claude) removal() string {
	if c.plugin() {
		return "disable the plugin pawl in Claude Code"
	}
	return c.run("uninstall")
}

func (c *claude) plugin() bool { return c.Getenv("CLAUDE_PLUGIN_ROOT") != "" }

// run is a command about this hook, for whoever sits at the host.
func (c *claude) run(what string) string {
	text := "run `" + quote(program()) + " hook claude-code " + what
	if !c.project {
		return text + "`"
	}
	folder := approval.Display(c.Getenv("CLAUDE_PROJECT_DIR"), 0)
	return text + " --project` in " + cmp.Or(folder, "the project's folder")
}

// program is how this program can be run from anywhere.
func program() string {
	if path, err := os.Executable(); err == nil {
		return path
	}
	return "pawl"
}

// ownDir is a folder in the user's folder for settings.
func ownDir(name string) (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "pawl", name), err
}
