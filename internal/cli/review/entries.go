package review

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/sealed"
	"github.com/pawlhq/pawl/rest"
)

func (a *app) audit() *cobra.Command {
	cmd := cli.Group("audit", "Look into the audit log, and verify it")
	cmd.Example = `  pawl audit list --request pawl-k3vq2m7
  pawl audit verify --database-url sqlite://.pawl/pawl.db`
	cmd.AddCommand(a.auditList(), a.auditExport(), a.auditErase())
	cmd.AddCommand(sealed.Commands(a.App)...)
	return cmd
}

func (a *app) auditList() *cobra.Command {
	var q client.EntryQuery
	var times timeFlags
	limit := cli.Count(100)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List audit entries, newest first",
		Long: `List audit entries, newest first.

--by finds every entry that names somebody if --since, --last, --request,
--kind, --tool, --agent, --status or --risk bounds the search. Alone, or with
--until, it leaves out the entries that every call has of calls that nobody was
asked about, since no index has them. 'pawl audit export --by' leaves out none.`,
		Example: `  pawl audit list --request pawl-k3vq2m7
  pawl audit list --by ana --last 24h
  pawl audit list --tool charge_card --since 720h --limit 0 -o json`,
		Args: cli.NoArgsBut("--request"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := a.entryFilters(cmd, &q, times)
			if err != nil {
				return err
			}
			q.Newest, q.Limit = true, int(limit)
			page, err := c.Entries(cmd.Context(), q)
			if err != nil {
				return err
			}
			a.warnDamage(page.Items)
			if leftOut(q) {
				defer a.Note("entries of calls that nobody was asked about were not searched: --last 24h or another " +
					"filter has them searched, too")
			}
			defer cli.NoteMore(a.App, page)
			return entryList.PrintPage(a.App, page)
		},
	}
	entryFlags(cmd.Flags(), &q)
	times.add(cmd.Flags(), "entries")
	cmd.Flags().Var(&limit, "limit", cli.LimitHelp)
	return cmd
}

// timeFlags are the times that lists are filtered by, as they are given.
type timeFlags struct{ since, until, last string }

// add adds the flags of a list of what.
func (t *timeFlags) add(f *pflag.FlagSet, what string) {
	f.StringVar(&t.since, "since", "", "only "+what+" from this `time` on, like 2026-03-01T22:00:00Z")
	f.StringVar(&t.until, "until", "", "only "+what+" before this `time`")
	f.StringVar(&t.last, "last", "", "only "+what+" in this last `time`, like 24h")
}

// entryFlags adds the other flags that filter entries.
func entryFlags(f *pflag.FlagSet, q *client.EntryQuery) {
	f.StringVar(&q.RequestID, "request", "", "only entries of this call, by `ID` or its beginning")
	f.StringVar(&q.Kind, "kind", "", "only entries of this `kind`, e.g. decision.counted")
	f.StringVar(&q.Tool, "tool", "", "only entries of calls of this `tool`")
	f.StringVar(&q.Agent, "agent", "", "only entries of calls by this `agent`")
	f.StringVar(&q.Status, "status", "", "only entries of calls with this `status` now")
	f.StringVar(&q.Risk, "risk", "", "only entries of calls of this `risk`")
	f.StringVar(&q.By, "by", "", "only entries that name this `person` or agent")
}

// leftOut reports whether --by was not looked for in every entry; see store.EntryQuery.
func leftOut(q client.EntryQuery) bool {
	bounds := q
	bounds.By, bounds.Until, bounds.Newest, bounds.Limit = "", time.Time{}, false, 0
	return q.By != "" && bounds == (client.EntryQuery{})
}

// entryFilters completes what the flags say, and connects.
func (a *app) entryFilters(
	cmd *cobra.Command, q *client.EntryQuery, t timeFlags,
) (c *client.Client, err error) {
	if q.Since, q.Until, err = a.readTimes(t); err != nil {
		return nil, cli.UsageError(err)
	}
	if err := checkWords(q); err != nil {
		return nil, cli.UsageError(err)
	}
	if c, err = a.Client(cmd); err == nil && q.RequestID != "" {
		q.RequestID, err = cli.WholeID(cmd.Context(), c, q.RequestID)
	}
	return c, err
}

// checkWords checks the filters that take one of a few words.
func checkWords(q *client.EntryQuery) error {
	if _, err := audit.ParseKind(q.Kind); q.Kind != "" && err != nil {
		return fmt.Errorf("--kind: %w", err)
	}
	if _, err := approval.ParseStatus(q.Status); q.Status != "" && err != nil {
		return fmt.Errorf("--status: %w", err)
	}
	if _, err := approval.ParseRisk(q.Risk); q.Risk != "" && err != nil {
		return fmt.Errorf("--risk: %w", err)
	}
	return nil
}

// shortID is the beginning of an ID that Pawl made, for people to look the call up by.
func shortID(id string) string {
	if strings.HasPrefix(id, "pawl-") && len(id) > cli.ShortID {
		id = id[:cli.ShortID]
	}
	return cli.Cell(id, 24)
}

// readTimes reads the values of --since, --until and --last. What is not given is zero.
func (a *app) readTimes(t timeFlags) (from, to time.Time, err error) {
	if t.since != "" && t.last != "" {
		return from, to, errors.New("--since and --last exclude each other")
	}
	for _, flag := range []struct {
		name, text string
		at         *time.Time
	}{{"--since", t.since, &from}, {"--until", t.until, &to}} {
		if flag.text == "" {
			continue
		}
		if *flag.at, err = time.Parse(time.RFC3339, flag.text); err != nil {
			return from, to, fmt.Errorf("%s is not a time: write it like 2026-03-01T22:00:00Z", flag.name)
		}
	}
	if t.last != "" {
		d, err := approval.ParseDuration(t.last)
		if err != nil || d <= 0 {
			return from, to, errors.New("--last must say how far to look back, like 24h")
		}
		from = a.Now().Add(-d.Std())
	}
	return from, to, nil
}

var entryList = cli.Listing[rest.Entry]{
	Empty:  "no entry matches",
	Header: []string{"AT", "WHAT", "CALL", "DETAILS"},
	Row: func(e rest.Entry) []string {
		return []string{
			cli.Timestamp(e.At), cli.Cell(e.Kind, 30), shortID(e.CallID),
			summarize(e.Kind, e.Payload, e.Damage),
		}
	},
}

func (a *app) timeline(entries []rest.Event) string {
	if len(entries) == 0 {
		return ""
	}
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{
			cli.Timestamp(e.At), cli.Cell(e.Kind, 30), summarize(e.Kind, e.Payload, e.Damage),
		})
	}
	return "Timeline:\n" + a.Table([]string{"AT", "WHAT", "DETAILS"}, rows)
}

// warnDamage says on standard error that entries were changed in the store.
func (a *app) warnDamage(entries []rest.Entry) {
	damaged := 0
	for _, e := range entries {
		if e.Damage != "" {
			damaged++
		}
	}
	if damaged > 0 {
		a.Note("WARNING: the log was changed in the store; entries that do not fit their hashes: %d", damaged)
	}
}

// verdictOf returns the policy's verdict on a call, from its first entry.
func verdictOf(entries []rest.Event) (v approval.Verdict) {
	for _, e := range entries {
		switch p, _ := audit.ReadPayload(audit.Kind(e.Kind), e.Payload); p := p.(type) {
		case audit.Requested:
			return p.Verdict
		case audit.Blocked:
			if p.Verdict != nil {
				return *p.Verdict
			}
		}
	}
	return v
}

// summarize says in one line what an entry says, and whether it was changed. What this version does
// not know is shown as it is.
func summarize(kind string, payload json.RawMessage, damage string) string {
	text := "(removed)"
	if len(payload) > 0 && string(payload) != "null" {
		p, err := audit.ReadPayload(audit.Kind(kind), payload)
		if err == nil {
			text = describe(p)
		}
		if err != nil || text == "" {
			text = cli.OneLine(payload, 80)
		}
	}
	if damage != "" {
		text = "DAMAGED: " + damage + "; it says: " + text
	}
	return cli.Cell(text, 140)
}

func describe(p audit.Payload) string {
	switch p := p.(type) {
	case audit.Requested:
		return judged(p.Call, p.Verdict)
	case audit.Blocked:
		if p.Call != nil && p.Verdict != nil {
			return judged(*p.Call, *p.Verdict)
		}
		return p.Code
	case audit.Decided:
		d := p.Decision
		return decided(string(d.Kind), d.Reviewer, d.Authenticated, d.Notes)
	case audit.Claimed:
		if d := p.Decision; d != nil {
			return decided(string(d.Kind), d.By, d.Authenticated, d.Notes)
		}
	case audit.Refused:
		return refused(p)
	case audit.Sent:
		return "a rejection by " + p.Reviewer + " goes to the workflow; if the call has no permit by now, it gets none"
	case audit.Tightened:
		return "the active policy demands more: " + p.Why
	case audit.Started:
		return "from here on the tool may have run"
	case audit.Reported:
		said := "the caller reports: " + ended(p.Status, p.Error)
		if p.Late {
			said += " (too late: the call had ended)"
		}
		return said
	case audit.NotStarted:
		return fmt.Sprintf("%s of call %s: %s", p.Tool, p.CallID, p.Code)
	case audit.Ended:
		return ended(p.Outcome.Status, p.Outcome.Error)
	case audit.Settled:
		return settled(&p.Settled)
	case audit.Restored:
		return "by " + p.By
	case audit.Lost:
		return "the restored store does not have the call; in Temporal it is " + string(p.Status)
	case audit.Erased:
		return withNote(fmt.Sprintf("%d by %s", len(p.Calls), p.By), ": ", p.Reason)
	case audit.PolicyApplied:
		v := p.Policy
		return withNote(fmt.Sprintf("version %d, digest %.12s…, by %s", v.Version, v.Digest, v.By), ": ", v.Note)
	case audit.TokenCreated:
		words := p.Token.Roles
		for _, g := range p.Token.Groups {
			words = append(words, "group "+g)
		}
		return fmt.Sprintf("for %s (%s), by %s", p.Token.Subject, strings.Join(words, ", "), p.Token.CreatedBy)
	case audit.TokenRevoked:
		return "by " + p.RevokedBy
	case audit.KeyAdded:
		return withNote("by "+p.Key.CreatedBy, ", in ", p.Key.Note)
	case audit.KeyRetired:
		return "by " + p.RetiredBy
	case audit.KeyRevoked:
		return "by " + p.RevokedBy
	case audit.TokensPruned:
		return fmt.Sprintf("%d that ended before %s", len(p.Tokens), p.Before.Format(time.DateTime))
	case audit.SignInFailed:
		said := times(p.Code, p.Count)
		if p.Subject != "" {
			said += ", token " + p.TokenID + " of " + p.Subject
		}
		return withNote(said, ", from ", p.Remote)
	case audit.Forbidden:
		return withNote(fmt.Sprintf("%s by %s: %s", p.Route, p.By, times(p.Code, p.Count)), ", from ", p.Remote)
	case audit.LogRenamed:
		return fmt.Sprintf("to %s after %d entries, by %s", p.Origin, p.Size, p.RenamedBy)
	}
	return ""
}

func times(what string, count int) string {
	if count > 1 {
		what += fmt.Sprintf(", %d times", count)
	}
	return what
}

func judged(v approval.View, verdict approval.Verdict) string {
	text := v.Tool + ": " + ended(v.Status, v.Error)
	if verdict.Audited {
		text += ", audited"
	}
	for _, o := range verdict.Observed {
		text += fmt.Sprintf("; %s would say %s", o.Layer, o.Kind)
	}
	return text
}

func decided(kind, by string, authenticated bool, notes string) string {
	return withNote(byline(kind, by, "", authenticated, time.Time{}), ": ", notes)
}

func refused(p audit.Refused) string {
	if len(p.Refused) == 0 {
		return ""
	}
	r := p.Refused[0]
	by := cmp.Or(r.Reviewer, "somebody unnamed")
	text := fmt.Sprintf("%s by %s: %s", r.Signal, by, cmp.Or(r.Message, string(r.Outcome)))
	if more := len(p.Refused) - 1 + p.More; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

func ended(status approval.Status, e *approval.CallError) string {
	if e == nil {
		return string(status)
	}
	return string(status) + ": " + e.Message
}

func withNote(text, between, note string) string {
	if note == "" {
		return text
	}
	return text + between + note
}
