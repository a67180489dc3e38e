// Package call holds the commands that start calls, follow and withdraw them, and list tools.
package call

import (
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/cli"
)

// app is the command line, with the commands of this package as methods.
type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{a.call(), a.resume(), a.cancel(), a.tools()}
}
