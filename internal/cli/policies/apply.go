package policies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/policy/policytest"
	"github.com/pawlhq/pawl/rest"
)

type applyCommand struct {
	admin.Target
	app    *app
	dryRun bool
	note   string
	expect int64
}

func (a *app) policyApply() *cobra.Command {
	s := &applyCommand{app: a, Target: admin.Target{App: a.App}}
	s.Database.KeepSchema = true
	cmd := &cobra.Command{
		Use:   "apply FILE...",
		Short: "Make policy files the active policy",
		Long: `Make policy files, one layer each, the active policy. It replaces the previous
one as a whole, so give all files. In a folder all YAML files are used, except
suites (*_test.yaml). The files are checked first, and every mistake is named
with its place; a policy with mistakes is not applied. All workers judge by the
new one within seconds; calls that were judged before keep their verdicts. Who
applied what and when is on record.

--dry-run shows what would change: the text, and which of the calls recorded in
the last 30 days would be judged more or less strictly, as 'pawl policy diff'
does. Its exit code is 1 if any is judged less strictly, or if nothing was
compared. Of very many calls it compares those it reads in some seconds, and
says so. Without --dry-run the same is shown after applying, and does not change
the exit code.

If somebody else applies a policy while the command runs, nothing is changed.
With --expect nothing is changed either if somebody has applied one since the
version that you have looked at, with --dry-run for example.

--direct writes to the store itself, which --database-url, $PAWL_DATABASE_URL or
the configuration file names: use it if no API runs, or none that may write.
With SQLite, first stop the process that owns the store.`,
		Example: `  pawl policy apply org.yaml team.yaml --as ana --dry-run
  pawl policy apply org.yaml team.yaml --as ana --expect 3 --note "refunds"
  pawl policy apply p.yaml --as ana --direct --database-url sqlite://pawl.db`,
		Args: cli.SomeArgs("FILE", "which policy files or folders?"),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if f := cmd.Flag("expect"); f.Changed && s.expect < 0 {
				return cli.UsageError(errors.New("--expect is a version, from 0 on; 'pawl policy history' lists them"))
			}
			if err := s.checkDryRun(cmd); err != nil {
				return err
			}
			if err := approval.CheckNotes(s.note); err != nil {
				return cli.UsageError(fmt.Errorf("--note: %w", err))
			}
			files, err := policyFiles(paths)
			if err != nil {
				return fmt.Errorf("policy:\n%w", err)
			}
			if err := s.checkBy(cmd); err != nil {
				return err
			}
			return s.Use(cmd, func(ctx context.Context, on admin.Admin) error { return s.run(ctx, on, files) })
		},
	}
	s.AddFlags(cmd, 0)
	cmd.Flags().Lookup("direct").Usage = "write to the store itself instead of asking the API"
	f := cmd.Flags()
	f.BoolVar(&s.dryRun, "dry-run", false, "only check the files, and show what would change")
	f.StringVar(&s.note, "note", "", "why, for the record")
	f.Int64Var(&s.expect, "expect", -1,
		"the `version` to replace, and no other (default: the one that is active now)")
	f.Lookup("expect").DefValue = "0" // not shown
	return cmd
}

type policyFile struct {
	policy.File
	path string
}

func policyFiles(paths []string) ([]policyFile, error) {
	paths, unlisted := policytest.PolicyFiles(paths...)
	read, unread := policy.ReadFiles(paths...)
	if err := errors.Join(unlisted, unread); err != nil {
		return nil, err
	}
	files := make([]policyFile, len(read))
	for i, f := range active.Names(read) {
		files[i] = policyFile{f, paths[i]}
	}
	return files, nil
}

// checkDryRun refuses $PAWL_DRY_RUN, which is a setting of 'pawl setup': whoever set it may believe
// that nothing is applied here.
func (s *applyCommand) checkDryRun(cmd *cobra.Command) error {
	variable := settings.Variable("dry-run")
	text := strings.TrimSpace(s.app.Getenv(variable))
	dry, err := strconv.ParseBool(text)
	if text == "" || err == nil && !dry || cmd.Flag("dry-run").Changed {
		return nil
	}
	return cli.UsageError(fmt.Errorf("%s is set, which is for 'pawl setup' and would not keep this "+
		"command from applying: give --dry-run to try the policy, or --dry-run=false to apply it", variable))
}

// checkBy refuses to apply without a name for the record. A dry run by the API needs none.
func (s *applyCommand) checkBy(cmd *cobra.Command) error {
	s.By = s.app.Setting(cmd, "as")
	switch {
	case s.Direct && s.By == "":
		return cli.UsageError(errors.New("who applies it? give your name with --as NAME or PAWL_AS"))
	case !s.Direct && !s.dryRun:
		return s.app.CheckReviewer(cmd)
	}
	return nil
}

func (s *applyCommand) run(ctx context.Context, on admin.Admin, files []policyFile) error {
	a := s.app
	was, err := on.Policy(ctx)
	if err != nil {
		return err
	}
	change := rest.PolicyChange{Expect: &s.expect, Note: s.note}
	if s.expect < 0 {
		change.Expect = &was.Version
	}
	for _, f := range files {
		change.Layers = append(change.Layers, rest.PolicyLayer{Name: f.Name, Text: string(f.Data)})
	}
	if s.dryRun {
		trial, err := on.TryPolicy(ctx, change)
		if err != nil {
			return a.policyRefused(err, files)
		}
		return s.printTrial(ctx, on, was, trial, change, files)
	}
	applied, err := on.ApplyPolicy(ctx, change)
	if err != nil {
		return a.policyRefused(err, files)
	}
	if a.Output == cli.OutputJSON {
		return a.PrintValue(applied)
	}
	a.noteFileProblems(applied.Warnings, files, true)
	if !applied.Changed {
		return a.printUnchanged(applied.Version)
	}
	// What follows takes a moment: say first that it is done.
	err = a.Print(fmt.Sprintf("Applied: version %d, digest %s, is active. Workers judge by it within seconds.\n",
		applied.Version, cli.ShortHash(applied.Digest)))
	if err != nil {
		return err
	}
	return a.printEffect(a.effectOf(ctx, on, was, change.Layers))
}

func (a *app) printUnchanged(version int64) error {
	return a.Print(fmt.Sprintf("Nothing to do: these files are version %d, which is active.\n", version))
}

// printTrial ends with exitError if calls are judged less strictly than before, or if nothing was
// compared.
func (s *applyCommand) printTrial(
	ctx context.Context, on admin.Admin, was rest.ActivePolicy, trial rest.PolicyTrial, change rest.PolicyChange,
	files []policyFile,
) error {
	a := s.app
	if a.Output != cli.OutputJSON {
		a.noteFileProblems(trial.Warnings, files, true)
	}
	switch {
	case !trial.Changed && a.Output == cli.OutputJSON:
		return a.PrintValue(trial)
	case !trial.Changed:
		return a.printUnchanged(trial.Active.Version)
	case trial.Active.Version != was.Version || was.Version != *change.Expect:
		return fmt.Errorf("version %d is active, not %d: check again", trial.Active.Version, *change.Expect)
	}
	e := a.effectOf(ctx, on, was, change.Layers)
	if a.Output == cli.OutputJSON {
		return cli.ErrorUnless(e.clear(), a.PrintValue(struct {
			rest.PolicyTrial
			Effect any `json:"effect"`
		}{trial, e.json()}))
	}
	text, err := a.policyChanges(was.Layers, change.Layers)
	if err != nil {
		return err
	}
	if err := errors.Join(a.Print(text), a.printEffect(e)); err != nil {
		return err
	}
	a.Note("nothing was applied. To replace what was compared here, and nothing newer, add --expect %d",
		was.Version)
	return cli.ErrorUnless(e.clear(), nil)
}

// noteFileProblems tells what the answer says about the policy, by the paths of its files.
func (a *app) noteFileProblems(problems []rest.FileProblem, files []policyFile, warnings bool) {
	for _, p := range problems {
		for _, f := range files {
			if p.File == f.Name {
				p.File = f.path
				break
			}
		}
		p.Warning = warnings
		a.Note("%s", approval.Display(p.String(), 1000))
	}
}

func (a *app) policyRefused(err error, files []policyFile) error {
	var refused *client.Error
	if !errors.As(err, &refused) {
		return err
	}
	a.noteFileProblems(refused.Problems, files, false)
	if refused.Code == rest.CodePolicyChanged {
		return fmt.Errorf("%w\n'pawl policy apply --dry-run' shows what your files would change now", err)
	}
	return err
}

// fileChange is a file of one policy or of two. Its names differ where it was renamed.
type fileChange struct {
	was, will   string // empty: it is not there
	before, now string // its text
}

func (c fileChange) name() string { return cmp.Or(c.was, c.will) }

// fileChanges pairs the files of two policies: by their names, and those that are left by what is in
// them.
func fileChanges(was, will []rest.PolicyLayer) []fileChange {
	var changes, gone []fileChange
	fresh := slices.Clone(will)
	for _, l := range was {
		i := slices.IndexFunc(fresh, func(f rest.PolicyLayer) bool { return f.Name == l.Name })
		if i < 0 {
			gone = append(gone, fileChange{was: l.Name, before: l.Text})
			continue
		}
		changes = append(changes, fileChange{l.Name, l.Name, l.Text, fresh[i].Text})
		fresh = slices.Delete(fresh, i, i+1)
	}
	for _, c := range gone {
		best, most := -1, 0.0
		for i, f := range fresh {
			if share := commonShare(c.before, f.Text); share > most {
				best, most = i, share
			}
		}
		if most > 0.5 {
			c.will, c.now = fresh[best].Name, fresh[best].Text
			fresh = slices.Delete(fresh, best, best+1)
		}
		changes = append(changes, c)
	}
	for _, f := range fresh {
		changes = append(changes, fileChange{will: f.Name, now: f.Text})
	}
	slices.SortStableFunc(changes, func(x, y fileChange) int { return strings.Compare(x.name(), y.name()) })
	return changes
}

// commonShare is how much of the longer of two texts the other one has, too: 1 for equal texts.
// Lines are counted, but for empty ones.
func commonShare(a, b string) float64 {
	if a == b {
		return 1
	}
	count := map[string]int{}
	lines, others, common := 0, 0, 0
	for line := range strings.Lines(a) {
		if line = strings.TrimSpace(line); line != "" {
			count[line]++
			lines++
		}
	}
	for line := range strings.Lines(b) {
		if line = strings.TrimSpace(line); line != "" {
			others++
			if count[line] > 0 {
				count[line]--
				common++
			}
		}
	}
	return float64(common) / float64(max(lines, others, 1))
}

// policyChanges shows how one policy's files differ from another's, as programmers know it.
func (a *app) policyChanges(was, will []rest.PolicyLayer) (string, error) {
	var b strings.Builder
	for _, c := range fileChanges(was, will) {
		from, to := approval.Display(c.name(), 0), approval.Display(cmp.Or(c.will, c.was), 0)
		if c.was != c.will && c.before == c.now {
			fmt.Fprintf(&b, "%s is renamed to %s, and its text stays\n", from, to)
			continue
		}
		before, after := "active", "new"
		if c.was == "" {
			before = "not there"
		}
		if c.will == "" {
			after = "gone"
		}
		text, err := udiff.ToUnified(from+" ("+before+")", to+" ("+after+")",
			c.before, udiff.Lines(c.before, c.now), udiff.DefaultContextLines)
		if err != nil {
			return "", fmt.Errorf("comparing %s: %w", from, err)
		}
		b.WriteString(a.paintDiff(approval.DisplayLines(strings.ReplaceAll(text, "\r\n", "\n"), 0)))
	}
	return b.String(), nil
}

// paintDiff marks what goes and what comes. The text is safe already.
func (a *app) paintDiff(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "-"):
			lines[i] = a.Paint(cli.Red, line)
		case strings.HasPrefix(line, "+"):
			lines[i] = a.Paint(cli.Green, line)
		}
	}
	return strings.Join(lines, "\n")
}
