package review

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

func (a *app) settle() *cobra.Command {
	var ran, notRun bool
	var notes, result string
	cmd := &cobra.Command{
		Use:   "settle ID",
		Short: "Say what became of a call whose outcome is unknown",
		Long: `Say what became of a call whose outcome is unknown, after you looked into the
tool's own records. It is said once, and stays; the call's status stays
outcome_unknown. The agent sees what you say. Nothing runs again: where the tool
did not run, the agent may ask anew.`,
		Example: `  pawl settle pawl-k3vq2m7 --ran --notes "the bank shows transfer 81" --as ana
  pawl settle pawl-k3vq2m7 --not-run --notes "no such transfer" --as ana`,
		Args: cli.OneArg("ID", cli.WhichCall),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if ran == notRun {
				return cli.UsageError(errors.New("say one of --ran and --not-run"))
			}
			said := approval.Settled{Ran: ran, Notes: notes, Result: json.RawMessage(result)}
			if err := said.Check(); err != nil {
				return cli.UsageError(fmt.Errorf("--%w", err))
			}
			if result != "" && !json.Valid(said.Result) {
				return cli.UsageError(errors.New("--result is not JSON"))
			}
			c, err := a.Reviewer(cmd)
			if err != nil {
				return err
			}
			v, err := cli.Find(cmd.Context(), c, ids[0])
			if err != nil {
				return err
			}
			if v, err = sendSettled(cmd.Context(), c, v.ID, said); err != nil {
				return err
			}
			if a.Output == cli.OutputJSON {
				return a.PrintJSON(v.Raw)
			}
			return a.Say(cli.Summary(v) + "\n")
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&ran, "ran", false, "the tool did what it was asked to")
	flags.BoolVar(&notRun, "not-run", false, "the tool did not run")
	flags.StringVar(&notes, "notes", "", "how you know: `text` for the audit log and the agent; required")
	flags.StringVar(&result, "result", "", "what the tool answered, as `JSON`, where you found that")
	return cmd
}

func sendSettled(
	ctx context.Context, c *client.Client, id string, said approval.Settled,
) (client.View, error) {
	v, err := c.Settle(ctx, id, rest.SettleRequest{Ran: &said.Ran, Notes: said.Notes, Result: said.Result})
	if err != nil {
		return v, fmt.Errorf("%s: %w", approval.Display(id, 0), err)
	}
	return v, nil
}

// settled says in one line what a person says became of a call.
func settled(s *approval.Settled) string {
	text := "the tool " + cli.Ran(s.Ran) + ", says " + s.By
	if s.SelfApproval {
		text += ", who asked for the call or owns the agent that did"
	}
	return withNote(text, ": ", s.Notes)
}

// settleOne shows a call whose outcome is unknown until it is settled or left.
func (r *queueWalk) settleOne(place, id string) error {
	v, err := cli.Find(r.ctx, r.c, id)
	if err != nil {
		return err
	}
	if v.Status != approval.StatusOutcomeUnknown || v.Settled != nil {
		r.ends[endNotPending]++
		return r.Print(fmt.Sprintf("\nsettled meanwhile: %s\n", cli.Summary(v)))
	}
	if err := r.Page("\n" + r.Paint(cli.Bold, place) + "\n" + r.request(v)); err != nil {
		return err
	}
	r.dropTypedAhead()
	for {
		answer, err := r.ask("what became of it? [r] it ran  [n] it did not  [d] details  [s] skip  [q] quit > ")
		if err != nil {
			return err
		}
		said := approval.Settled{}
		switch strings.ToLower(answer) {
		case "r", "ran":
			said.Ran = true
		case "n", "no", "not-run":
		case "d", "details":
			if err := r.Print(cmp.Or(r.timeline(v.Timeline), "no timeline\n")); err != nil {
				return err
			}
			continue
		case "s", "skip":
			r.ends[endSkipped]++
			return nil
		case "q", "quit":
			return errQuit
		default:
			r.Note("answer r, n, d, s or q")
			continue
		}
		if said.Notes, err = r.askWhy("how do you know? > ", true); err != nil {
			return err
		}
		if v, err = sendSettled(r.ctx, r.c, v.ID, said); err != nil {
			return err
		}
		r.ends[endSettled]++
		return r.Say(cli.Summary(v) + "\n")
	}
}
