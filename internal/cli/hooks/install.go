package hooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/hook"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
)

type install struct {
	*app
	place
	wait       settings.Length
	headless   bool
	noPolicy   bool
	policyOnly bool
	host       string
	agentToken string
}

func (a *app) install() *cobra.Command {
	i := &install{app: a, wait: settings.Length(hook.DefaultWait)}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Have Claude Code ask Pawl before each tool call",
		Long: `Put the hook into Claude Code's settings: yours, or with --project those of the
project in the current folder. What is there stays; the command may be repeated.
Claude Code reads its settings when it starts.

Where Pawl knows its callers by sign-in, this makes a token for the agent, if
yours is an administrator's. It also adds the layer coding-agent to the active
policy, unless there is one: see examples/policy/ready/coding-agent.yaml. If it
can't, it says so, and what to do, and ends with exit code 1.`,
		Example: `  pawl hook claude-code install
  pawl hook claude-code install --project --wait 2m
  pawl hook claude-code install --dry-run`,
		Args: cli.NoArgs,
		RunE: a.Ask(i.run),
	}
	i.addFlags(cmd)
	flags := cmd.Flags()
	flags.Var(&i.wait, "wait", "how long a tool call waits for people (default 4m30s)")
	flags.BoolVar(&i.headless, "headless", false,
		"let run what Pawl's policy allows, whatever Claude Code's own permission rules say")
	flags.BoolVar(&i.noPolicy, "no-policy", false, "leave the active policy as it is")
	flags.BoolVar(&i.policyOnly, "policy-only", false,
		"only add the layer to the active policy: for an administrator, on any machine")
	flags.StringVar(&i.host, "claude", "claude", "`program` that is Claude Code, to check its version")
	flags.StringVar(&i.agentToken, "agent-token-file", "",
		"`file` with a token that the agent has already (default: one is made where it needs one)")
	return cmd
}

func (i *install) run(cmd *cobra.Command, c *client.Client, _ []string) error {
	i.config = i.Getenv("CLAUDE_CONFIG_DIR")
	if i.wait <= 0 {
		return cli.UsageError(errors.New("--wait is 0s: nobody can answer in no time"))
	}
	if i.policyOnly && (i.noPolicy || i.project) {
		return cli.UsageError(errors.New("--policy-only goes without --no-policy and --project"))
	}
	if i.policyOnly {
		me, err := c.Whoami(cmd.Context())
		if err == nil {
			c, err = i.named(cmd, c, me)
		}
		if err != nil {
			return err
		}
		return i.policy(cmd.Context(), c)
	}
	if err := i.checkHost(cmd.Context()); err != nil {
		return err
	}
	if err := i.check(); err != nil {
		return err
	}
	v, err := c.Version(cmd.Context())
	if err != nil {
		return err
	}
	if !slices.Contains(v.Features, "caller") {
		return fmt.Errorf("this API offers no calls that their callers run, so upgrade it:\n  %s", c.URL())
	}
	run, err := i.command()
	if err != nil {
		return err
	}
	me, err := c.Whoami(cmd.Context())
	if err != nil {
		return err
	}
	if c, err = i.named(cmd, c, me); err != nil {
		return err
	}
	token, err := i.token(cmd.Context(), c, me)
	if err != nil {
		return err
	}
	// In the user's own settings nothing is left to the environment, which a project's settings can change. In
	// a project's the address is the one of each user, unless another is given, and so is the file.
	if token != "" && !i.project {
		run += " --token-file " + quote(token)
	}
	if !i.project || c.URL() != client.DefaultURL {
		run += " --api " + quote(c.URL())
	}
	if i.headless {
		run += " --headless"
	}
	if !i.dryRun {
		if err := i.noteSettings(); err != nil {
			return err
		}
	}
	err = i.edit(i.App, func(doc []byte) ([]byte, error) {
		return hook.Install(doc, run, time.Duration(i.wait))
	})
	if err != nil {
		return err
	}
	var missing error // the hook works without the layer, so the rest is said first
	if !i.noPolicy {
		missing = i.policy(cmd.Context(), c)
	}
	if i.dryRun {
		return missing
	}
	undo := "'pawl hook claude-code uninstall'"
	if i.project {
		undo = "'pawl hook claude-code uninstall --project'"
	}
	return cmp.Or(i.Say("Restart Claude Code. These show what waits for you, and take the hook out:\n"+
		"  'pawl review'\n  "+undo+"\n"), missing)
}

// noteSettings has uninstall know that these settings need what install has done. That comes before they are
// written, which a crash may keep from happening: uninstall looks for the hook in them.
func (i *install) noteSettings() error {
	file, err := i.file()
	if err != nil {
		return err
	}
	return changeRecord(func(r *record) { r.Settings = append(r.Settings, file) })
}

// checkHost refuses a Claude Code that lets tools run when their hook fails.
func (i *install) checkHost(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, i.host, "--version").Output()
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // the path is named already
		}
		return fmt.Errorf("which version of Claude Code is it? This fails:\n  %s --version\n%w\n"+
			"Name the program with --claude", i.host, err)
	}
	return hook.CheckClaude(string(out))
}

// command is how Claude Code runs the hook. In a project, which others share, it is a name that
// each of them has in PATH, and says so: only then a denial can name the command that takes the
// hook out.
func (i *install) command() (string, error) {
	if i.project {
		if i.LookPath == nil {
			return "", errors.New("nobody can tell whether pawl is in PATH")
		}
		if _, err := i.LookPath("pawl"); err != nil {
			return "", errors.New("pawl is not in PATH. A project's settings are shared, and name no\n" +
				"file of one machine: put pawl into PATH, or leave out --project")
		}
		return "pawl hook claude-code --project", nil
	}
	return quote(program()) + " hook claude-code", nil
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quote makes one word of a text for the shell that runs hooks.
func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
