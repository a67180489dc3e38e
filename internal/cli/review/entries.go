package review

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

func (a *app) audit() *cobra.Command {
	cmd := cli.Group("audit", "Look into the audit log")
	cmd.Example = "  pawl audit list --request pawl-k3vq2m7"
	cmd.AddCommand(a.auditList())
	return cmd
}

func (a *app) auditList() *cobra.Command {
	var request, kind string
	limit := cli.Count(100)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List audit entries in the order they were written",
		Example: `  pawl audit list --request pawl-k3vq2m7
  pawl audit list --kind decision.counted --limit 0 -o json`,
		Args: cli.NoArgs,
		RunE: a.Ask(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			q := client.EntryQuery{Kind: kind, Limit: int(limit)}
			if request != "" {
				id, err := cli.WholeID(cmd.Context(), c, request)
				if err != nil {
					return err
				}
				q.RequestID = id
			}
			page, err := c.Entries(cmd.Context(), q)
			if err != nil {
				return err
			}
			a.warnDamage(page.Items)
			defer a.noteNewer(page)
			return entryList.PrintPage(a.App, page)
		}),
	}
	cmd.Flags().StringVar(&request, "request", "", "only entries of this call, by `ID` or its beginning")
	cmd.Flags().StringVar(&kind, "kind", "", "only entries of this `kind`, e.g. decision.counted")
	cmd.Flags().Var(&limit, "limit", cli.LimitHelp)
	return cmd
}

var entryList = cli.Listing[rest.Entry]{
	Empty:  "no entry matches",
	Header: []string{"AT", "CALL", "WHAT", "STEP", "LEAF", "DETAILS"},
	Row: func(e rest.Entry) []string {
		return []string{
			cli.Timestamp(e.At), approval.Display(e.CallID, 0), cli.Cell(e.Kind, 30), cli.Cell(e.Step, 30),
			cli.ShortHash(e.LeafHash), summarize(e.Kind, e.Payload, e.Damage),
		}
	},
}

// noteNewer tells people on standard error that the newest entries are not shown.
func (a *app) noteNewer(page client.Page[rest.Entry]) {
	if page.Next == "" || a.Output == cli.OutputJSON {
		return
	}
	left := fmt.Sprint(page.Total - len(page.Items))
	if page.Total > client.MoreThan {
		left = fmt.Sprintf("more than %d", max(0, client.MoreThan-len(page.Items)))
	}
	a.Note("oldest first; %s more: narrow with --request or --kind, or --limit 0 shows all", left)
}

func timeline(entries []rest.Event) string {
	if len(entries) == 0 {
		return ""
	}
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{
			cli.Timestamp(e.At), cli.Cell(e.Kind, 30), summarize(e.Kind, e.Payload, e.Damage),
		})
	}
	return "Timeline:\n" + cli.Table([]string{"AT", "WHAT", "DETAILS"}, rows)
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
	case audit.Tightened:
		return "the active policy demands more: " + p.Why
	case audit.Started:
		return "from here on the tool may have run"
	case audit.NotStarted:
		return fmt.Sprintf("%s of call %s: %s", p.Tool, p.CallID, p.Code)
	case audit.Ended:
		return ended(p.Outcome.Status, p.Outcome.Error)
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
	}
	return ""
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
