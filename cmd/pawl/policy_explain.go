package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// maxCallDoc is above every call's JSON; approval.ParseCall has the limit.
const maxCallDoc = 1 << 20

func (a *app) policyExplain() *cobra.Command {
	var files []string
	var doc, at string
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say what a policy says to a call, and why",
		Long: `Say what a policy says to a call, and why: the rule of each layer that matches,
why others don't, and what comes of them all. Nothing runs, and nobody is asked.

The policy is that of --policy: files and folders, or one that a running Pawl is
asked for. Without --policy it is the active one.

The call is JSON, as 'POST /api/calls' takes it. Only "tool" is needed.`,
		Example: `  pawl policy explain --call '{"tool":"send_email","team":"support"}'
  pawl policy explain --policy org.yaml --policy team.yaml --call '{"tool":"send_email"}'
  pawl policy explain --policy policies/ --call @call.json -o json
  pawl policy explain --policy policies/ --call @call.json --at 2026-03-01T22:00:00Z`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if doc == "" {
				return usage(errors.New(`which call? give it with --call '{"tool":"send_email"}', @file, or - for standard input`))
			}
			if len(files) == 0 {
				files = []string{activeName}
			}
			now, err := a.readTime(at)
			if err != nil {
				return usage(err)
			}
			text, err := a.readObject("--call", doc, maxCallDoc)
			if err != nil {
				return err
			}
			call, err := approval.ParseCall(text)
			if err != nil {
				return usage(fmt.Errorf("--call: %w", err))
			}
			set, err := a.readPolicy(cmd, files...)
			if err != nil {
				return err
			}
			e := set.Explain(call, now)
			if a.output == outputJSON {
				return a.printValue(e)
			}
			return a.print(a.explanation(call.Tool, e))
		},
	}
	cmd.Flags().StringArrayVar(&files, "policy", nil, "the policy's `FILE` or folder, repeatable; or @DIGEST for one that was applied (default: the active one)")
	cmd.Flags().StringVar(&doc, "call", "", "the call: a `JSON` object, @file, or - for standard input")
	cmd.Flags().StringVar(&at, "at", "", "`time` that conditions see as now, like 2026-03-01T22:00:00Z (default: now)")
	return cmd
}

// readTime reads the value of --at; none means now.
func (a *app) readTime(text string) (time.Time, error) {
	if text == "" {
		return a.Now(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, errors.New(`--at is not a time: write it like 2026-03-01T22:00:00Z`)
	}
	return at, nil
}

// explanation writes for people what a policy says to a call.
func (a *app) explanation(tool string, e policy.Explanation) string {
	s := sheet{wrapped: a.IsTerminal(a.Stdout)}
	fmt.Fprintf(&s, "%s  %s\n", a.paint(bold, cell(tool, 0)), a.paint(verdictColour(e.Kind), string(e.Kind)))
	verdictFields(&s, e)
	for _, line := range e.Call {
		s.field("Call", line)
	}
	s.field("Policy", e.Policy.Digest)
	for _, l := range e.Layers {
		a.layer(&s, l)
	}
	return s.String()
}

func verdictColour(k approval.VerdictKind) string {
	if k == approval.VerdictDeny {
		return red
	}
	return yellow
}

func verdictFields(s *sheet, e policy.Explanation) {
	v := e.Verdict
	s.field("Rule", strings.TrimSpace(v.Policy.Layer+" "+v.Policy.Rule))
	s.field("Because", v.Policy.Why)
	s.field("Risk", string(v.Risk))
	if v.Kind == approval.VerdictRequire {
		for _, line := range demands(v.Requirement) {
			s.field("Needs", line)
		}
		s.field("Timeout", v.Timeout.Short()+", "+e.TimeoutFrom)
		if v.Collapse {
			s.field("Identical", "calls collapse to this one while it waits")
		}
	}
	if v.Kind != approval.VerdictDeny && v.ValidFor > 0 {
		s.field("Valid for", v.ValidFor.Short())
	}
	s.field("Hidden", strings.Join(v.Redact, ", "))
	beside(s, v)
}

// beside writes what a verdict has beside its decision.
func beside(s *sheet, v approval.Verdict) {
	if v.Audited {
		s.field("Recorded", "as audited")
	}
	for _, o := range v.Observed {
		text := fmt.Sprintf("%s would say %s: %s", o.Layer, o.Kind, o.Rule)
		if o.Risk != "" && o.Risk != v.Risk {
			text += ", at risk " + string(o.Risk)
		}
		if needs := strings.Join(demands(o.Requirement), ", and "); needs != "" && needs != strings.Join(demands(v.Requirement), ", and ") {
			text += ", needs " + needs
		}
		if o.Why != "" {
			text += ", " + o.Why
		}
		s.field("Observed", text)
	}
}

func (a *app) layer(s *sheet, l policy.LayerSays) {
	says := "says " + string(l.Says)
	switch {
	case !l.Applies:
		says = "does not apply"
	case l.Says == policy.Nothing:
		says = "has no say"
	case l.Observe:
		says = "would say " + string(l.Says) + ", but only observes"
	}
	fmt.Fprintf(s, "\nLayer %s (%s) %s\n", a.paint(bold, cell(l.Layer, 60)), approval.Display(l.File, 200), says)
	if l.Rule != nil {
		s.field("  counts", l.Rule.Where+" "+l.Rule.Text)
	}
	for _, r := range l.Counted {
		s.field("  counts", r.Where+" "+r.Text)
	}
	s.field("  because", l.Why)
	elsewhere := l.More
	for _, r := range l.Others {
		if r.WhyNot == policy.OtherTools {
			elsewhere++
			continue
		}
		s.field("  not", r.Where+" "+r.Text+": "+r.WhyNot)
	}
	if elsewhere > 0 {
		s.field("  not", plural(elsewhere, "rule")+" for other tools")
	}
}

// demands writes a requirement as what people must do, one line each.
func demands(r *approval.Requirement) []string {
	if r == nil {
		return nil
	}
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for i, s := range r.Stages {
		name := fmt.Sprintf("stage %d", i+1)
		if s.Name != "" {
			name += " (" + s.Name + ")"
		}
		add("%s: %s", name, approvals(s.Approvals))
	}
	if len(r.Approvals) > 0 {
		add("%s", approvals(r.Approvals))
	}
	if r.Decisions == approval.DecisionsSigned {
		add("signed decisions: from Pawl's API, by somebody who is authenticated")
	}
	if r.DenyCount > 1 {
		add("%d rejections before the call is denied", r.DenyCount)
	}
	if r.SelfApproval {
		add("the requester may approve, too")
	}
	if r.RequireReason {
		add("a reason with each decision")
	}
	if r.AllowEdit {
		add("reviewers may change the arguments")
	}
	if len(r.Input) > 0 {
		add("input from the reviewer")
	}
	if r.Execution != "" && r.Execution != approval.ExecutionWorker {
		add("the %s runs the tool", r.Execution)
	}
	if r.RemindEvery > 0 {
		add("a reminder every %s", r.RemindEvery.Short())
	}
	for _, e := range r.Escalate {
		add("%s is asked after %s", e.To, e.After.Short())
	}
	if r.Grant != nil {
		add("reviewers may approve calls like this one ahead, for at most %s", r.Grant.Max.Short())
	}
	if len(r.Checks) > 0 {
		add("these tools must succeed before: %s", strings.Join(r.Checks, ", "))
	}
	if len(r.Previews) > 0 {
		add("people see what these tools return: %s", strings.Join(r.Previews, ", "))
	}
	return lines
}

func approvals(list []approval.Approvals) string {
	var groups []string
	for _, g := range list {
		text := people(g.Count)
		if g.Group != "" {
			text += " of " + g.Group
		}
		groups = append(groups, text)
	}
	return strings.Join(groups, ", and ")
}
