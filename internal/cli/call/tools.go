package call

import (
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

func (a *app) tools() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "List the tools that workers offer",
		Long: `List the tools that workers offer, and whether a process polls the task queue
that they run on now: if none does (NO), an approved call waits for one, and
expires if it does not come in time.`,
		Example: `  pawl tools
  pawl tools -o json`,
		Args: cli.NoArgs,
		RunE: a.Ask(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			page, err := c.Tools(cmd.Context())
			if err != nil {
				return err
			}
			return toolList.PrintPage(a.App, page)
		}),
	}
	cmd.AddCommand(a.forget())
	return cmd
}

var toolList = cli.Listing[rest.Tool]{
	Empty:  "no worker offers a tool yet",
	Header: []string{"NAME", "KIND", "QUEUE", "SERVED", "IDEMPOTENT", "TIMEOUT", "DESCRIPTION"},
	Row: func(t rest.Tool) []string {
		repeat, served := "no", "unknown"
		if t.Idempotent {
			repeat = "yes"
		}
		if t.Served != nil {
			served = map[bool]string{true: "yes", false: "NO"}[*t.Served]
		}
		return []string{
			cli.Cell(t.Name, 40), cli.Cell(t.Kind, 12), cli.Cell(t.Queue, 30), served, repeat, t.Timeout.String(),
			cli.Cell(t.Description, 70),
		}
	},
}
