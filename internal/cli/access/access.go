package access

import (
	"context"
	"errors"
	"fmt"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/store"
)

// accessSite is where tokens and keys are: behind the API, or in a database.
type accessSite struct {
	cli.Config
	app    *app
	direct bool
}

func (s *accessSite) add(cmd *cobra.Command, takes settings.Command) {
	s.AddFlags(cmd, takes)
	settings.Default(cmd.Flags(), "log-level", "warn")
	cmd.Flags().BoolVar(&s.direct, "direct", false, "use the store itself instead of asking the API")
}

// with runs one of two, depending on where they are.
func (s *accessSite) with(cmd *cobra.Command, byAPI func(context.Context, *client.Client) error, onStore func(context.Context, store.Store) error) (err error) {
	ctx := cmd.Context()
	if !s.direct {
		if cmd.Flag("database-url").Changed {
			return cli.UsageError(errors.New("--database-url is for --direct; the API is named by --api"))
		}
		c, err := s.app.Client(cmd)
		if err != nil {
			return err
		}
		return byAPI(ctx, c)
	}
	if err := s.Read(s.app.App, cmd); err != nil {
		return err
	}
	if err := s.Database.Validate(); err != nil {
		return cli.UsageError(err)
	}
	opened, err := s.Database.OpenExisting(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	return onStore(ctx, opened)
}

// operator names who works on the database itself.
func operator() string {
	name := "database"
	if u, err := user.Current(); err == nil && approval.CheckName("user", u.Username) == nil {
		name += ":" + u.Username
	}
	return name
}

// each does one thing to all of these IDs, and tells of each. It goes on after
// one that is not there: the others are to be stopped.
func each[T any](ids []string, one func(id string) (T, error), tell func(T) error) ([]T, error) {
	var errs []error
	done := []T{}
	for _, id := range ids {
		x, err := one(id)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", approval.Display(id, 80), err))
			continue
		}
		done = append(done, x)
		errs = append(errs, tell(x))
	}
	return done, errors.Join(errs...)
}
