package policies

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
	"github.com/pawlhq/pawl/policy/schema"
)

func (a *app) policyCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Check policy files, and name every mistake at once",
		Long: `Check policy files together, as one policy, and name every mistake at once:
file, line and column, what is wrong, how to correct it. In a folder all YAML
files are used, except suites (*_test.yaml). Nothing needs to run.

Exit code 0: the files load, though there may be warnings; 1: they don't, or
can't be read.`,
		Example: `  pawl policy check org.yaml team.yaml
  pawl policy check policies/ -o json`,
		Args: cli.SomeArgs("FILE", "which policy files or folders?"),
		RunE: func(_ *cobra.Command, paths []string) error {
			c, err := checkPolicy(paths)
			if err != nil {
				return err
			}
			return a.printCheck(c)
		},
	}
}

// checked is the report about a policy: its problems, or its digest and layers.
type checked struct {
	OK       bool               `json:"ok"`
	Problems []yamlfile.Problem `json:"problems"`
	Warnings []yamlfile.Problem `json:"warnings"`
	Digest   string             `json:"digest,omitempty"`
	Layers   []checkedLayer     `json:"layers,omitempty"`
}

type checkedLayer struct {
	Layer   string `json:"layer"`
	File    string `json:"file"`
	Rules   int    `json:"rules"`
	Observe bool   `json:"observe,omitempty"`
}

func checkPolicy(paths []string) (checked, error) {
	c := checked{Problems: []yamlfile.Problem{}, Warnings: []yamlfile.Problem{}}
	for _, path := range paths {
		if policytest.IsSuite(path) {
			return c, cli.UsageError(fmt.Errorf("%s is a suite of tests, not a policy; run it with 'pawl "+
				"policy test'", path))
		}
	}
	paths, unlisted := policytest.PolicyFiles(paths...)
	files, unread := policy.ReadFiles(paths...)
	if err := errors.Join(c.add(unlisted), c.add(unread)); err != nil {
		return c, err
	}
	if c.take(policy.Check(files...)); len(c.Problems) > 0 {
		return c, nil
	}
	set, err := policy.Compile(files...)
	if err != nil {
		return c, c.add(err)
	}
	c.OK, c.Digest = true, set.Digest()
	c.Layers = layersOf(set)
	return c, nil
}

// add adds the problems in an error of a reader of files, and returns other errors.
func (c *checked) add(err error) error {
	found, ok := errors.AsType[yamlfile.Problems](err)
	if err != nil && !ok {
		return err
	}
	c.take(found)
	return nil
}

func (c *checked) take(found yamlfile.Problems) {
	for _, p := range found {
		if p.Warning {
			c.Warnings = append(c.Warnings, p)
		} else {
			c.Problems = append(c.Problems, p)
		}
	}
}

func layersOf(set *policy.Set) []checkedLayer {
	rules := map[string]int{}
	for _, r := range set.Rules() {
		rules[r.Layer]++
	}
	var layers []checkedLayer
	// An explanation names every layer, whatever the call.
	for _, l := range set.Explain(approval.Call{}, policytest.Noon).Layers {
		layers = append(layers,
			checkedLayer{Layer: l.Layer, File: l.File, Rules: rules[l.Layer], Observe: l.Observe})
	}
	return layers
}

func (a *app) printCheck(c checked) error {
	if a.Output == cli.OutputJSON {
		return cli.ErrorUnless(c.OK, a.PrintValue(c))
	}
	a.noteProblems(c.Problems)
	a.noteProblems(c.Warnings)
	if c.OK {
		return a.Print(a.layersTable(c))
	}
	a.Note("%s; the policy does not load", approval.Plural(len(c.Problems), "problem"))
	return cli.ExitWith(cli.ExitError)
}

func (a *app) layersTable(c checked) string {
	rules := 0
	var rows [][]string
	for _, l := range c.Layers {
		rules += l.Rules
		decides := "yes"
		if l.Observe {
			decides = "no, it observes"
		}
		rows = append(rows, []string{
			cli.Cell(l.Layer, 60), fmt.Sprint(l.Rules), decides, approval.Display(l.File, 200),
		})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "OK: %s in %s\n", approval.Plural(rules, "rule"), approval.Plural(len(c.Layers), "layer"))
	b.WriteString(a.Table([]string{"LAYER", "RULES", "DECIDES", "FILE"}, rows))
	fmt.Fprintf(&b, "digest %s\n", c.Digest)
	return b.String()
}

func (a *app) policySchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [policy|suite]",
		Short: "Print the JSON Schema of policy files or of suites, for editors",
		Long: `Print the JSON Schema (2020-12) of policy files or of suites. Editors with
yaml-language-server use it where a file's first line names it:

  # yaml-language-server: $schema=policy.schema.json`,
		Example: `  pawl policy schema policy
  pawl policy schema suite`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("takes one word, policy or suite")
			}
			if len(args) == 1 && args[0] != "policy" && args[0] != "suite" {
				return fmt.Errorf("there is no schema of %q: use policy or suite", approval.Display(args[0], 40))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "suite" {
				return a.Print(schema.Suite)
			}
			return a.Print(schema.Policy)
		},
	}
}
