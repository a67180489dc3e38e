package call

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
)

type forgetCommand struct {
	cli.Config
	app *app
}

func (a *app) forget() *cobra.Command {
	// It tries once: a SQLite store that a worker owns stays so.
	s := &forgetCommand{app: a}
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
			if err := s.Read(a.App, cmd); err != nil {
				return err
			}
			if err := s.Database.Validate(); err != nil {
				return cli.UsageError(err)
			}
			return s.run(cmd.Context(), names)
		},
	}
	s.AddFlags(cmd, settings.Direct)
	settings.Default(cmd.Flags(), "log-level", "warn")
	return cmd
}

func (s *forgetCommand) run(ctx context.Context, names []string) (err error) {
	opened, err := s.Database.OpenExisting(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	forgotten, err := opened.ForgetTools(ctx, names...)
	if err != nil {
		return err
	}
	unknown := []string{}
	for _, name := range names {
		if !slices.Contains(forgotten, name) && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	if err := s.tell(forgotten, unknown); err != nil {
		return err
	}
	if len(forgotten) == 0 {
		return cli.ExitWith(cli.ExitError)
	}
	return nil
}

func (s *forgetCommand) tell(forgotten, unknown []string) error {
	if s.app.Output == cli.OutputJSON {
		return s.app.PrintValue(struct {
			Forgotten []string `json:"forgotten"`
			Unknown   []string `json:"unknown"`
		}{append([]string{}, forgotten...), unknown})
	}
	for _, name := range unknown {
		s.app.Note("%s is not in the catalogue", approval.Display(name, 80))
	}
	text := ""
	for _, name := range forgotten {
		text += "forgotten: " + approval.Display(name, 80) + "\n"
	}
	return s.app.Print(text)
}
