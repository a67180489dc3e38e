package operate

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
)

func (a *app) store() *cobra.Command {
	cmd := cli.Group("store", "Look after the store")
	cmd.Example = "  pawl store restored"
	cmd.AddCommand(a.storeRestored())
	return cmd
}

func (a *app) storeRestored() *cobra.Command {
	target := admin.Target{App: a.App}
	cmd := &cobra.Command{
		Use:   "restored",
		Short: "Say that the store was restored from a backup",
		Long: `Say that the store was restored from a backup, before workers serve it again.
Every permit of an open call that was not used is void from then on: nobody
knows whether its tool ran since the backup. Calls that wait for people wait on.
That and who said so is on record.

Workers refuse to start while Temporal knows more of the store's calls than the
store, until this was said. On SQLite, stop the worker first.`,
		Example: "  pawl store restored --database-url sqlite:///var/lib/pawl/pawl.db",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return target.UseStore(cmd, func(ctx context.Context, s *admin.Store) error {
				voided, err := s.Restored(ctx, a.Now())
				if err != nil {
					return err
				}
				a.Note("permits that are void now: %d. Look at the calls since the backup in Temporal: "+
					"what ran since then is not in the store", voided)
				return nil
			})
		},
	}
	target.AddStoreFlags(cmd, 0)
	return cmd
}
