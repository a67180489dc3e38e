// Package policies holds the commands that check, try, compare and apply policies.
package policies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/policy/policytest"
	"github.com/pawlhq/pawl/rest"
)

type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{a.policy()}
}

func (a *app) policy() *cobra.Command {
	cmd := cli.Group("policy", "Write, apply and look at policies")
	cmd.Example = `  pawl policy check org.yaml team.yaml
  pawl policy test policies/
  pawl policy apply org.yaml team.yaml --as ana`
	cmd.AddCommand(
		a.policyCheck(), a.policyExplain(), a.policyTest(), a.policyDiff(), a.policySchema(),
		a.policyApply(), a.policyShow(), a.policyHistory(),
	)
	return cmd
}

func (a *app) policyShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show [VERSION|DIGEST]",
		Short: "Show the active policy, or an earlier one",
		Long: `Show the text of the active policy, or of any that was ever applied: by its
version, or the digest that verdicts name, or its beginning; 'pawl policy
history' lists both. A number means a version if there is such a version. The
text goes to standard output, information about it to standard error. If there
are several files, each has its name above it.`,
		Example: `  pawl policy show
  pawl policy show 3
  pawl policy show 3f2a91bc1234 -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("takes one VERSION or DIGEST, %d arguments given", len(args))
			}
			return nil
		},
		RunE: a.Ask(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if len(args) == 1 {
				return a.showPolicy(cmd.Context(), c, args[0])
			}
			p, err := c.Policy(cmd.Context())
			if err != nil {
				return err
			}
			if a.Output == cli.OutputJSON {
				return a.PrintValue(p)
			}
			a.Note("%s", appliedBy(p.PolicyVersion))
			return a.printLayers(p.Layers)
		}),
	}
}

const nothingApplied = "no policy was applied yet: everything needs approval"

// appliedBy says what is known of a version.
func appliedBy(v rest.PolicyVersion) string {
	if v.Version == 0 {
		return nothingApplied
	}
	who := "unauthenticated"
	if v.Authenticated {
		who = "authenticated"
	}
	text := fmt.Sprintf("version %d, applied %s by %s (%s, %s)\ndigest %s", v.Version, cli.Timestamp(v.At),
		cli.Cell(v.By, 80), cli.Cell(v.Channel, 20), who, v.Digest)
	if v.Note != "" {
		text += "\nnote: " + cli.Cell(v.Note, 0)
	}
	return text
}

// printLayers writes policy files byte for byte, unless a person looks on: then with what can't be
// seen made visible.
func (a *app) printLayers(layers []rest.PolicyLayer) error {
	var b strings.Builder
	for _, l := range layers {
		if len(layers) > 1 {
			fmt.Fprintf(&b, "# ---- %s ----\n", approval.Display(l.Name, 0))
		}
		text := l.Text
		if a.IsTerminal(a.Stdout) {
			text = approval.DisplayLines(strings.ReplaceAll(text, "\r\n", "\n"), 0)
		}
		b.WriteString(text)
		if text != "" && !strings.HasSuffix(text, "\n") {
			b.WriteString("\n")
		}
	}
	return a.Print(b.String())
}

func (a *app) policyHistory() *cobra.Command {
	limit := cli.Count(20)
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List which policy was applied when and by whom, newest first",
		Example: `  pawl policy history
  pawl policy history --limit 0 -o json`,
		Args: cli.NoArgs,
		RunE: a.Ask(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			page, err := c.PolicyHistory(cmd.Context(), "", int(limit))
			if err != nil {
				return err
			}
			defer cli.NoteMore(a.App, page)
			return versionList.PrintPage(a.App, page)
		}),
	}
	cmd.Flags().Var(&limit, "limit", cli.LimitHelp)
	return cmd
}

var versionList = cli.Listing[rest.PolicyVersion]{
	Empty:  nothingApplied,
	Header: []string{"VERSION", "APPLIED", "BY", "AUTHENTICATED", "VIA", "DIGEST", "NOTE"},
	Row: func(v rest.PolicyVersion) []string {
		authenticated := "no"
		if v.Authenticated {
			authenticated = "yes"
		}
		return []string{
			fmt.Sprint(v.Version), cli.Timestamp(v.At), cli.Cell(v.By, 30), authenticated, cli.Cell(v.Channel, 12),
			cli.ShortHash(v.Digest), cli.Cell(v.Note, 60),
		}
	},
}

// maxVersionDigits keeps longer numbers for the beginnings of digests.
const maxVersionDigits = 9

// showPolicy shows what was ever applied, by its version, or by its digest or the beginning of
// that.
func (a *app) showPolicy(ctx context.Context, c *client.Client, name string) error {
	// As 'history' shows a digest, it may end in the sign of a cut.
	digest := strings.TrimSuffix(name, approval.CutMark)
	number, err := strconv.ParseInt(name, 10, 64)
	isNumber := err == nil && number > 0 && len(name) <= maxVersionDigits
	page, err := c.PolicyHistory(ctx, "", 0)
	if err != nil && isNumber {
		return err
	}
	history := page.Items // without it, when and by whom is not known
	only := slices.IndexFunc(history, func(v rest.PolicyVersion) bool { return v.Version == number })
	if only >= 0 {
		history = history[only : only+1]
		digest, isNumber = history[0].Digest, false
	}
	set, err := c.PolicyText(ctx, digest)
	switch {
	case errors.As(err, new(*client.Error)) && isNumber:
		return fmt.Errorf("no version %d was applied, and as a digest: %w", number, err)
	case err != nil:
		return err
	case a.Output == cli.OutputJSON:
		return a.PrintValue(set)
	}
	note := "digest " + set.Digest
	for _, v := range history {
		if v.Digest == set.Digest {
			a.Note("%s", appliedBy(v))
			note = ""
		}
	}
	if note != "" {
		a.Note("%s", note)
	}
	return a.printLayers(set.Layers)
}

// activeName stands for the active policy where a command takes files; @ and a digest for one that
// was ever applied. Files of such names need ./ before.
const activeName = "active"

// readPolicy reads the policy that names stand for: files and folders; or, by itself, 'active' or
// '@DIGEST'. It has reported the problems and warnings of files; those of an
// applied policy were reported when it was applied.
func (a *app) readPolicy(cmd *cobra.Command, names ...string) (*policy.Set, error) {
	var set *policy.Set
	var err error
	switch remote := remoteName(names); {
	case remote == "":
		if names, err = policytest.PolicyFiles(names...); err == nil {
			set, err = policytest.Inspect(names...)
		}
		if err == nil {
			a.noteProblems(set.Warnings())
		}
	case len(names) > 1:
		return nil, cli.UsageError(
			fmt.Errorf("%s is a whole policy: name nothing beside it", approval.Display(remote, 80)))
	default:
		set, err = a.fetchPolicy(cmd, remote)
	}
	if err != nil {
		return nil, a.problems(err)
	}
	if left := set.Unexecuted(); len(left) > 0 {
		a.noteProblems(left)
		a.Note("warning: no worker loads this policy as it is: see above")
	}
	return set, nil
}

// remoteName returns the first name that stands for no file.
func remoteName(names []string) string {
	remote := func(name string) bool { return name == activeName || strings.HasPrefix(name, "@") }
	if i := slices.IndexFunc(names, remote); i >= 0 {
		return names[i]
	}
	return ""
}

// fetchPolicy asks the API for a policy, and says which one that is.
func (a *app) fetchPolicy(cmd *cobra.Command, name string) (*policy.Set, error) {
	digest, byDigest := strings.CutPrefix(name, "@")
	if byDigest && digest == "" {
		return nil, cli.UsageError(errors.New("@ is without a digest: 'pawl policy history' lists them"))
	}
	c, err := a.Client(cmd)
	if err != nil {
		return nil, err
	}
	if !byDigest {
		p, err := c.Policy(cmd.Context())
		if err != nil {
			return nil, err
		}
		a.Note("the active policy: %s", appliedBy(p.PolicyVersion))
		return compileLayers(p.Layers, p.Digest)
	}
	p, err := c.PolicyText(cmd.Context(), strings.TrimSuffix(digest, approval.CutMark))
	if err != nil {
		return nil, err
	}
	a.Note("the policy with digest %s", p.Digest)
	return compileLayers(p.Layers, p.Digest)
}

// compileLayers compiles the text of an applied policy to look at it. The error is
// yamlfile.Problems where this Pawl does not know what stands there.
func compileLayers(layers []rest.PolicyLayer, digest string) (*policy.Set, error) {
	set, err := policy.Inspect(active.Files(layers)...)
	if err == nil && digest != set.Digest() {
		err = fmt.Errorf("the text of the policy %s has another digest here: it was changed on its way or in the "+
			"database, or this Pawl is of another version", approval.Display(cli.ShortHash(digest), 80))
	}
	return set, err
}

// problems reports what is wrong with files, a line each, and ends the command. It returns other
// errors as they are.
func (a *app) problems(err error) error {
	found, ok := errors.AsType[yamlfile.Problems](err)
	if !ok {
		return err
	}
	a.noteProblems(found)
	return cli.ExitWith(cli.ExitError)
}

func (a *app) noteProblems(problems []yamlfile.Problem) {
	for _, p := range problems {
		a.Note("%s", p)
	}
}
