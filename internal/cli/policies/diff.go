package policies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
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

Laxer is a verdict that asks for less in any respect, however much stricter it
is in others: allow instead of require_approval instead of deny, fewer
approvals, a longer timeout, fewer hidden fields, a lower risk, and so on.

Exit code 0: calls were compared, and none is judged laxer; 1: some are, or
nothing was compared; 2: the command line is wrong, or gives no calls.`,
		Example: `  pawl policy diff active policies/ --recorded
  pawl policy diff active policies/ --recorded --since 24h --calls policies/
  pawl policy diff @3f2a91bc1234 active --recorded
  pawl policy diff old.yaml new.yaml --calls a.yaml --calls b.ndjson -o json`,
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
	return cli.ErrorUnless(report.Clear(), d.Show(diffJSON(old, new, report), d.differences(report)))
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
			approval.Plural(r.Redacted, "call"))
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

type diffChange struct {
	Name   string             `json:"name"`
	Place  string             `json:"place,omitempty"`
	Tool   string             `json:"tool"`
	Laxer  bool               `json:"laxer"`
	Shifts []policydiff.Shift `json:"shifts"`
	Old    approval.Verdict   `json:"old"`
	New    approval.Verdict   `json:"new"`
}

type diffDoc struct {
	Old      string       `json:"old"` // digests
	New      string       `json:"new"`
	Calls    int          `json:"calls"`    // compared
	Redacted int          `json:"redacted"` // of those, the ones that were recorded without some values
	Laxer    int          `json:"laxer"`
	Stricter int          `json:"stricter"`
	Changes  []diffChange `json:"changes"`
}

func diffJSON(old, new *policy.Set, r policydiff.Report) diffDoc {
	doc := diffDoc{
		Old: old.Digest(), New: new.Digest(), Calls: r.Calls, Redacted: r.Redacted,
		Laxer: len(r.Laxer()), Stricter: len(r.Stricter()), Changes: []diffChange{},
	}
	for _, c := range r.Changes {
		made := diffChange{
			Name: c.Case.Name, Place: c.Case.Place, Tool: c.Case.Call.Tool, Laxer: c.Laxer(),
			Shifts: c.Shifts, Old: c.Old, New: c.New,
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

func (a *app) differences(r policydiff.Report) string {
	var b strings.Builder
	for _, g := range r.Groups() {
		word := a.Paint(cli.Yellow, "stricter")
		if g.Laxer() {
			word = a.Paint(cli.Red, "LAXER !!")
		}
		calls, tools := approval.Plural(g.Calls(), "call"), approval.Plural(len(g.Tools), "tool")
		fmt.Fprintf(&b, "%s %s of %s\n", word, calls, tools)
		for _, s := range g.Shifts {
			line, mark := approval.Display(s.String(), 500), "-"
			if s.Laxer {
				line, mark = a.Paint(cli.Red, line), "!"
			}
			fmt.Fprintf(&b, "       %s %s\n", mark, line)
		}
		for i, t := range g.Tools {
			if i == maxTools {
				fmt.Fprintf(&b, "         and %s more\n", approval.Plural(len(g.Tools)-i, "tool"))
				break
			}
			a.examples(&b, t)
		}
	}
	laxer, stricter := len(r.Laxer()), len(r.Stricter())
	switch {
	case laxer+stricter == 0:
		fmt.Fprintf(&b, "no difference over %s\n", approval.Plural(r.Calls, "call"))
	case laxer == 0:
		fmt.Fprintf(&b, "%s: %d stricter, none laxer\n", approval.Plural(r.Calls, "call"), stricter)
	default:
		marked := a.Paint(cli.Red, fmt.Sprintf("%d LAXER", laxer))
		fmt.Fprintf(&b, "%s: %s, %d stricter\n", approval.Plural(r.Calls, "call"), marked, stricter)
	}
	return b.String()
}

func (a *app) examples(b *strings.Builder, t policydiff.ToolChanges) {
	tool := a.Paint(cli.Bold, cli.Cell(t.Tool, 0))
	fmt.Fprintf(b, "         %s, %s\n", tool, approval.Plural(len(t.Changes), "call"))
	rules := ""
	for i, c := range t.Changes {
		if i == maxExamples {
			fmt.Fprintf(b, "           and %d more\n", len(t.Changes)-i)
			break
		}
		// The place and name alone: the arguments of a real call may be secrets.
		fmt.Fprintf(b, "           %s\n", approval.Display(strings.TrimSpace(c.Case.Place+" "+c.Case.Name), 300))
		now := fmt.Sprintf("             old: %s\n             new: %s\n", ruleLine(c.Old), ruleLine(c.New))
		if now != rules {
			b.WriteString(now)
			rules = now
		}
	}
}

func ruleLine(v approval.Verdict) string {
	text := strings.TrimSpace(v.Policy.Layer + " " + v.Policy.Rule)
	if v.Policy.Why != "" {
		text += ", " + v.Policy.Why
	}
	return approval.Display(text, 300)
}

// effectTime bounds how long recorded calls are compared. Compiling both policies comes on top:
// seconds, for the largest.
const effectTime = 5 * time.Second

// policyEffect is what a new policy does to the calls that were recorded lately.
type policyEffect struct {
	old, new *policy.Set
	report   policydiff.Report
	cut      bool  // there are more calls than were compared in time
	err      error // why that is unknown: the calls, or this Pawl can't read one of the policies
}

func (a *app) effectOf(
	ctx context.Context, from lister, was rest.ActivePolicy, will []rest.PolicyLayer,
) (e policyEffect) {
	if e.old, e.err = compileLayers(was.Layers, was.Digest); e.err != nil {
		return e
	}
	if e.new, e.err = policy.Inspect(active.Files(will)...); e.err != nil {
		return e
	}
	limited, cancel := context.WithTimeout(ctx, effectTime)
	defer cancel()
	recent := entriesSince(from, a.Now().Add(-recordedFor))
	e.report, e.err = policydiff.Diff(e.old, e.new, policydiff.Recorded(limited, recent))
	if e.err != nil && limited.Err() != nil && ctx.Err() == nil {
		e.cut, e.err = true, nil
	}
	return e
}

// clear reports whether calls were compared, and none of them is judged less strictly than before.
func (e policyEffect) clear() bool { return e.err == nil && e.report.Clear() }

func (e policyEffect) json() any {
	if e.err != nil {
		return struct {
			Error string `json:"error"`
		}{e.err.Error()}
	}
	return struct {
		diffDoc
		Cut bool `json:"cut,omitempty"`
	}{diffJSON(e.old, e.new, e.report), e.cut}
}

// printEffect says what the new policy does to recorded calls, or why that is unknown.
func (a *app) printEffect(e policyEffect) error {
	if e.err != nil {
		a.Note("warning: Pawl can't say which calls are judged less strictly: %v", e.err)
		return nil
	}
	if e.report.Calls == 0 {
		a.Note("warning: nothing was compared: no call was recorded in the last %d days; "+
			"'pawl policy diff --calls' compares over suites", recordedDays)
	} else {
		heading := fmt.Sprintf("\nOver the calls recorded in the last %d days:\n", recordedDays)
		if err := a.Print(heading + a.differences(e.report)); err != nil {
			return err
		}
	}
	a.noteRedacted(e.report)
	if e.cut {
		a.Note("warning: the comparison stopped after %v; 'pawl policy diff --recorded' compares over all "+
			"recorded calls", effectTime)
	}
	return nil
}
