package sealed

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// reader gives what proves the log: a *client.Client by an API, stored out of the store itself.
type reader interface {
	Checkpoint(ctx context.Context) (string, error)
	Proofs(ctx context.Context, id, cursor string) (rest.Proofs, error)
}

// either belongs into the help of each command that asks a reader.
const either = `It asks the API that --api or PAWL_API names, as an auditor or administrator, or
reads the store that --database-url or PAWL_DATABASE_URL names. What it prints
and writes is the same. If both are set, give the flag of one; if neither is, it
asks the API at its default address.

`

// ask lets do read the log where the command line says, else the environment and the configuration.
func (l *log) ask(cmd *cobra.Command, do func(context.Context, reader) error) error {
	// Reading the settings gives flags the values of the environment.
	byAPI, byStore := cmd.Flag("api").Changed, cmd.Flag("database-url").Changed
	if err := l.Read(l.App, cmd); err != nil {
		return err
	}
	if !byAPI && !byStore {
		byAPI, byStore = l.Setting(cmd, "api") != "", l.DatabaseURL != ""
	}
	switch {
	case byAPI && byStore:
		return cli.UsageError(errors.New("whom to ask? Both an API and a store are named: give either --api or " +
			"--database-url"))
	case byStore:
		return l.use(cmd, func(ctx context.Context, s store.Store) error { return do(ctx, stored{s}) })
	}
	c, err := l.Client(cmd)
	if err != nil {
		return err
	}
	return do(cmd.Context(), c)
}

// stored reads a store as the API does.
type stored struct{ log tree.Log }

func (s stored) Checkpoint(ctx context.Context) (string, error) {
	last, err := s.log.LastCheckpoint(ctx)
	if err == nil && last.Size == 0 {
		err = errors.New("the audit log has no checkpoint yet: a worker that has its key makes one every few " +
			"seconds when there is something new")
	}
	if err != nil {
		return "", err
	}
	return tree.Signed(last)
}

func (s stored) Proofs(ctx context.Context, id, cursor string) (rest.Proofs, error) {
	found, err := tree.ProveAll(ctx, s.log, id, cursor, store.MaxPage)
	if err == nil && len(found.Proofs) == 0 && found.Unsealed > 0 && cursor == "" {
		err = errors.New("these entries are not sealed yet: try again in a few seconds; 'pawl doctor' says whether " +
			"somebody seals the log")
	}
	return found, err
}
