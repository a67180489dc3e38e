// Package review holds the commands of reviewers: to see, approve and reject calls, and to read the
// audit log.
package review

import (
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
)

// app is the command line, with the commands of this package as methods.
type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{
		a.pending(), a.show(), a.decide(approval.Approve), a.decide(approval.Reject), a.review(), a.audit(),
	}
}
