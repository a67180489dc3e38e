package policies

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
)

type suiteCommand struct {
	*app
	policy      []string
	golden      string
	update      bool
	least       int // percentage of the rules that must be hit
	requireFull bool
}

func (a *app) policyTest() *cobra.Command {
	s := &suiteCommand{app: a}
	cmd := &cobra.Command{
		Use:   "test [SUITE...]",
		Short: "Test a policy with suites of calls",
		Long: `Test a policy with suites of calls, and show which verdicts are not as expected,
which changed against a golden file, and which rules no call reaches.

A suite is a YAML file beside the policy that it names. In a folder all files
named *_test.yaml are used; without an argument, those of this folder.

Exit code 0: all is as expected; 1: something is not, or can't be read.`,
		Example: `  pawl policy test
  pawl policy test policies/ --golden policies/verdicts.golden --coverage-min 90
  pawl policy test policies/ --golden policies/verdicts.golden --update
  pawl policy test policies/refunds_test.yaml --policy new/org.yaml -o json`,
		Args: cli.AnyArgs("SUITE"),
		RunE: func(_ *cobra.Command, paths []string) error {
			if s.update && s.golden == "" {
				return cli.UsageError(errors.New("--update: which file? name it with --golden"))
			}
			if s.requireFull {
				s.least = 100
			}
			return s.run(paths)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&s.policy, "policy", nil, "try another policy than the suites': its `FILE` or "+
		"folder; repeatable")
	flags.StringVar(&s.golden, "golden", "", "compare all verdicts with this `FILE`")
	flags.BoolVar(&s.update, "update", false, "write the file that --golden names, instead of comparing")
	flags.Func("coverage-min", "fail if fewer than this `percent` of a policy's rules are hit", s.readLeast)
	flags.BoolVar(&s.requireFull, "require-coverage", false, "fail if any rule is never hit")
	return cmd
}

func (s *suiteCommand) readLeast(text string) (err error) {
	s.least, err = strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil || s.least < 0 || s.least > 100 {
		return errors.New("give a percentage from 0 to 100")
	}
	return nil
}

func (s *suiteCommand) run(paths []string) error {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	report, err := policytest.RunPaths(s.policy, paths...)
	if err != nil {
		return s.problems(err)
	}
	changes, err := s.compare(report.Results)
	if err != nil {
		return err
	}
	t := testReport{Report: report, golden: changes, least: s.least}
	if s.Output == cli.OutputJSON {
		err = s.PrintValue(t.json())
	} else {
		s.noteProblems(report.Warnings)
		s.hint(report)
		err = s.Print(s.text(t))
	}
	return cli.ErrorUnless(t.ok(), err)
}

// compare writes the golden file, or says what changed against it.
func (s *suiteCommand) compare(results []policytest.Result) ([]policytest.GoldenChange, error) {
	if s.golden == "" {
		return nil, nil
	}
	text := policytest.Golden(filepath.Dir(s.golden), results)
	if s.update {
		return nil, os.WriteFile(s.golden, text, 0o644)
	}
	old, err := os.ReadFile(s.golden)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; write it with --update", err)
	}
	return policytest.CompareGolden(old, text), err
}

// hint warns of calls without expectations: they look like checks, and check nothing.
func (s *suiteCommand) hint(report policytest.Report) {
	n := 0
	for _, r := range report.Results {
		if r.Expect == nil {
			n++
		}
	}
	if n > 0 && s.golden == "" {
		s.Note("%s with nothing expected; --golden FILE compares their verdicts", approval.Plural(n, "call"))
	}
}

type testReport struct {
	policytest.Report
	golden []policytest.GoldenChange
	least  int
}

func (t testReport) ok() bool {
	missed := func(c policytest.Coverage) bool { return c.Percent() < t.least }
	return t.Failed() == 0 && len(t.golden) == 0 && !slices.ContainsFunc(t.Coverage, missed)
}

type testedResult struct {
	Suite      string                `json:"suite"`
	Name       string                `json:"name"`
	Place      string                `json:"place"`
	OK         bool                  `json:"ok"`
	Mismatches []policytest.Mismatch `json:"mismatches"`
	Explained  policy.Explanation    `json:"explanation"`
}

type testedCoverage struct {
	policytest.Coverage
	Percent int  `json:"percent"`
	OK      bool `json:"ok"`
}

func (t testReport) json() any {
	doc := struct {
		OK       bool                      `json:"ok"`
		Tests    int                       `json:"tests"`
		Failed   int                       `json:"failed"`
		Results  []testedResult            `json:"results"`
		Golden   []policytest.GoldenChange `json:"golden"`
		Coverage []testedCoverage          `json:"coverage"`
		Warnings []yamlfile.Problem        `json:"warnings"`
	}{
		OK: t.ok(), Tests: len(t.Results), Failed: t.Failed(),
		Golden:   append([]policytest.GoldenChange{}, t.golden...),
		Warnings: append([]yamlfile.Problem{}, t.Warnings...),
	}
	for _, r := range t.Results {
		doc.Results = append(doc.Results, testedResult{
			Suite: r.Suite, Name: r.Name, Place: r.Place, OK: len(r.Mismatches) == 0,
			Mismatches: append([]policytest.Mismatch{}, r.Mismatches...), Explained: r.Explanation,
		})
	}
	for _, c := range t.Coverage {
		doc.Coverage = append(doc.Coverage, testedCoverage{c, c.Percent(), c.Percent() >= t.least})
	}
	return doc
}

func (s *suiteCommand) text(t testReport) string {
	var b strings.Builder
	var suites []string
	tests, failed := map[string]int{}, map[string]int{}
	for _, r := range t.Results {
		if tests[r.Suite]++; tests[r.Suite] == 1 {
			suites = append(suites, r.Suite)
		}
		if len(r.Mismatches) == 0 {
			continue
		}
		failed[r.Suite]++
		fmt.Fprintf(&b, "%s %s: %s\n", s.Paint(cli.Red, "FAIL"), r.Place, approval.Display(r.Name, 200))
		for _, m := range r.Mismatches {
			fmt.Fprintf(&b, "     %s\n", approval.Display(m.String(), 1000))
		}
		b.WriteString(prefixed("     ", s.explanation(r.Call.Tool, r.Explanation)) + "\n")
	}
	for _, g := range t.golden {
		gone, come := linesNotIn(g.New, g.Old), linesNotIn(g.Old, g.New)
		fmt.Fprintf(&b, "%s %s\n%s%s\n", s.Paint(cli.Red, "GOLDEN"), approval.Display(g.Test, 500),
			prefixed("-", approval.DisplayLines(gone, 0)), prefixed("+", come))
	}
	for _, suite := range suites {
		word := "ok  "
		rest := ""
		if n := failed[suite]; n > 0 {
			word, rest = s.Paint(cli.Red, "FAIL"), fmt.Sprintf(", %d failed", n)
		}
		count := approval.Plural(tests[suite], "test")
		fmt.Fprintf(&b, "%s %s: %s%s\n", word, approval.Display(suite, 300), count, rest)
	}
	if n := len(t.golden); n > 0 {
		fmt.Fprintf(&b, "%s %s: %s changed; look, then write it anew with "+
			"--update\n", s.Paint(cli.Red, "FAIL"), approval.Display(s.golden, 300), approval.Plural(n, "verdict"))
	}
	if s.update {
		fmt.Fprintf(&b, "wrote %s\n", approval.Display(s.golden, 300))
	}
	for _, c := range t.Coverage {
		b.WriteString(s.coverage(c))
	}
	return b.String()
}

func (s *suiteCommand) coverage(c policytest.Coverage) string {
	var b strings.Builder
	word := "    "
	rest := ""
	if c.Percent() < s.least {
		word, rest = s.Paint(cli.Red, "FAIL"), fmt.Sprintf(", at least %d%% are demanded", s.least)
	}
	fmt.Fprintf(&b, "%s coverage: %d%% of %s in %s%s\n", word, c.Percent(), approval.Plural(c.Rules, "rule"),
		approval.Display(strings.Join(c.Policy, ", "), 300), rest)
	for _, r := range c.Missed {
		fmt.Fprintf(&b, "     never hit: %s\n", approval.Display(r.Where+" "+r.Text, 300))
	}
	return b.String()
}

func linesNotIn(other, text string) string {
	known := map[string]bool{}
	for line := range strings.Lines(other) {
		known[line] = true
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !known[line] {
			b.WriteString(line)
		}
	}
	return b.String()
}

func prefixed(mark, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(mark+line, " \n") + "\n")
	}
	return b.String()
}
