package policies

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
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
less. OLD and NEW are policy files, or folders of them; 'active' is the active
policy, and '@DIGEST' any that was ever applied: a running Pawl is asked for it.

The calls are those of --calls and --recorded. Without either they are derived
from the rules of both policies: each rule's tools, with and without what its
conditions name. Such calls show most mistakes, and prove nothing: what
conditions make of real calls, only real calls tell.

Laxer is a verdict that asks for less in any respect, however much stricter it is
in others: allow instead of require_approval instead of deny, fewer approvals, a
longer timeout, fewer hidden fields, a lower risk, and so on.

A rule that is for some calls only, and was edited, needs a call whose verdict
differs by it. Where none does, it can't be told what becomes laxer: the command
names the edit, with its place. Give calls that differ with --calls.

Exit code 0: nothing becomes laxer; 1: something does, or that can't be told.`,
		Example: `  pawl policy diff org.yaml new/org.yaml
  pawl policy diff active policies/
  pawl policy diff @3f2a91bc1234 active --recorded
  pawl policy diff policies/ new/ --calls policies/refunds_test.yaml --calls traffic.ndjson
  pawl policy diff policies/ new/ --recorded --probe -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("name two policies: OLD and NEW")
			}
			return cli.AnyArgs("policy")(nil, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flag("probe").Changed {
				d.probe = len(d.calls) == 0 && !d.recorded
			}
			if !d.probe && len(d.calls) == 0 && !d.recorded {
				return cli.UsageError(errors.New("no calls to compare: give --calls, --recorded or --probe"))
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
	old, err := d.readPolicy(cmd, oldPath)
	if err != nil {
		return err
	}
	new, err := d.readPolicy(cmd, newPath)
	if err != nil {
		return err
	}
	calls, err := d.given(cmd)
	if err != nil {
		return err
	}
	corpus := slices.Values(calls)
	if d.probe {
		corpus = chain(corpus, policydiff.Probes(old, new))
	}
	report := policydiff.Diff(old, new, corpus)
	if report.Calls == 0 {
		return errors.New("there is no call to compare the policies over")
	}
	if d.Output == cli.OutputJSON {
		err = d.PrintValue(diffJSON(old, new, report))
	} else {
		err = d.Print(d.differences(report))
	}
	if err == nil && !report.Clear() {
		err = cli.ExitWith(cli.ExitError)
	}
	return err
}

// chain goes through one sequence after the other.
func chain[T any](all ...iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, each := range all {
			for v := range each {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// given returns the calls of --calls and --recorded.
func (d *diffCommand) given(cmd *cobra.Command) ([]policytest.Case, error) {
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
		c, err := d.Client(cmd)
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
		d.Note("warning: in %s values were redacted when recorded; conditions on them are not judged as they were", cli.Plural(hidden, "call"))
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
