package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/auth"
)

func (a *app) whoami() *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Say who the API takes you for, and what you may do",
		Example: `  pawl whoami
  pawl whoami --token-file rita.token -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			p, err := c.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				return a.printValue(p)
			}
			if p.Method == auth.MethodNone {
				a.note("this API authenticates nobody: everybody may do everything, and reviewers name themselves with --as")
				if a.setting(cmd, "token", "PAWL_TOKEN")+a.setting(cmd, "token-file", "PAWL_TOKEN_FILE") != "" {
					a.note("warning: your token was not looked at")
				}
			}
			var roles []string
			for _, r := range p.Roles {
				roles = append(roles, string(r))
			}
			var b sheet
			b.field("Subject", p.Subject)
			b.field("Kind", string(p.Kind))
			b.field("Owner", p.Owner)
			b.field("Roles", strings.Join(roles, ", "))
			b.field("Groups", strings.Join(p.Groups, ", "))
			b.field("Team", p.Team)
			b.field("Agents", strings.Join(p.Agents, ", "))
			b.field("Known by", string(p.Method))
			b.field("Token", p.TokenID)
			b.field("Until", clock(p.Expires))
			return a.print(b.String())
		},
	}
}
