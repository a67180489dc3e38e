package main

import "github.com/spf13/cobra"

// policy holds the commands about policies.
func (a *app) policy() *cobra.Command {
	cmd := group("policy", "Write, apply and look at policies")
	cmd.AddCommand()
	return cmd
}
