package policies

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/policy/policydiff"
	"github.com/pawlhq/pawl/policy/policytest"
	"github.com/pawlhq/pawl/rest"
)

// recordedFor is how far recorded calls are read back, unless --since says otherwise.
const (
	recordedDays = 30
	recordedFor  = recordedDays * 24 * time.Hour
)

type diffCommand struct {
	*app
	calls    []string
	recorded bool
	since    time.Duration
}

func (a *app) policyDiff() *cobra.Command {
	d := &diffCommand{app: a}
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say which calls a new policy judges more strictly, and which less",
		Long: `Say which calls a new policy judges more strictly than an old one, and which
less. OLD and NEW are policy files, or folders of them; 'active' is the active
policy, and '@DIGEST' any that was ever applied: a running Pawl is asked for it.

You give the calls: --recorded uses those in the audit log of a running Pawl,
--calls those of suites and files. The command says nothing about other calls.
Recorded calls hold no redacted values, so conditions on those are not judged as
they were; the command says for how many calls.

Laxer is a verdict that asks for less in any respect, however much stricter it is
in others: allow instead of require_approval instead of deny, fewer approvals, a
longer timeout, fewer hidden fields, a lower risk, and so on.

Exit code 0: calls were compared, and none is judged laxer; 1: some are, or nothing
was compared; 2: the command line is wrong, or gives no calls.`,
		Example: `  pawl policy diff active policies/ --recorded
  pawl policy diff active policies/ --recorded --since 24h --calls policies/
  pawl policy diff @3f2a91bc1234 active --recorded
  pawl policy diff org.yaml new/org.yaml --calls refunds_test.yaml --calls traffic.ndjson -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("name two policies: OLD and NEW")
			}
			return cli.AnyArgs("policy")(nil, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(d.calls) == 0 && !d.recorded:
				return cli.UsageError(errors.New("no calls to compare over: give --recorded or --calls FILE, or both"))
			case cmd.Flag("since").Changed && !d.recorded:
				return cli.UsageError(errors.New("--since is for --recorded"))
			case d.since <= 0:
				return cli.UsageError(errors.New("--since is how long ago the calls may be, like 24h"))
			}
			return d.run(cmd, args[0], args[1])
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&d.calls, "calls", nil,
		"compare over the calls of this `FILE`: a suite or a folder of them, NDJSON of calls, of requests or of "+
			"audit entries, or - for NDJSON on standard input; repeatable")
	flags.BoolVar(&d.recorded, "recorded", false, "compare over the calls in the audit log of a running Pawl")
	flags.DurationVar(&d.since, "since", recordedFor, "with --recorded: how far to look back")
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
	calls, err := d.corpus(cmd)
	if err != nil {
		return err
	}
	report, err := policydiff.Diff(old, new, calls...)
	switch {
	case err != nil:
		return err
	case report.Calls == 0:
		return errors.New("nothing was compared: the given files and the audit log hold no call")
	}
	d.noteRedacted(report)
	err = d.Show(diffJSON(old, new, report), d.differences(report))
	if err == nil && !report.Clear() {
		err = cli.ExitWith(cli.ExitError)
	}
	return err
}

// corpus goes through the calls of --calls, then those of --recorded.
func (d *diffCommand) corpus(cmd *cobra.Command) ([]iter.Seq2[policytest.Case, error], error) {
	var given []policytest.Case
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
		given = append(given, cases...)
	}
	calls := []iter.Seq2[policytest.Case, error]{policydiff.Given(given)}
	if !d.recorded {
		return calls, nil
	}
	c, err := d.Client(cmd)
	if err != nil {
		return nil, err
	}
	recorded := policydiff.Recorded(cmd.Context(), entriesSince(c, d.Now().Add(-d.since)))
	return append(calls, recorded), nil
}

// noteRedacted warns of compared calls that are not whole.
func (a *app) noteRedacted(r policydiff.Report) {
	if r.Redacted > 0 {
		a.Note("warning: in %s values were redacted when recorded; conditions on them are not judged as they were",
			cli.Plural(r.Redacted, "call"))
	}
}

// lister lists audit entries: the API, or the store itself.
type lister interface {
	Entries(context.Context, client.EntryQuery) (client.Page[rest.Entry], error)
}

// entriesSince lists the entries that were written since then.
func entriesSince(from lister, since time.Time) policydiff.Lister {
	return func(ctx context.Context, kind, cursor string) (payloads []json.RawMessage, next string, err error) {
		page, err := from.Entries(ctx, client.EntryQuery{Kind: kind, Since: since, Cursor: cursor, Limit: 100})
		for _, e := range page.Items {
			payloads = append(payloads, e.Payload)
		}
		return payloads, page.Next, err
	}
}
