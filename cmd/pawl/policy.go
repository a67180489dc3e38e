package main

import "github.com/spf13/cobra"

// policy holds the commands about policies.
func (a *app) policy() *cobra.Command {
	cmd := group("policy", "Write, apply and look at policies")
	cmd.Example = `  pawl policy check org.yaml team.yaml
  pawl policy test policies/`
	cmd.AddCommand(
		a.policyCheck(), a.policyExplain(), a.policyTest(), a.policyDiff(), a.policySchema(),
	)
	return cmd
}
