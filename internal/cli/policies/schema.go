package policies

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/schema"
)

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
				return fmt.Errorf("there is no schema of %q: use policy "+
					"or suite", approval.Display(args[0], 40))
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
