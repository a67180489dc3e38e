package review

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

// audit holds the commands about the audit log.
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.Client(cmd)
			if err != nil {
				return err
			}
			q := client.EntryQuery{Kind: kind, Limit: int(limit)}
			if request != "" {
				if q.RequestID, err = cli.WholeID(cmd.Context(), c, request); err != nil {
					return err
				}
			}
			page, err := c.Entries(cmd.Context(), q)
			if err != nil {
				return err
			}
			if a.Output == cli.OutputJSON {
				return cli.PrintPage(a.App, page)
			}
			if len(page.Items) == 0 {
				a.Note("no entry matches")
				return nil
			}
			var rows [][]string
			for _, e := range page.Items {
				rows = append(rows, []string{
					cli.Timestamp(e.At), approval.Display(e.CallID, 0), cli.Cell(e.Kind, 30), cli.Cell(e.Step, 30),
					cli.ShortHash(e.LeafHash), gist(e.Payload),
				})
			}
			defer a.later(page)
			return a.Print(cli.Table([]string{"AT", "CALL", "WHAT", "STEP", "LEAF", "DETAILS"}, rows))
		},
	}
	cmd.Flags().StringVar(&request, "request", "", "only entries of this call, by `ID` or its beginning")
	cmd.Flags().StringVar(&kind, "kind", "", "only entries of this `kind`, e.g. decision.counted")
	cmd.Flags().Var(&limit, "limit", cli.LimitHelp)
	return cmd
}

// later says on standard error that the newest entries are not shown.
func (a *app) later(page client.Page[rest.Entry]) {
	if page.Next == "" {
		return
	}
	left := fmt.Sprint(page.Total - len(page.Items))
	if page.Total > client.MoreThan {
		left = fmt.Sprintf("more than %d", max(0, client.MoreThan-len(page.Items)))
	}
	a.Note("oldest first; %s more: narrow with --request or --kind, or --limit 0 shows all", left)
}

// timeline is what the audit log says about a call.
func timeline(entries []rest.Event) string {
	if len(entries) == 0 {
		return ""
	}
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{cli.Timestamp(e.At), cli.Cell(e.Kind, 30), gist(e.Payload)})
	}
	return "Timeline:\n" + cli.Table([]string{"AT", "WHAT", "DETAILS"}, rows)
}

// verdictOf returns what the policy said of a call, as its first entry has it.
func verdictOf(entries []rest.Event) (v approval.Verdict) {
	for _, e := range entries {
		var p struct {
			Verdict *approval.Verdict `json:"verdict"`
		}
		if json.Unmarshal(e.Payload, &p) == nil && p.Verdict != nil {
			return *p.Verdict
		}
	}
	return v
}

// groupsOf names the groups of a token as such.
func groupsOf(t rest.Token) (names []string) {
	for _, g := range t.Groups {
		names = append(names, "group "+g)
	}
	return names
}

// gist says in one line what an entry's payload holds; what it does not know it shows as it is.
func gist(payload json.RawMessage) string {
	var p struct {
		Call     *approval.View    `json:"call"`
		Verdict  approval.Verdict  `json:"verdict"` // on Call
		Outcome  *approval.Outcome `json:"outcome"`
		Decision *struct {
			approval.Settlement
			Reviewer string `json:"reviewer"`
		} `json:"decision"`
		Refused []struct {
			Signal   string                 `json:"signal"`
			Reviewer string                 `json:"reviewer"`
			Outcome  approval.AnswerOutcome `json:"outcome"`
			Message  string                 `json:"message"`
		} `json:"refused"`
		SchemaDigest string              `json:"schema_digest"` // of a tool that was started
		Policy       *rest.PolicyVersion `json:"policy"`        // that was applied
		Token        *rest.Token         `json:"token"`         // that was made
		Key          *rest.SigningKey    `json:"key"`           // that was added
		RevokedBy    string              `json:"revoked_by"`    // the token or key that the entry is about
		RetiredBy    string              `json:"retired_by"`    // the key
	}
	if len(payload) == 0 || string(payload) == "null" {
		return "(removed)"
	}
	if json.Unmarshal(payload, &p) != nil {
		return cli.OneLine(payload, 80)
	}
	ended := func(status approval.Status, e *approval.CallError) string {
		if e == nil {
			return string(status)
		}
		return string(status) + ": " + e.Message
	}
	text := ""
	switch {
	case p.Outcome != nil:
		text = ended(p.Outcome.Status, p.Outcome.Error)
	case p.Call != nil:
		text = p.Call.Tool + ": " + ended(p.Call.Status, p.Call.Error)
		if p.Verdict.Audited {
			text += ", audited"
		}
		for _, o := range p.Verdict.Observed {
			text += fmt.Sprintf("; %s would say %s", o.Layer, o.Kind)
		}
	case p.Decision != nil:
		text = who(string(p.Decision.Kind), cmp.Or(p.Decision.Reviewer, p.Decision.By), "", p.Decision.Authenticated, time.Time{})
		if p.Decision.Notes != "" {
			text += ": " + p.Decision.Notes
		}
	case len(p.Refused) > 0:
		r := p.Refused[0]
		text = fmt.Sprintf("%s by %s: %s", r.Signal, cmp.Or(r.Reviewer, "somebody unnamed"), cmp.Or(r.Message, string(r.Outcome)))
		if more := len(p.Refused) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
	case p.Policy != nil:
		text = fmt.Sprintf("version %d, digest %.12s…, by %s", p.Policy.Version, p.Policy.Digest, p.Policy.By)
		if p.Policy.Note != "" {
			text += ": " + p.Policy.Note
		}
	case p.Token != nil:
		text = fmt.Sprintf("for %s (%s), by %s", p.Token.Subject, strings.Join(slices.Concat(p.Token.Roles, groupsOf(*p.Token)), ", "), p.Token.CreatedBy)
	case p.Key != nil:
		text = "by " + p.Key.CreatedBy
		if p.Key.Note != "" {
			text += ", in " + p.Key.Note
		}
	case p.RevokedBy != "":
		text = "by " + p.RevokedBy
	case p.RetiredBy != "":
		text = "by " + p.RetiredBy
	case p.SchemaDigest != "":
		text = "from here on the tool may have run"
	default:
		return cli.OneLine(payload, 80)
	}
	return cli.Cell(text, 100)
}
