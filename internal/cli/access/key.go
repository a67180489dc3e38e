package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

const keyPlaces = `The API does this, and needs an administrator's token. --direct uses the store
itself, which --database-url, $PAWL_DATABASE_URL or the configuration file names.
With SQLite, first stop the process that owns the store.`

func (a *app) key() *cobra.Command {
	cmd := cli.Group("key", "List, replace and revoke the keys that sign decisions")
	cmd.Long = cmd.Short + `. Payloads are encrypted by
other keys: see 'pawl keyring'.

` + keyPlaces
	cmd.Example = "  pawl key list\n  pawl key rotate\n  pawl key revoke 5748c5a59b437bb2b85f4a44ddaf6be9"
	cmd.AddCommand(a.keyList(), a.keyAdd(), a.keyRotate(), a.keyEnd(false), a.keyEnd(true))
	return cmd
}

func (a *app) keyList() *cobra.Command {
	s := &accessSite{app: a}
	s.Database.ReadOnly = true
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List signing keys, newest first",
		Long:  "List signing keys, newest first, including retired and revoked ones.\n\n" + keyPlaces,
		Example: `  pawl key list
  pawl key list --direct --database-url postgres://pawl@db:5432/pawl -o json`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.with(cmd, func(ctx context.Context, c *client.Client) error {
				page, err := c.Keys(ctx)
				if err != nil {
					return err
				}
				return a.listKeys(page.Items)
			}, func(ctx context.Context, opened store.Store) error {
				keys, err := cli.AllPages(ctx, opened.SigningKeys, shownKey)
				if err != nil {
					return err
				}
				return a.listKeys(keys)
			})
		},
	}
	s.add(cmd, settings.Direct)
	return cmd
}

func (a *app) listKeys(keys []rest.SigningKey) error {
	if a.Output == cli.OutputJSON {
		return cli.PrintList(a.App, keys)
	}
	if len(keys) == 0 {
		a.Note("there are no signing keys: an API that authenticates its callers makes one when it starts")
		return nil
	}
	var rows [][]string
	for _, k := range keys {
		state, by := "trusted", ""
		switch {
		case k.RevokedAt != nil:
			state, by = "revoked "+cli.Timestamp(*k.RevokedAt), k.RevokedBy
		case k.RetiredAt != nil:
			state, by = "retired "+cli.Timestamp(*k.RetiredAt), k.RetiredBy
		}
		rows = append(rows, []string{cli.Cell(k.ID, 40), cli.Cell(k.Note, 40), cli.Timestamp(k.CreatedAt), cli.Cell(k.CreatedBy, 30), state, cli.Cell(by, 30)})
	}
	return a.Print(cli.Table([]string{"ID", "WHERE", "SINCE", "ADDED BY", "STATE", "BY"}, rows))
}

func (a *app) keyAdd() *cobra.Command {
	s := &accessSite{app: a, direct: true}
	cmd := &cobra.Command{
		Use:   "add FILE",
		Short: "Trust the key in a file, directly in the store; make the key if there is no file",
		Long: `Trust the key in a file, directly in the store, and make the key if there is no
file. An API does that itself when it starts; this is for an API that may not
write to its store. FILE is PEM with an Ed25519 key, and only its owner may have
access to it (mode 0600).`,
		Example: "  pawl key add .pawl/signing-key.pem --database-url sqlite://.pawl/pawl.db",
		Args:    cli.OneArg("FILE", "which file holds the private key, or should hold it?"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.with(cmd, nil, func(ctx context.Context, opened store.Store) error {
				signer, err := auth.OpenSigner(ctx, auth.SignerOptions{File: args[0], Store: opened, By: operator()})
				if err != nil {
					return err
				}
				keys, err := opened.TrustedKeys(ctx, signer.KeyID())
				if err != nil || len(keys) == 0 {
					return errors.Join(err, errors.New("the key was revoked meanwhile"))
				}
				return a.tellKey("trusted", shownKey(keys[0]))
			})
		},
	}
	s.AddFlags(cmd, settings.Direct)
	settings.Default(cmd.Flags(), "log-level", "warn")
	return cmd
}

func (a *app) keyRotate() *cobra.Command {
	s := &accessSite{app: a}
	var revokeOld bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the API's signing key with a new one",
		Long: `Replace the signing key of the API that answers with a new one, in its file, too.
What the old one signed still counts. With --revoke-old it does not: use that if
somebody else may have the key. Calls that wait are not delayed. If several APIs
run, each has its own key, and --api says whose key is replaced.

` + keyPlaces + ` Name the key's file, too; APIs that use it notice.`,
		Example: `  pawl key rotate
  pawl key rotate --revoke-old
  pawl key rotate --direct --signing-key .pawl/signing-key.pem`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tell := func(r rest.Rotated) error {
				if a.Output == cli.OutputJSON {
					return a.PrintValue(r)
				}
				return errors.Join(a.tellKey("in use", r.Key), a.tellKey(ended(r.Old), r.Old))
			}
			return s.with(cmd, func(ctx context.Context, c *client.Client) error {
				if cmd.Flag("signing-key").Changed {
					return cli.UsageError(errors.New("--signing-key is for --direct; the API knows its own"))
				}
				r, err := c.RotateKey(ctx, revokeOld)
				var silent *client.UnreachableError
				if errors.As(err, &silent) && silent.Sent {
					// The next rotation would end the new key, not the one that was meant.
					return fmt.Errorf("%w\nThe key may have been replaced anyway, and the old one may still be trusted: 'pawl key list' shows it, and 'pawl key retire' or 'pawl key revoke' ends it", err)
				}
				if err != nil {
					return err
				}
				return tell(r)
			}, func(ctx context.Context, opened store.Store) error {
				signer, err := auth.OpenSigner(ctx, auth.SignerOptions{File: s.SigningKey, Store: opened, By: operator()})
				if err != nil {
					return err
				}
				r, err := signer.Rotate(ctx, operator(), revokeOld)
				if err != nil {
					return err
				}
				return tell(rest.Rotated{Key: shownKey(r.Key), Old: shownKey(r.Old)})
			})
		},
	}
	s.add(cmd, settings.Direct|settings.KeyFile)
	cmd.Flags().Lookup("signing-key").Usage = "`file` of the private key, with --direct"
	cmd.Flags().BoolVar(&revokeOld, "revoke-old", false, "trust nothing that the old key ever signed: calls that it approved and that have not run are blocked")
	return cmd
}

func (a *app) keyEnd(revoke bool) *cobra.Command {
	s := &accessSite{app: a}
	cmd := &cobra.Command{
		Use:   "retire ID…",
		Short: "Trust nothing that a key signs from now on: its API is gone for good",
		Long: `Trust nothing that keys sign from now on (to be exact, from one minute from now
on, because clocks differ). What they signed before counts. Use it for an API that
is gone for good; 'pawl key rotate' replaces the key of an API that stays.

` + keyPlaces,
		Example: "  pawl key retire 5748c5a59b437bb2b85f4a44ddaf6be9",
	}
	if revoke {
		cmd.Use = "revoke ID…"
		cmd.Short = "Trust nothing that a key ever signed: somebody else may have it"
		cmd.Long = `Trust nothing that keys ever signed, from now on and for good: somebody else may
have them. Calls that were approved by one, and whose tools were not started, end
as blocked. An API whose key it is signs nothing more until 'pawl key rotate'.

` + keyPlaces
		cmd.Example = "  pawl key revoke 5748c5a59b437bb2b85f4a44ddaf6be9"
	}
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("ID is missing: which key? 'pawl key list' lists them")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		return s.with(cmd, func(ctx context.Context, c *client.Client) error {
			return a.endKeys(ids, func(id string) (rest.SigningKey, error) { return c.EndKey(ctx, id, revoke) })
		}, func(ctx context.Context, opened store.Store) error {
			return a.endKeys(ids, func(id string) (rest.SigningKey, error) {
				ended, _, err := opened.EndKey(ctx, store.EndKeyParams{ID: id, By: operator(), Revoke: revoke, At: time.Now()})
				return shownKey(ended), err
			})
		})
	}
	s.add(cmd, settings.Direct)
	return cmd
}

func (a *app) endKeys(ids []string, one func(id string) (rest.SigningKey, error)) error {
	done, err := each(ids, one, func(k rest.SigningKey) error {
		if a.Output == cli.OutputJSON {
			return nil
		}
		return a.tellKey(ended(k), k)
	})
	if a.Output == cli.OutputJSON {
		err = errors.Join(err, a.PrintValue(struct {
			Ended []rest.SigningKey `json:"ended"`
		}{done}))
	}
	return err
}

// shownKey is a key as the API shows it.
func shownKey(k store.SigningKey) rest.SigningKey { return rest.SigningKey(k) }

func ended(k rest.SigningKey) string {
	if k.RevokedAt != nil {
		return "revoked"
	}
	return "retired"
}

func (a *app) tellKey(what string, k rest.SigningKey) error {
	if a.Output == cli.OutputJSON {
		return a.PrintValue(k)
	}
	note := ""
	if k.Note != "" {
		note = " (" + cli.Cell(k.Note, 40) + ")"
	}
	return a.Print(fmt.Sprintf("%s: %s%s\n", what, cli.Cell(k.ID, 40), note))
}
