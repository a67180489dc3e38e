package call

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
)

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
that wait stay as they are. Agents and workers publish their tools again at their
next start: stop them first if somebody else should get a name.

The store is opened for writing. With SQLite, stop the process that owns it
first.

` + cli.SettingsHelp + `

Exit code 1: none of the names was there, or the store could not be used.`,
		Example: `  pawl tools forget send_email --database-url postgres://pawl@db:5432/pawl
  pawl tools forget send_email refund --config pawl.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("NAME is missing: which tools? 'pawl tools' lists them")
			}
			if slices.Contains(args, "") {
				return errors.New("a NAME is empty; 'pawl tools' lists them")
			}
			return nil
		},
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

// printForgotten says which of the names were there, and which were not.
func (a *app) printForgotten(names, forgotten []string) error {
	unknown := []string{}
	for _, name := range names {
		if !slices.Contains(forgotten, name) && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	var code error
	if len(forgotten) == 0 {
		code = cli.ExitWith(cli.ExitError)
	}
	if a.Output == cli.OutputJSON {
		err := a.PrintValue(struct {
			Forgotten []string `json:"forgotten"`
			Unknown   []string `json:"unknown"`
		}{append([]string{}, forgotten...), unknown})
		return cmp.Or(err, code)
	}
	for _, name := range unknown {
		a.Note("%s is not in the catalogue", approval.Display(name, 80))
	}
	text := ""
	for _, name := range forgotten {
		text += "forgotten: " + approval.Display(name, 80) + "\n"
	}
	return cmp.Or(a.Print(text), code)
}
