package sealed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/store"
)

type renameCommand struct {
	log
	yes bool
}

func rename(base *cli.App) *cobra.Command {
	r := &renameCommand{log: log{App: base}}
	cmd := &cobra.Command{
		Use:   "rename",
		Short: "Let the audit log go on under another name, after a restore",
		Long: `Let the audit log go on under another name. That is needed when the database
was restored from a backup, and a checkpoint was published that is ahead of it:
the log can't go on as if nothing had happened, so workers do not seal it.

The entries that were sealed stay so. What the backup lacks is lost, and
auditors see that: they need the public key under the new name ('pawl audit
key'), and witnesses must be told of it. The renaming is an entry of the log.

The store is opened for writing. With SQLite, stop the process that owns it
first. Restart the workers afterwards.

` + cli.SettingsHelp,
		Example: "  pawl audit rename --yes --database-url postgres://pawl@db:5432/pawl",
		Args:    cli.NoArgs,
		PreRunE: refuseAPI,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !r.yes {
				return cli.UsageError(errors.New("auditors will see that the log was renamed, and no name comes back: " +
					"give --yes if the database was restored and you want that"))
			}
			if err := r.Read(r.App, cmd); err != nil {
				return err
			}
			return r.use(cmd, r.rename)
		},
	}
	r.addFlags(cmd, 0)
	r.Database.ReadOnly = false
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do it")
	return cmd
}

func (r *renameCommand) rename(ctx context.Context, s store.Store) error {
	previous, err := origin(ctx, s)
	if err != nil {
		return err
	}
	last, err := s.LastCheckpoint(ctx)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(previous, "pawl/"), "/")
	name := "pawl/" + first + "/" + strings.ToLower(rand.Text()[:8])
	by := "database"
	if u, err := user.Current(); err == nil && approval.CheckName("user", u.Username) == nil {
		by += ":" + u.Username
	}
	entry, err := audit.New(audit.SubjectLog, name, time.Now(), audit.LogRenamed{
		Origin: name, Previous: previous, Size: last.Size, RenamedBy: by, Via: approval.Via{Channel: "direct"},
	})
	if err != nil {
		return err
	}
	if err := s.RenameLog(ctx, entry); err != nil {
		return err
	}
	return r.Show(map[string]string{"origin": name, "previous": previous},
		fmt.Sprintf("the log's name is %s now; it was %s\n", name, previous))
}
