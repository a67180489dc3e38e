// Package access holds the commands about who may do what: tokens, signing keys, and the keyring of
// payloads.
package access

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{a.whoami(), a.open(), a.token(), a.key(), a.keyring()}
}

func (a *app) whoami() *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Show how the API identifies you, and what you may do",
		Example: `  pawl whoami
  pawl whoami --token-file rita.token -o json`,
		Args: cli.NoArgs,
		RunE: a.Ask(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			p, err := c.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			if a.Output == cli.OutputJSON {
				return a.PrintValue(p)
			}
			if p.Method == rest.MethodNone {
				a.Note("this API authenticates nobody: everybody may do everything, " +
					"and reviewers name themselves with --as")
				if a.Setting(cmd, "token")+a.Setting(cmd, "token-file") != "" {
					a.Note("warning: your token was ignored")
				}
			}
			b := a.NewSheet()
			b.Field("Subject", p.Subject)
			b.Field("Kind", string(p.Kind))
			b.Field("Owner", p.Owner)
			b.Field("Roles", approval.List(p.Roles))
			b.Field("Groups", strings.Join(p.Groups, ", "))
			b.Field("Team", p.Team)
			b.Field("Agents", strings.Join(p.Agents, ", "))
			b.Field("Known by", string(p.Method))
			b.Field("Token", p.TokenID)
			b.Field("Until", cli.Timestamp(p.Expires))
			return a.Print(b.String())
		}),
	}
}
