package policies

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/requirement"
)

// maxCallDoc is above every call's JSON; approval.ParseCall has the limit.
const maxCallDoc = 1 << 20

func (a *app) policyExplain() *cobra.Command {
	var files []string
	var doc, at string
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Show what a policy says about a call, and why",
		Long: `Show what a policy says about a call, and why: the rule of each layer that
matches, why others don't, and the verdict. Nothing runs, and nobody is asked.

--policy names the policy: files and folders, or one that a running Pawl has.
Without --policy it is the active one.

The call is JSON, as 'POST /api/calls' takes it. Only "tool" is needed.`,
		Example: `  pawl policy explain --call '{"tool":"send_email","team":"support"}'
  pawl policy explain --policy org.yaml --call '{"tool":"send_email"}'
  pawl policy explain --policy policies/ --call @call.json -o json
  pawl policy explain --policy p/ --call @call.json --at 2026-03-01T22:00:00Z`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if doc == "" {
				return cli.UsageError(errors.New(`which call? give it with --call '{"tool":"send_email"}', ` +
					"@file, or - for standard input"))
			}
			if len(files) == 0 {
				files = []string{activeName}
			}
			now := a.Now()
			if at != "" {
				var err error
				if now, err = time.Parse(time.RFC3339, at); err != nil {
					return cli.UsageError(errors.New("--at is not a time: write it like 2026-03-01T22:00:00Z"))
				}
			}
			text, err := a.ReadObject("--call", doc, maxCallDoc)
			if err != nil {
				return err
			}
			call, err := approval.ParseCall(text)
			if err == nil {
				err = call.Validate()
			}
			if err != nil {
				return cli.UsageError(fmt.Errorf("--call: %w", err))
			}
			set, err := a.readPolicy(cmd, files...)
			if err != nil {
				return err
			}
			e := set.Explain(call, now)
			return a.Show(e, a.explanation(call.Tool, e))
		},
	}
	cmd.Flags().StringArrayVar(&files, "policy", nil,
		"the policy's `FILE` or folder, repeatable; or @DIGEST for one that was applied (default: the active one)")
	cmd.Flags().StringVar(&doc, "call", "", "the call: a `JSON` object, @file, or - for standard input")
	cmd.Flags().StringVar(&at, "at", "",
		"`time` that conditions see as now, like 2026-03-01T22:00:00Z (default: now)")
	return cmd
}

func (a *app) explanation(tool string, e policy.Explanation) string {
	s := a.NewSheet()
	colour := cli.Yellow
	if e.Kind == approval.VerdictDeny {
		colour = cli.Red
	}
	kind := a.Paint(colour, string(e.Kind))
	fmt.Fprintf(s, "%s  %s\n", a.Paint(cli.Bold, cli.Cell(tool, 0)), kind)
	verdictFields(s, e)
	for _, line := range e.Call {
		s.Field("Call", line)
	}
	s.Field("Policy", e.Policy.Digest)
	for _, l := range e.Layers {
		a.layer(s, l)
	}
	return s.String()
}

func verdictFields(s *cli.Sheet, e policy.Explanation) {
	v := e.Verdict
	s.Field("Rule", strings.TrimSpace(v.Policy.Layer+" "+v.Policy.Rule))
	s.Field("Because", v.Policy.Why)
	s.Field("Risk", string(v.Risk))
	if v.Kind == approval.VerdictRequire {
		for _, line := range requirement.Describe(v.Requirement) {
			s.Field("Needs", line)
		}
		s.Field("Timeout", v.Timeout.Short()+", "+e.TimeoutFrom)
		if v.Collapse {
			s.Field("Identical", "calls collapse to this one while it waits")
		}
	}
	if v.Kind != approval.VerdictDeny && v.ValidFor > 0 {
		s.Field("Valid for", v.ValidFor.Short())
	}
	s.Field("Hidden", strings.Join(v.Redact, ", "))
	if !v.RedactValues.On() {
		s.Field("Shown", "well-known secrets, by redact_values: none")
	}
	cli.ObservedFields(s, v)
}

func (a *app) layer(s *cli.Sheet, l policy.LayerSays) {
	says := "says " + string(l.Says)
	switch {
	case !l.Applies:
		says = "does not apply"
	case l.Says == policy.Nothing:
		says = "has no say"
	case l.Observe:
		says = "would say " + string(l.Says) + ", but only observes"
	}
	name := a.Paint(cli.Bold, cli.Cell(l.Layer, 60))
	fmt.Fprintf(s, "\nLayer %s (%s) %s\n", name, approval.Display(l.File, 200), says)
	if l.Rule != nil {
		s.Field("  counts", l.Rule.Where+" "+l.Rule.Text)
	}
	for _, r := range l.Counted {
		s.Field("  counts", r.Where+" "+r.Text)
	}
	s.Field("  because", l.Why)
	elsewhere := l.More
	for _, r := range l.Others {
		if r.WhyNot == policy.OtherTools {
			elsewhere++
			continue
		}
		s.Field("  not", r.Where+" "+r.Text+": "+r.WhyNot)
	}
	if elsewhere > 0 {
		s.Field("  not", approval.Plural(elsewhere, "rule")+" for other tools")
	}
}
