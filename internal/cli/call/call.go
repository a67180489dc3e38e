package call

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/rest"
)

const (
	// firstLook is how long a call is watched before anything is said about it: allowed calls mostly
	// end within it.
	firstLook = time.Second
	// shortWait is how long a call that no person has to decide, or one that was withdrawn, is waited
	// for when --wait is not given.
	shortWait = 10 * time.Second
)

const waitHelp = "how long to wait for people and the tool (default: not for people)"

func (a *app) call() *cobra.Command {
	var in approval.Call
	var args string
	var labels []string
	var wait, timeout settings.Length
	cmd := &cobra.Command{
		Use:   "call TOOL",
		Short: "Start a guarded tool call",
		Long: `Start a guarded tool call and print its result.

The result goes to standard output, everything else to standard error. A call
that waits for approval goes on without this command: without --wait its ID is
printed and the exit code is 5; 'pawl continue' gets its result.

With --key the call is started once, however often the command runs: the same
call with the same key is found again, another call with it is an error.`,
		Example: `  pawl call read_docs --args '{"page":"refunds"}'
  pawl call send_email --args @mail.json --reason "she asked" --wait 10m
  echo '{"customer_id":"c-7"}' | pawl call delete_account --args - --key case-12`,
		Args: cli.OneArg("TOOL", "which tool? 'pawl tools' lists them"),
		RunE: func(cmd *cobra.Command, positional []string) error {
			var err error
			if cmd.Flag("args").Changed {
				if in.Args, err = a.ReadObject("--args", args, approval.MaxArgs); err != nil {
					return err
				}
			}
			in.Tool, in.Timeout = positional[0], approval.Duration(timeout)
			if in.Labels, err = parseLabels(labels); err != nil {
				return cli.UsageError(err)
			}
			if cmd.Flag("key").Changed && in.IdempotencyKey == "" {
				return cli.UsageError(errors.New("--key is empty: leave it out, or name what this call is about"))
			}
			if cmd.Flag("timeout").Changed && timeout == 0 {
				return cli.UsageError(errors.New("--timeout is 0s: nobody can answer in no time; " +
					"give more, or leave it out"))
			}
			in.Normalize()
			if err := in.Validate(); err != nil {
				return cli.UsageError(err)
			}
			c, err := a.Client(cmd)
			if err != nil {
				return err
			}
			f := a.follow(cmd, c, time.Duration(wait))
			v, attached, err := c.Start(cmd.Context(), in, f.firstWait())
			if uncertain, ok := errors.AsType[*client.UncertainError](err); ok {
				return fmt.Errorf("%w\nThe call may have been started. Run the same command with --key %s: "+
					"it starts once", err, uncertain.Key)
			}
			if approval.CodeOf(err) == rest.CodeWorkflowGone {
				return cli.Fail(cli.ExitFailed, err)
			}
			refused, ok := errors.AsType[*client.Error](err)
			if ok && refused.Code == approval.CodeConflict && refused.ID != "" {
				id := approval.Display(refused.ID, 0)
				return fmt.Errorf("%w\nIt was used for %s; look at it with 'pawl show %s'", err, id, id)
			}
			if err != nil {
				return err
			}
			v.Tool = cmp.Or(v.Tool, in.Tool)
			if attached {
				a.Note("found %s, started before with this key", v.ID)
			}
			return f.toEnd(cmd.Context(), v)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&args, "args", "", "arguments: a `JSON` object, @file, or - for standard input (default {})")
	flags.Var(&wait, "wait", waitHelp)
	flags.StringVar(&in.IdempotencyKey, "key", "", "idempotency `key`: repeats start nothing new")
	flags.StringVar(&in.Agent, "agent", "", "`name` of the agent that asks")
	flags.StringVar(&in.Team, "team", "", "the agent's `team`")
	flags.StringVar(&in.Session, "session", "", "`session` or conversation the call belongs to")
	flags.StringVar(&in.AttemptOf, "attempt-of", "", "`id`: of the earlier call that this one tries again")
	flags.StringVar(&in.Reason, "reason", "", "`text`: why the agent wants this, for reviewers")
	flags.StringVar(&in.Title, "title", "", "short `text` for reviewers")
	flags.StringArrayVar(&labels, "label", nil, "`name=value` shown to reviewers; repeatable")
	flags.BoolVar(&in.RequireApproval, "require-approval", false, "ask people even if the policy would allow it")
	flags.Var(&timeout, "timeout", "shorten how long people have to answer")
	return cmd
}

func (a *app) resume() *cobra.Command {
	var key string
	var wait settings.Length
	cmd := &cobra.Command{
		Use:   "continue [ID]",
		Short: "Find a call again: its result, or its status",
		Long: `Find a call again and print its result, as 'pawl call' would have.

--key finds the calls that you started with it: keys are each requester's own.`,
		Example: `  pawl continue pawl-k3vq2m7 --wait 10m
  pawl continue --key case-12`,
		Args: func(cmd *cobra.Command, args []string) error {
			if byKey := cmd.Flag("key").Changed; byKey == (len(args) == 1) || len(args) > 1 {
				return errors.New("give either the call's ID or its --key")
			}
			if len(args) == 1 && args[0] == "" {
				return errors.New("ID is empty: " + cli.WhichCall)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && key == "" {
				return cli.UsageError(errors.New("--key is empty"))
			}
			c, err := a.Client(cmd)
			if err != nil {
				return err
			}
			var id, requester string
			if len(args) == 1 {
				id, err = cli.WholeID(cmd.Context(), c, args[0])
			} else {
				var me rest.Principal
				me, err = c.Whoami(cmd.Context())
				requester = me.Subject
				id = approval.KeyedID(requester, key)
			}
			if err != nil {
				return err
			}
			f := a.follow(cmd, c, time.Duration(wait))
			v, err := c.Get(cmd.Context(), id, f.firstWait())
			if len(args) == 0 && approval.CodeOf(err) == approval.CodeNotFound {
				return fmt.Errorf("no call was started with the key \"%s\" by the requester %q (it would be %s)\n"+
					"Check the API's address (%s) and the exact key. Keys of other requesters are not looked up: "+
					"use the call's ID, which 'pawl pending --all' and 'pawl audit list --kind call.requested' show",
					approval.Display(key, 100), approval.Display(requester, 100), id, c.URL())
			}
			if err != nil {
				return err
			}
			return f.toEnd(cmd.Context(), v)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the idempotency `key` the call was started with")
	cmd.Flags().Var(&wait, "wait", waitHelp)
	return cmd
}

// follow waits for a call to end, as long as --wait says.
type follow struct {
	*app
	c         *client.Client
	forPeople bool          // --wait was given: wait for people too
	until     time.Time     // end of --wait
	limit     time.Duration // --wait
}

func (a *app) follow(cmd *cobra.Command, c *client.Client, most time.Duration) follow {
	return follow{app: a, c: c, forPeople: cmd.Flag("wait").Changed, limit: most, until: a.Now().Add(most)}
}

// firstWait is for the first look, which is part of --wait.
func (f follow) firstWait() time.Duration {
	if f.forPeople {
		return max(0, min(f.until.Sub(f.Now()), firstLook))
	}
	return firstLook
}

// toEnd waits, and reports the state that the call is in then.
func (f follow) toEnd(ctx context.Context, v client.View) error {
	if f.forPeople && unfinished(v) {
		if left := f.until.Sub(f.Now()); left > 0 {
			f.Note("%s; waiting up to %s (after Ctrl-C the call goes on)",
				cli.Summary(v), cli.Span(min(f.limit, left+firstLook)))
			var err error
			if v, err = f.wait(ctx, v, left); err != nil {
				return err
			}
		}
	}
	if !f.forPeople {
		var err error
		v, err = pollWhile(ctx, f.c, v, func(v client.View) bool {
			return unfinished(v) && v.Status != approval.StatusPending
		})
		if err != nil {
			f.Note("%v", err)
		}
	}
	if v.DuplicateOf == "" {
		return f.report(v)
	}
	same, err := f.c.Get(ctx, v.DuplicateOf, f.firstWait())
	if err != nil || same.DuplicateOf != "" {
		return f.report(v)
	}
	f.Note("%s is identical to %s, which already waits: waiting for that one", v.ID, v.DuplicateOf)
	return f.toEnd(ctx, same)
}

// pollWhile asks for a call while more says so, for shortWait at most, and returns how it was last
// seen. That its time or ctx ended is no error.
func pollWhile(
	ctx context.Context, c *client.Client, v client.View, more func(client.View) bool,
) (client.View, error) {
	ctx, stop := context.WithTimeout(ctx, shortWait)
	defer stop()
	for range int(shortWait / firstLook) {
		if !more(v) {
			break
		}
		next, err := c.Get(ctx, v.ID, firstLook)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return v, err
		}
		next.Tool = cmp.Or(next.Tool, v.Tool) // unknown until the call is evaluated
		v = next
	}
	return v, nil
}

func unfinished(v client.View) bool { return !v.Status.Ended() && !v.Lost() }

// wait returns the call as it was last seen. Silence of the API is no error: the call goes on
// without it.
func (f follow) wait(ctx context.Context, v client.View, most time.Duration) (client.View, error) {
	held, stop := context.WithTimeout(ctx, most)
	defer stop()
	last, err := f.c.Wait(held, v.ID)
	if last.ID == "" {
		last = v
	}
	last.Tool = cmp.Or(last.Tool, v.Tool)
	if err != nil && held.Err() == nil {
		return last, fmt.Errorf("%s: %w", v.ID, err)
	}
	if errors.As(err, new(*client.UnreachableError)) || errors.As(err, new(*client.Error)) {
		f.Note("the API stopped answering; this is the call as it was last seen:")
	}
	return last, nil
}

func (f follow) report(v client.View) error {
	code := cli.ExitFor(v)
	if f.Output == cli.OutputJSON {
		if err := f.PrintJSON(v.Raw); err != nil {
			return err
		}
	} else if code == cli.ExitDone {
		result := []byte(v.Result)
		if len(result) == 0 {
			result = []byte("null")
		}
		if err := f.PrintJSON(result); err != nil {
			return err
		}
	}
	text := cli.Summary(v)
	switch w := v.Waiting; {
	case v.Error != nil && v.Error.Code == approval.CodeUnknownTool:
		text += "; 'pawl tools' lists those that are offered"
	case w != nil && v.Status != approval.StatusPending:
		text += "; it waits for " + cli.Cell(w.For, 200)
	case w == nil && v.Status == approval.StatusEvaluating && code == cli.ExitPending:
		text += "; is a worker running?"
	}
	f.Note("%s", text)
	if code == cli.ExitPending {
		if v.Waiting != nil {
			for _, p := range v.Waiting.Problems {
				f.Note("warning: %s", cli.Cell(p.Message, 1000))
			}
		}
		f.Note("Look at it with 'pawl show %s', get its result with 'pawl continue %s'.", v.ID, v.ID)
	}
	return cli.ExitWith(code)
}

func parseLabels(pairs []string) (map[string]string, error) {
	labels := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--label must be name=value")
		}
		if _, twice := labels[name]; twice {
			return nil, fmt.Errorf("--label: %q is given twice", name)
		}
		labels[name] = value
	}
	return labels, nil
}
