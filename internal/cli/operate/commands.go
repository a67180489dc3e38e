// Package operate holds the commands that run Pawl itself (worker, api), and those that help with
// it.
package operate

import (
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/cli"
)

// app is the command line, with the commands of this package as methods.
type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{a.worker(), a.serve(), a.setup(), a.doctor()}
}
