// Package policies holds the commands that check, try, compare and apply policies.
package policies

import (
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/cli"
)

// app is the command line, with the commands of this package as methods.
type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{a.policy()}
}
