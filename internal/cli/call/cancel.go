package call

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
	"github.com/spf13/cobra"
)

func (a *app) cancel() *cobra.Command {
	var notes, session string
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Withdraw a call that has not started its tool",
		Long: `Withdraw a call that has not started its tool, or with --session all calls of a
session that have not: your own, and an administrator's are everybody's.`,
		Example: `  pawl cancel pawl-k3vq2m7
  pawl cancel pawl-k3vq2m7 --notes "the order was changed"
  pawl cancel --session nightly-1041`,
		Args: cobra.MatchAll(cobra.MaximumNArgs(1), cli.AnyArgs("ID")),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := approval.CheckNotes(notes); err != nil {
				return cli.UsageError(err)
			}
			if (session == "") == (len(args) == 0) {
				return cli.UsageError(errors.New("ID is missing: which call? Or --session for all of a session"))
			}
			c, err := a.Client(cmd)
			if err != nil {
				return err
			}
			if session != "" {
				return a.cancelSession(cmd.Context(), c, session, notes)
			}
			found, err := cli.FindToDecide(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			id := found.ID
			if _, err := c.Cancel(cmd.Context(), id, notes); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			var v client.View
			v.ID = id
			v, err = pollWhile(cmd.Context(), c, v, unfinished)
			if err != nil {
				return fmt.Errorf("%s: the withdrawal is sent; check with 'pawl show %s': %w", id, id, err)
			}
			if a.Output == cli.OutputJSON && v.Raw != nil {
				if err := a.PrintJSON(v.Raw); err != nil {
					return err
				}
			}
			switch {
			case v.Status == approval.StatusCancelled:
				a.Note("%s", cli.Summary(v))
				return nil
			case v.Lost():
				a.Note("%s", cli.Summary(v))
				return cli.ExitWith(cli.ExitFor(v))
			case v.Status.Ended():
				a.Note("too late: %s", cli.Summary(v))
				return cli.ExitWith(cli.ExitDenied)
			}
			a.Note("the withdrawal of %s is sent and counts once a worker runs; "+
				"check again with 'pawl show %s'", id, id)
			return cli.ExitWith(cli.ExitPending)
		},
	}
	cmd.Flags().StringVar(&notes, "notes", "", "`text`: why, for the audit log")
	cmd.Flags().StringVar(&session, "session", "", "withdraw all calls of this `session`")
	return cmd
}

func (a *app) cancelSession(ctx context.Context, c *client.Client, session, notes string) error {
	ids, err := c.CancelSession(ctx, session, notes)
	if err != nil {
		return err
	}
	if a.Output == cli.OutputJSON {
		return a.PrintValue(rest.SessionCancelled{IDs: ids})
	}
	for _, id := range ids {
		if err := a.Print(approval.Display(id, 0) + "\n"); err != nil {
			return err
		}
	}
	a.Note("the withdrawal of %s is sent; each ends so, unless its tool starts first",
		approval.Plural(len(ids), "call"))
	return nil
}
