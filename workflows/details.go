package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/present"
)

const (
	// maxDetailArgs, in bytes, keeps details below Temporal's limit of 20,000.
	maxDetailArgs = 12000
	// maxPresented, in bytes of arguments, keeps a workflow task short.
	maxPresented = 32 << 10
)

// details is the call in Markdown for Temporal's UI, with the latest decisions that did not count:
// whoever sent one from there sees the reason only here. What agents and reviewers wrote is
// untrusted: it goes into code spans and blocks that it can't leave.
func details(s approval.State, publicURL string) string {
	v := s.View
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** is **%s**\n\n", code(v.Tool), v.Status)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "- %s: %s\n", name, value)
		}
	}
	if page := approval.RequestURL(publicURL, v.ID); page != "" {
		row("page", "<"+page+">")
	}
	row("risk", string(v.Risk))
	row("agent", code(v.Agent))
	row("team", code(v.Team))
	row("session", code(v.Session))
	if v.Deadline != nil {
		row("deadline", v.Deadline.Format(time.RFC3339))
	}
	if r := v.Requirement; r != nil {
		row("needs", code(ballot.Needs(*r)))
	}
	if v.Policy != nil {
		row("rule", code(v.Policy.Rule))
		row("why", code(v.Policy.Why))
	}
	row("digest", code(v.Digest))
	if d := v.Decision; d != nil {
		row("decided", fmt.Sprintf("%s %s %s", d.Kind, code(d.By), code(d.Notes)))
	}
	row("reason given by the agent", code(v.Reason))

	b.WriteString(arguments(v))
	switch {
	case v.Status != approval.StatusPending:
	case s.TooManySignals:
		b.WriteString("\nNothing can be decided any more: the call has got too many signals, " +
			"so it ignores them. It ends at its deadline, and nothing runs.\n")
	case v.Requirement != nil && v.Requirement.Decisions == approval.DecisionsSigned:
		b.WriteString("\nDecide through Pawl's API or command line: decisions must be signed, " +
			"and signals from here do not count.\n")
	default:
		b.WriteString("\nSend the signal `approve` or `reject` to decide.\n")
	}
	if v.Status == approval.StatusApproved && v.Execution == approval.ExecutionCaller {
		b.WriteString("\nApproved, waiting for the agent: it runs the tool itself.\n")
	}
	if v.SchemaUnknown {
		b.WriteString("\nNobody published this tool, so nothing checked its arguments against a schema.\n")
	}
	shown := 0
	for i := len(s.Answers) - 1; i >= 0 && shown < 3; i-- {
		if a := s.Answers[i]; !a.Outcome.Counted() {
			fmt.Fprintf(&b, "\nDid not count: %s, %s: %s\n", code(a.DecisionID), a.Outcome, code(a.Message))
			shown++
		}
	}
	return b.String()
}

// arguments show what a call would do, in lines that can't leave a Markdown block.
func arguments(v approval.View) string {
	if len(v.Args) > maxPresented {
		return fmt.Sprintf("\nArguments: %d bytes, too many to show here. See `pawl show`.\n", len(v.Args))
	}
	call := present.Of(approval.View{Tool: v.Tool, Args: v.Args}, present.Tool{})
	if len(call.Blocks) == 0 {
		return ""
	}
	var s present.Sheet
	for _, b := range call.Blocks {
		s.Block(b)
	}
	text := strings.ReplaceAll(s.String(), "~~~", "⟦U+007E⟧~~")
	if len(text) > maxDetailArgs {
		cut := fmt.Sprintf("\n… (cut; the whole is %d bytes)\n", len(text))
		text = strings.ToValidUTF8(text[:maxDetailArgs], "") + cut
	}
	warning := ""
	if call.Found.Any() {
		warning = present.Deceit(call.Found) + "\n"
	}
	return fmt.Sprintf("\n%s\n\n~~~text\n%s%s~~~\n", code(present.Plain(call.Summary)), text, warning)
}

// code is untrusted text as one Markdown code span.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(approval.Display(present.Plain(present.Word(s)), 200), "`", "⟦U+0060⟧") + "`"
}
