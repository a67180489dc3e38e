// Package call holds the commands that start calls, follow and withdraw them, and list tools.
package call

import (
	"cmp"
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/tool"
)

type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{a.call(), a.resume(), a.cancel(), a.tools()}
}

func (a *app) tools() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "List the tools that workers offer",
		Long: `List the tools that workers offer, and whether a process polls the task queue
that they run on now: if none does (NO), an approved call waits for one, and
expires if it does not come in time.

It warns of tools whose schema takes arguments that it does not name, where the
active policy lets calls run by their arguments: it does not look at the others.`,
		Example: `  pawl tools
  pawl tools -o json`,
		Args: cli.NoArgs,
		RunE: a.Ask(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			page, err := c.Tools(cmd.Context())
			if err != nil {
				return err
			}
			a.noteOpenSchemas(cmd.Context(), c, page.Items)
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

// noteOpenSchemas warns of tools that take any further arguments though the active policy allows
// calls by their arguments. It says nothing to those who may not read the policy.
func (a *app) noteOpenSchemas(ctx context.Context, c *client.Client, tools []rest.Tool) {
	if a.Output == cli.OutputJSON {
		return
	}
	p, err := c.Policy(ctx)
	if err != nil {
		return
	}
	set, err := policy.Inspect(active.Files(p.Layers)...)
	if err != nil {
		return
	}
	for _, t := range tools {
		if set.AllowsByArguments(t.Name) && tool.IsOpen(t.Schema) {
			a.Note("warning: the policy allows calls of %s by their arguments, and its schema takes others, too: "+
				"close the schema by \"additionalProperties\": false", approval.Display(t.Name, 80))
		}
	}
}

func (a *app) forget() *cobra.Command {
	// It tries once: a SQLite store that a worker owns stays so.
	t := &admin.Target{App: a.App}
	cmd := &cobra.Command{
		Use:   "forget NAME…",
		Short: "Free the names of tools whose agent is gone or renamed",
		Long: `Remove tools from the catalogue, so that their names are free. This is for
operators: a tool's name belongs to the agent that published it first, and when
that agent is gone or was renamed, nobody else may use the name. 'pawl tools -o
json' shows each tool's publisher.

Until somebody publishes a name again, new calls of that tool are blocked. Calls
that wait stay as they are. Agents and workers publish their tools again at
their next start: stop them first if somebody else should get a name.

The store is opened for writing. With SQLite, stop the process that owns it
first.

` + cli.SettingsHelp + `

Exit code 1: none of the names was there, or the store could not be used.`,
		Example: `  pawl tools forget send_email --database-url postgres://pawl@db:5432/pawl
  pawl tools forget send_email refund --config pawl.yaml`,
		Args: cli.SomeArgs("NAME", "which tools? 'pawl tools' lists them"),
		RunE: func(cmd *cobra.Command, names []string) error {
			return t.UseStore(cmd, func(ctx context.Context, on *admin.Store) error {
				forgotten, err := on.ForgetTools(ctx, names...)
				if err != nil {
					return err
				}
				return a.printForgotten(names, forgotten)
			})
		},
	}
	t.AddStoreFlags(cmd, 0)
	return cmd
}

func (a *app) printForgotten(names, forgotten []string) error {
	slices.Sort(names)
	unknown := slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		return slices.Contains(forgotten, name)
	})
	var code error
	if len(forgotten) == 0 {
		code = cli.ExitWith(cli.ExitError)
	}
	if a.Output == cli.OutputJSON {
		return cmp.Or(a.PrintValue(map[string][]string{
			"forgotten": append([]string{}, forgotten...), "unknown": unknown,
		}), code)
	}
	text := ""
	for _, name := range unknown {
		a.Note("%s is not in the catalogue", approval.Display(name, 80))
	}
	for _, name := range forgotten {
		text += "forgotten: " + approval.Display(name, 80) + "\n"
	}
	return cmp.Or(a.Print(text), code)
}
