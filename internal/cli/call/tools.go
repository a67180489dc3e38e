package call

import (
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/cli"
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.Client(cmd)
			if err != nil {
				return err
			}
			page, err := c.Tools(cmd.Context())
			if err != nil {
				return err
			}
			if a.Output == cli.OutputJSON {
				return cli.PrintPage(a.App, page)
			}
			if len(page.Items) == 0 {
				a.Note("no worker offers a tool yet")
				return nil
			}
			var rows [][]string
			for _, t := range page.Items {
				repeat := "no"
				if t.Idempotent {
					repeat = "yes"
				}
				served := "unknown"
				if t.Served != nil {
					served = map[bool]string{true: "yes", false: "NO"}[*t.Served]
				}
				rows = append(rows, []string{
					cli.Cell(t.Name, 40), cli.Cell(t.Kind, 12), cli.Cell(t.Queue, 30), served, repeat,
					t.Timeout.String(), cli.Cell(t.Description, 70),
				})
			}
			header := []string{"NAME", "KIND", "QUEUE", "SERVED", "IDEMPOTENT", "TIMEOUT", "DESCRIPTION"}
			return a.Print(cli.Table(header, rows))
		},
	}
	cmd.AddCommand(a.forget())
	return cmd
}
