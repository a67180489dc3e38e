// Package review holds the commands of reviewers: to see, approve and reject calls, and to read the
// audit log.
package review

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
)

type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{
		a.pending(), a.show(), a.decide(approval.Approve), a.decide(approval.Reject), a.review(), a.audit(),
	}
}

const (
	shortID    = 12 // the shortest ID prefix shown: "pawl-" and 35 bits
	watchEvery = 2 * time.Second
)

// filter selects requests, for every command that goes through them.
type filter struct {
	tool, agent, session, risk string
	limit                      cli.Count
}

func (f *filter) flags(flags *pflag.FlagSet) {
	flags.StringVar(&f.tool, "tool", "", "only calls of this `tool`")
	flags.StringVar(&f.agent, "agent", "", "only calls by this `agent`")
	flags.StringVar(&f.session, "session", "", "only calls of this `session`")
	flags.StringVar(&f.risk, "risk", "", "only calls of this `risk`: low, medium, high or critical")
	f.limit = 100
	flags.Var(&f.limit, "limit", cli.LimitHelp)
}

func (f *filter) query(status string) (client.RequestQuery, error) {
	if f.risk != "" {
		if _, err := approval.ParseRisk(f.risk); err != nil {
			return client.RequestQuery{}, cli.UsageError(fmt.Errorf("--risk: %w", err))
		}
	}
	return client.RequestQuery{
		Status: status, Tool: f.tool, Agent: f.agent, Session: f.session,
		Risk: approval.Risk(f.risk), Limit: int(f.limit),
	}, nil
}

func (a *app) pending() *cobra.Command {
	var f filter
	var all, watch bool
	var status string
	cmd := &cobra.Command{
		Use:   "pending",
		Short: "List the calls that wait for approval",
		Example: `  pawl pending
  pawl pending --risk high --watch
  pawl pending --status rejected --agent support-bot
  pawl pending --all --limit 0 -o json`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case all && status != "":
				return cli.UsageError(errors.New("--all and --status exclude each other"))
			case watch && a.Output == cli.OutputJSON:
				return cli.UsageError(errors.New("--watch is for people: it has no JSON form"))
			case all:
				status = "all"
			case status != "" && status != "all":
				if _, err := approval.ParseStatus(status); err != nil {
					return cli.UsageError(fmt.Errorf("--status: %w", err))
				}
			}
			q, err := f.query(status)
			if err != nil {
				return err
			}
			c, err := a.Client(cmd)
			if err != nil {
				return err
			}
			if watch {
				return a.watch(cmd.Context(), c, q)
			}
			page, err := c.Requests(cmd.Context(), q)
			if err != nil {
				return err
			}
			if a.Output == cli.OutputJSON {
				return cli.PrintPage(a.App, page)
			}
			switch {
			case len(page.Items) > 0:
			case q == client.RequestQuery{Limit: q.Limit}:
				a.Note("nothing waits for approval")
				a.noteProblems(cmd.Context(), c, nil)
				return nil
			default:
				a.Note("no request matches")
				return nil
			}
			if err := a.Print(a.requests(page.Items)); err != nil {
				return err
			}
			cli.NoteMore(a.App, page)
			a.noteProblems(cmd.Context(), c, page.Items)
			return nil
		},
	}
	f.flags(cmd.Flags())
	cmd.Flags().BoolVar(&all, "all", false, "also calls that waited for people and have ended; "+
		"calls that nobody was asked about are in 'pawl audit list'")
	cmd.Flags().StringVar(&status, "status", "", "only this `status` (default pending)")
	cmd.Flags().BoolVar(&watch, "watch", false, "show the list again every 2 s until Ctrl-C")
	return cmd
}

// watch shows the list until ctx ends; the first answer must succeed.
func (a *app) watch(ctx context.Context, c *client.Client, q client.RequestQuery) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		page, err := c.Requests(ctx, q)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			a.Note("%v", err)
		default:
			clear := "\n"
			if a.IsTerminal(a.Stdout) {
				clear = "\x1b[H\x1b[2J" // home, then erase the screen
			}
			if err := a.Print(clear + a.requests(page.Items)); err != nil {
				return err
			}
			cli.NoteMore(a.App, page)
			a.noteProblems(ctx, c, page.Items)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *app) requests(views []client.View) string {
	ids := shortIDs(views)
	var rows [][]string
	for i, v := range views {
		until, age, left := a.Now(), "-", "-"
		if v.EndedAt != nil {
			until = *v.EndedAt
		}
		if !v.CreatedAt.IsZero() {
			age = cli.Span(until.Sub(v.CreatedAt))
		}
		if v.Status == approval.StatusPending && v.Deadline != nil {
			left = cli.Span(v.Deadline.Sub(a.Now()))
		}
		rows = append(rows, []string{
			approval.Display(ids[i], 0), cli.Cell(v.Tool, 24), cli.Cell(v.Agent, 16), cli.Cell(string(v.Risk), 10),
			cli.Cell(string(v.Status), 20),
			age, left, cli.OneLine(v.Args, 48),
		})
	}
	return cli.Table([]string{"ID", "TOOL", "AGENT", "RISK", "STATUS", "WAITING", "EXPIRES IN", "ARGS"}, rows)
}

// shortIDs returns ID prefixes that differ from each other. A prefix that stands for another,
// unlisted call too is refused by the API as ambiguous.
func shortIDs(views []client.View) []string {
	size := shortID
	for i, v := range views {
		for _, other := range views[:i] {
			if v.ID != other.ID {
				size = max(size, commonPrefix(v.ID, other.ID)+1)
			}
		}
	}
	short := make([]string, len(views))
	for i, v := range views {
		end := min(size, len(v.ID))
		for end < len(v.ID) && !utf8.RuneStart(v.ID[end]) {
			end++
		}
		short[i] = v.ID[:end]
	}
	return short
}

func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func (a *app) show() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show everything about one call",
		Long: `Show everything about one call: what would run, why, who decided, what the audit
log says, and what a call that has not ended waits for. An unambiguous beginning
of the ID is enough, and you may leave out pawl-.`,
		Example: `  pawl show pawl-k3vq2m7
  pawl show pawl-k3vq2m7 -o json`,
		Args: cli.OneArg("ID", cli.WhichCall),
		RunE: a.Ask(func(cmd *cobra.Command, c *client.Client, args []string) error {
			v, err := cli.Find(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if a.Output == cli.OutputJSON {
				return a.PrintJSON(v.Raw)
			}
			if err := a.Print(a.request(v) + timeline(v.Timeline) + a.warnings(v)); err != nil {
				return err
			}
			if v.TimelineCursor != "" {
				a.Note("the timeline goes on: 'pawl audit list --limit 0 --request %s' shows all of it", v.ID)
			}
			return nil
		}),
	}
}
