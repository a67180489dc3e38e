// Package admin administers Pawl: by the API, or directly on the store where no API runs, or none
// that may write.
package admin

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/rest"
)

// AdviceFirstToken says how to make the first administrator's token.
const AdviceFirstToken = "make the first one in the store itself: pawl token new YOU --role admin --direct"

// Admin administers one Pawl. What is refused is a *client.Error either way.
type Admin interface {
	// String says where it works, to go on after "made".
	fmt.Stringer
	Tokens(context.Context) ([]rest.Token, error)
	// NewToken also returns the token that could not be stored, or of which that is not known.
	NewToken(context.Context, rest.TokenSpec) (text string, t rest.Token, err error)
	RevokeToken(ctx context.Context, id string) (rest.Token, error)
	Keys(context.Context) ([]rest.SigningKey, error)
	RotateKey(ctx context.Context, revokeOld bool) (rest.Rotated, error)
	EndKey(ctx context.Context, id string, revoke bool) (rest.SigningKey, error)
	Policy(context.Context) (rest.ActivePolicy, error)
	TryPolicy(context.Context, rest.PolicyChange) (rest.PolicyTrial, error)
	ApplyPolicy(context.Context, rest.PolicyChange) (rest.AppliedPolicy, error)
	Entries(context.Context, client.EntryQuery) (client.Page[rest.Entry], error)
}

// Target says what a command administers.
type Target struct {
	cli.Config
	App    *cli.App
	Direct bool   // the store itself
	By     string // who administers the store; empty: the user of the operating system
}

// AddFlags adds the flags that say what is administered, and those of more settings.
func (t *Target) AddFlags(cmd *cobra.Command, more settings.Command) {
	t.AddStoreFlags(cmd, more)
	cmd.Flags().BoolVar(&t.Direct, "direct", false, "use the store itself instead of asking the API")
}

// AddStoreFlags adds the flags of a command that always uses the store itself.
func (t *Target) AddStoreFlags(cmd *cobra.Command, more settings.Command) {
	t.Config.AddFlags(cmd, settings.Direct|more)
	settings.Default(cmd.Flags(), "log-level", "warn")
}

// Use lets do administer what the command's flags name.
func (t *Target) Use(cmd *cobra.Command, do func(context.Context, Admin) error) error {
	if t.Direct {
		return t.UseStore(cmd, func(ctx context.Context, s *Store) error { return do(ctx, s) })
	}
	if cmd.Flag("database-url").Changed {
		return cli.UsageError(errors.New("--database-url is for --direct; the API is named by --api"))
	}
	c, err := t.App.Client(cmd)
	if err != nil {
		return err
	}
	return do(cmd.Context(), byAPI{c})
}

// UseStore lets do administer the store itself.
func (t *Target) UseStore(cmd *cobra.Command, do func(context.Context, *Store) error) (err error) {
	if err := t.Read(t.App, cmd); err != nil {
		return err
	}
	if err := t.Database.Validate(); err != nil {
		return cli.UsageError(err)
	}
	opened, err := t.Database.OpenExisting(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	s := &Store{store: opened, where: t.Database.String(), keyFile: t.SigningKey, by: t.By}
	if s.by == "" {
		s.by = operator()
	}
	return do(cmd.Context(), s)
}

// operator names who works on the database itself.
func operator() string {
	name := "database"
	if u, err := user.Current(); err == nil && approval.CheckName("user", u.Username) == nil {
		name += ":" + u.Username
	}
	return name
}

// LiveAdmins returns the administrators' tokens that are valid now.
func LiveAdmins(tokens []rest.Token) (found []rest.Token) {
	for _, t := range tokens {
		if t.Has(rest.RoleAdmin) && t.Live(time.Now()) {
			found = append(found, t)
		}
	}
	return found
}

type byAPI struct{ *client.Client }

func (a byAPI) String() string { return "by the API at " + a.URL() }

func (a byAPI) Tokens(ctx context.Context) ([]rest.Token, error) {
	page, err := a.Client.Tokens(ctx)
	return page.Items, err
}

func (a byAPI) Keys(ctx context.Context) ([]rest.SigningKey, error) {
	page, err := a.Client.Keys(ctx)
	return page.Items, err
}

func (a byAPI) RotateKey(ctx context.Context, revokeOld bool) (rest.Rotated, error) {
	r, err := a.Client.RotateKey(ctx, revokeOld)
	var silent *client.UnreachableError
	if errors.As(err, &silent) && silent.Sent {
		// The next rotation would end the new key, not the one that was meant.
		err = fmt.Errorf("%w\nThe key may have been replaced anyway, and the old one may still be trusted: "+
			"'pawl key list' shows it, and 'pawl key retire' or 'pawl key revoke' ends it", err)
	}
	return r, err
}
