package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policydiff"
	"github.com/pawlhq/pawl/policy/policytest"
)

// diffCommand is pawl policy diff.
type diffCommand struct {
	*app
	calls    []string
	recorded bool
	probe    bool
}

func (a *app) policyDiff() *cobra.Command {
	d := &diffCommand{app: a}
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say which calls a new policy judges more strictly, and which less",
		Long: `Say which calls a new policy judges more strictly than an old one, and which
less. OLD and NEW are policy files, or folders of them.

The calls are those of --calls and --recorded. Without either they are derived
from the rules of both policies: each rule's tools, with and without what its
conditions name. Such calls show most mistakes, and prove nothing: what
conditions make of real calls, only real calls tell.

Laxer is a verdict that asks for less in any respect, however much stricter it is
in others: allow instead of require_approval instead of deny, fewer approvals, a
longer timeout, fewer hidden fields, a lower risk, and so on.

Exit code 0: nothing becomes laxer; 1: something does, or the policies can't be
compared.`,
		Example: `  pawl policy diff org.yaml new/org.yaml
  pawl policy diff policies/ new/ --calls policies/refunds_test.yaml --calls traffic.ndjson
  pawl policy diff policies/ new/ --recorded --probe -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("name two policies: OLD and NEW")
			}
			return anyArgs("policy")(nil, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flag("probe").Changed {
				d.probe = len(d.calls) == 0 && !d.recorded
			}
			if !d.probe && len(d.calls) == 0 && !d.recorded {
				return usage(errors.New("no calls to compare: give --calls, --recorded or --probe"))
			}
			return d.run(cmd, args[0], args[1])
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&d.calls, "calls", nil, "compare over the calls of this `FILE`: a suite, NDJSON of calls, of requests or of audit entries, or - for NDJSON on standard input; repeatable")
	flags.BoolVar(&d.recorded, "recorded", false, "compare over the calls in the audit log of a running Pawl")
	flags.BoolVar(&d.probe, "probe", false, "compare over calls derived from the rules (default: if no others are given)")
	return cmd
}

func (d *diffCommand) run(cmd *cobra.Command, oldPath, newPath string) error {
	old, err := d.load(oldPath)
	if err != nil {
		return err
	}
	new, err := d.load(newPath)
	if err != nil {
		return err
	}
	corpus, err := d.corpus(cmd, old, new)
	if err != nil {
		return err
	}
	if len(corpus) == 0 {
		return errors.New("there is no call to compare the policies over")
	}
	report := policydiff.Diff(old, new, corpus)
	if d.output == outputJSON {
		err = d.printValue(diffJSON(old, new, report))
	} else {
		err = d.print(d.text(report))
	}
	if err == nil && len(report.Laxer()) > 0 {
		err = done(exitError)
	}
	return err
}

func (d *diffCommand) load(path string) (*policy.Set, error) {
	set, err := inspectPolicy([]string{path})
	if err != nil {
		return nil, d.problems(err)
	}
	d.warnPolicy(set)
	return set, nil
}

func (d *diffCommand) corpus(cmd *cobra.Command, old, new *policy.Set) ([]policytest.Case, error) {
	var corpus []policytest.Case
	for _, path := range d.calls {
		var cases []policytest.Case
		var err error
		if path == "-" {
			cases, err = policytest.ReadCases("standard input", d.Stdin)
		} else {
			cases, err = policytest.LoadCases(path)
		}
		if err != nil {
			return nil, d.problems(err)
		}
		corpus = append(corpus, cases...)
	}
	if d.recorded {
		c, err := d.client(cmd)
		if err != nil {
			return nil, err
		}
		cases, err := recordedCalls(cmd.Context(), c)
		if err != nil {
			return nil, err
		}
		corpus = append(corpus, cases...)
	}
	hidden := 0
	for _, c := range corpus {
		if c.Redacted() {
			hidden++
		}
	}
	if hidden > 0 {
		d.note("warning: in %s values were redacted when recorded; conditions on them are not judged as they were", plural(hidden, "call"))
	}
	if d.probe {
		corpus = append(corpus, policydiff.Probes(old, new)...)
	}
	return corpus, nil
}

// recordedCalls are those in the audit log: the ones that were allowed or asked
// for, and the ones that were blocked.
func recordedCalls(ctx context.Context, c *client.Client) ([]policytest.Case, error) {
	var cases []policytest.Case
	for _, kind := range []string{"call.requested", "call.blocked"} {
		page, err := c.Entries(ctx, client.EntryQuery{Kind: kind})
		if err != nil {
			return nil, err
		}
		for _, e := range page.Items {
			if found, ok := policytest.FromEntry(e.Payload); ok {
				cases = append(cases, found)
			}
		}
	}
	return cases, nil
}

type diffChange struct {
	Name   string             `json:"name"`
	Place  string             `json:"place,omitempty"`
	Tool   string             `json:"tool"`
	Laxer  bool               `json:"laxer"`
	Shifts []policydiff.Shift `json:"shifts"`
	Old    approval.Verdict   `json:"old"`
	New    approval.Verdict   `json:"new"`
}

func diffJSON(old, new *policy.Set, r policydiff.Report) any {
	doc := struct {
		Old      string       `json:"old"` // digests
		New      string       `json:"new"`
		Calls    int          `json:"calls"`
		Laxer    int          `json:"laxer"`
		Stricter int          `json:"stricter"`
		Changes  []diffChange `json:"changes"`
	}{old.Digest(), new.Digest(), r.Calls, len(r.Laxer()), len(r.Stricter()), []diffChange{}}
	for _, c := range r.Changes {
		made := diffChange{
			Name: c.Case.Name, Place: c.Case.Place, Tool: c.Case.Call.Tool, Laxer: c.Laxer(),
			Shifts: c.Shifts, Old: c.Old.Verdict, New: c.New.Verdict,
		}
		doc.Changes = append(doc.Changes, made)
	}
	return doc
}

// Bounds of what is shown of changes that are alike. -o json has all of them.
const (
	maxTools    = 20
	maxExamples = 3 // calls of one tool
)

func (d *diffCommand) text(r policydiff.Report) string {
	var b strings.Builder
	for _, g := range r.Groups() {
		word := d.paint(yellow, "stricter")
		if g.Laxer() {
			word = d.paint(red, "LAXER !!")
		}
		fmt.Fprintf(&b, "%s %s of %s\n", word, plural(g.Calls(), "call"), plural(len(g.Tools), "tool"))
		for _, s := range g.Shifts {
			line, mark := approval.Display(s.String(), 500), "-"
			if s.Laxer {
				line, mark = d.paint(red, line), "!"
			}
			fmt.Fprintf(&b, "       %s %s\n", mark, line)
		}
		for i, t := range g.Tools {
			if i == maxTools {
				fmt.Fprintf(&b, "         and %s more\n", plural(len(g.Tools)-i, "tool"))
				break
			}
			d.examples(&b, t)
		}
	}
	laxer, stricter := len(r.Laxer()), len(r.Stricter())
	switch {
	case laxer+stricter == 0:
		fmt.Fprintf(&b, "no difference over %s\n", plural(r.Calls, "call"))
	case laxer == 0:
		fmt.Fprintf(&b, "%s: %d stricter, none laxer\n", plural(r.Calls, "call"), stricter)
	default:
		fmt.Fprintf(&b, "%s: %s, %d stricter\n", plural(r.Calls, "call"), d.paint(red, fmt.Sprintf("%d LAXER", laxer)), stricter)
	}
	return b.String()
}

func (d *diffCommand) examples(b *strings.Builder, t policydiff.ToolChanges) {
	fmt.Fprintf(b, "         %s, %s\n", d.paint(bold, cell(t.Tool, 0)), plural(len(t.Changes), "call"))
	rules := ""
	for i, c := range t.Changes {
		if i == maxExamples {
			fmt.Fprintf(b, "           and %d more\n", len(t.Changes)-i)
			break
		}
		// The place and name alone: the arguments of a real call may be secrets.
		fmt.Fprintf(b, "           %s\n", approval.Display(strings.TrimSpace(c.Case.Place+" "+c.Case.Name), 300))
		if now := fmt.Sprintf("             old: %s\n             new: %s\n", ruleLine(c.Old), ruleLine(c.New)); now != rules {
			b.WriteString(now)
			rules = now
		}
	}
}

func ruleLine(e policy.Explanation) string {
	text := strings.TrimSpace(e.Policy.Layer + " " + e.Policy.Rule)
	if e.Policy.Why != "" {
		text += ", " + e.Policy.Why
	}
	return approval.Display(text, 300)
}
