// Package review holds the commands of reviewers: to see, approve and reject calls, and to read the
// audit log.
package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/rest"
)

type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{
		a.pending(), a.show(), a.decide(approval.Approve), a.decide(approval.Reject),
		a.settle(), a.review(), a.audit(),
	}
}

const watchEvery = 2 * time.Second

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
	var times timeFlags
	var all, watch bool
	var status, by string
	cmd := &cobra.Command{
		Use:   "pending",
		Short: "List the calls that wait for approval",
		Example: `  pawl pending
  pawl pending --risk high --watch
  pawl pending --status outcome_unknown
  pawl pending --status rejected --agent support-bot
  pawl pending --status ended --by ana --last 24h
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
			case status != "" && status != "all" && status != "ended":
				if _, err := approval.ParseStatus(status); err != nil {
					return cli.UsageError(fmt.Errorf("--status: %w", err))
				}
			}
			q, err := f.query(status)
			if err != nil {
				return err
			}
			q.By = by
			if q.Since, q.Until, err = a.readTimes(times); err != nil {
				return cli.UsageError(err)
			}
			c, err := a.Client(cmd)
			if err != nil {
				return err
			}
			if watch {
				return a.watch(cmd.Context(), c, q)
			}
			page, err := requests(cmd.Context(), c, q)
			switch {
			case err != nil:
				return err
			case a.Output == cli.OutputJSON:
				return cli.PrintPage(a.App, page)
			case len(page.Items) == 0 && q != client.RequestQuery{Limit: q.Limit}:
				a.Note("no request matches")
				return nil
			case len(page.Items) == 0:
				a.Note("nothing waits for approval")
			}
			return a.printRequests(cmd.Context(), c, page, "")
		},
	}
	f.flags(cmd.Flags())
	cmd.Flags().BoolVar(&all, "all", false, "also calls that waited for people and have ended; "+
		"calls that nobody was asked about are in 'pawl audit list'")
	cmd.Flags().StringVar(&status, "status", "", "only this `status` (default pending), or ended: any end; "+
		"of outcome_unknown, only calls that nobody has settled")
	cmd.Flags().StringVar(&by, "by", "",
		"only calls that this `person` asked for, withdrew, decided or settled")
	times.add(cmd.Flags(), "calls asked for")
	cmd.Flags().BoolVar(&watch, "watch", false, "show the list again every 2 s until Ctrl-C")
	return cmd
}

// watch shows the list until ctx ends; the first answer must succeed.
func (a *app) watch(ctx context.Context, c *client.Client, q client.RequestQuery) error {
	for first := true; first || retry.Sleep(ctx, watchEvery); first = false {
		page, err := requests(ctx, c, q)
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
			if err := a.printRequests(ctx, c, page, clear); err != nil {
				return err
			}
		}
	}
	return nil
}

// requests lists requests: those that wait with the nearest deadline first, others newest first.
func requests(
	ctx context.Context, c *client.Client, q client.RequestQuery) (client.Page[client.View], error) {
	q.Nearest = q.Status == "" || q.Status == string(approval.StatusPending)
	page, err := c.Requests(ctx, q)
	if q.Nearest && approval.CodeOf(err) == rest.CodeInvalidRequest { // an older API has only the newest first
		q.Nearest = false
		page, err = c.Requests(ctx, q)
	}
	return page, err
}

// printRequests prints a list, and what keeps its calls from going on.
func (a *app) printRequests(
	ctx context.Context, c *client.Client, page client.Page[client.View], before string,
) error {
	if len(page.Items) > 0 || before != "" {
		countVotes(ctx, c, page.Items)
		if err := a.Print(before + a.requestTable(page.Items)); err != nil {
			return err
		}
	}
	cli.NoteMore(a.App, page)
	a.noteProblems(ctx, c, page.Items)
	return nil
}

// requestTable has two lines for each request: what it is, and below it what it would do, behind a bar
// as everything that holds words of an agent.
func (a *app) requestTable(views []client.View) string {
	waits := !slices.ContainsFunc(views, func(v client.View) bool { return v.Status != approval.StatusPending })
	header := []string{"ID", "EXPIRES IN", "RISK", "APPROVALS", "TOOL", "AGENT"}
	if !waits {
		header = slices.Insert(header, 1, "STATUS")
	}
	ids := shortIDs(views)
	var rows [][]string
	for i, v := range views {
		left := "-"
		if v.Status == approval.StatusPending && v.Deadline != nil {
			left = cli.Span(v.Deadline.Sub(a.Now()))
		}
		row := []string{
			approval.Display(ids[i], 0), left, cli.Cell(string(v.Risk), 10), approvals(v),
			cli.Cell(v.Tool, 0), cli.Cell(v.Agent, 0),
		}
		if !waits {
			row = slices.Insert(row, 1, cli.Cell(string(v.Status), 20))
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	for i, line := range strings.SplitAfter(cli.TableOf(header, rows, a.Width()), "\n") {
		b.WriteString(line)
		if i > 0 && i <= len(views) && len(views[i-1].Args) > 0 {
			summary := views[i-1].Summary
			if len(summary) == 0 {
				summary = present.Summary(views[i-1].View.View, present.Tool{})
			}
			b.WriteString(cli.Clip("  │ "+present.Plain(summary), a.Width()) + "\n")
		}
	}
	return b.String()
}

// countVotes gives the calls that wait for several people their votes, which only a call's workflow
// knows before it is settled. It asks for the first of them, and not for long: a call without an
// answer gets none.
func countVotes(ctx context.Context, c *client.Client, views []client.View) {
	const most, atOnce = 50, 8
	ctx, cancel := context.WithTimeout(ctx, problemsTimeout)
	defer cancel()
	var asked sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for i := range min(len(views), most) {
		v := &views[i]
		if _, all := ballot.Progress(v.View.View); v.Status != approval.StatusPending || all < 2 {
			continue
		}
		asked.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			if now, err := c.Request(ctx, v.ID); err == nil && now.Digest == v.Digest {
				v.Votes, v.Live = now.Votes, now.Live
			}
		})
	}
	asked.Wait()
}

// approvals says how many of the approvals that a call takes have been given: "1 of 2"; "? of 2"
// where its workflow was not asked or did not answer.
func approvals(v client.View) string {
	met, all := ballot.Progress(v.View.View)
	switch {
	case v.Requirement == nil:
		return "-"
	case v.Status == approval.StatusPending && all > 1 && !v.Live:
		return fmt.Sprintf("? of %d", all)
	}
	return fmt.Sprintf("%d of %d", met, all)
}

// shortIDs returns ID prefixes that differ from each other. A prefix that stands for another,
// unlisted call too is refused by the API as ambiguous.
func shortIDs(views []client.View) []string {
	size := cli.ShortID
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
			if err := a.Page(a.request(v) + a.timeline(v.Timeline) + a.warnings(v)); err != nil {
				return err
			}
			if v.TimelineCursor != "" {
				a.Note("the timeline goes on: 'pawl audit list --limit 0 --request %s' shows all of it", v.ID)
			}
			return nil
		}),
	}
}
