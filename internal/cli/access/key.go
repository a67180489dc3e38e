package access

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/rest"
)

// places says where tokens and keys are managed.
const places = `The API does this, and needs an administrator's token. --direct uses the store
itself, which --database-url, $PAWL_DATABASE_URL or the configuration file
names. With SQLite, first stop the process that owns the store.`

func (a *app) key() *cobra.Command {
	cmd := cli.Group("key", "List, replace and revoke the keys that sign decisions")
	cmd.Long = cmd.Short + `. Payloads are encrypted by
other keys: see 'pawl keyring'.

` + places
	cmd.Example = "  pawl key list\n  pawl key rotate\n  pawl key revoke 5748c5a59b437bb2b85f4a44ddaf6be9"
	cmd.AddCommand(a.keyList(), a.keyAdd(), a.keyRotate(), a.keyEnd(false), a.keyEnd(true))
	return cmd
}

func (a *app) keyList() *cobra.Command {
	cmd := &cobra.Command{
		Short: "List signing keys, newest first, retired and revoked ones too",
		Long:  "List signing keys, newest first, including retired and revoked ones.\n\n" + places,
		Example: `  pawl key list
  pawl key list --direct --database-url postgres://pawl@db:5432/pawl -o json`,
	}
	return listCommand(a, cmd, admin.Admin.Keys, keyTable)
}

// listCommand lets a command list things of the Pawl that its flags name.
func listCommand[T any](
	a *app, cmd *cobra.Command, read func(admin.Admin, context.Context) ([]T, error), list cli.Listing[T],
) *cobra.Command {
	t := &admin.Target{App: a.App}
	t.Database.ReadOnly = true
	cmd.Use, cmd.Args = "list", cli.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return t.Use(cmd, func(ctx context.Context, on admin.Admin) error {
			found, err := read(on, ctx)
			if err != nil {
				return err
			}
			return list.Print(a.App, found)
		})
	}
	t.AddFlags(cmd, 0)
	return cmd
}

var keyTable = cli.Listing[rest.SigningKey]{
	Empty:  "there are no signing keys: an API that authenticates its callers makes one when it starts",
	Header: []string{"ID", "WHERE", "SINCE", "ADDED BY", "STATE", "BY"},
	Row: func(k rest.SigningKey) []string {
		state, by := "trusted", ""
		switch {
		case k.RevokedAt != nil:
			state, by = "revoked "+cli.Timestamp(*k.RevokedAt), k.RevokedBy
		case k.RetiredAt != nil:
			state, by = "retired "+cli.Timestamp(*k.RetiredAt), k.RetiredBy
		}
		return []string{
			cli.Cell(k.ID, 40), cli.Cell(k.Note, 40), cli.Timestamp(k.CreatedAt), cli.Cell(k.CreatedBy, 30),
			state, cli.Cell(by, 30),
		}
	},
}

func (a *app) keyAdd() *cobra.Command {
	t := &admin.Target{App: a.App}
	cmd := &cobra.Command{
		Use:   "add FILE",
		Short: "Trust the key in a file, which is made if there is none",
		Long: `Trust the key in a file, directly in the store, and make the key if there is no
file. An API does that itself when it starts; this is for an API that may not
write to its store. FILE is PEM with an Ed25519 key, and only its owner may have
access to it (mode 0600).`,
		Example: "  pawl key add .pawl/signing-key.pem --database-url sqlite://.pawl/pawl.db",
		Args:    cli.OneArg("FILE", "which file holds the private key, or should hold it?"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.UseStore(cmd, func(ctx context.Context, on *admin.Store) error {
				k, err := on.AddKey(ctx, args[0])
				if err != nil {
					return err
				}
				return a.Show(k, keyLine("trusted", k))
			})
		},
	}
	t.AddStoreFlags(cmd, 0)
	return cmd
}

func (a *app) keyRotate() *cobra.Command {
	t := &admin.Target{App: a.App}
	var revokeOld bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the API's signing key with a new one",
		Long: `Replace the signing key of the API that answers with a new one, in its file,
too. What the old one signed still counts. With --revoke-old it does not: use
that if somebody else may have the key. Calls that wait are not delayed. If
several APIs run, each has its own key, and --api says whose key is replaced.

` + places + `
Name the key's file, too; APIs that use it notice.`,
		Example: `  pawl key rotate
  pawl key rotate --revoke-old
  pawl key rotate --direct --signing-key .pawl/signing-key.pem`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flag("signing-key").Changed && !t.Direct {
				return cli.UsageError(errors.New("--signing-key is for --direct; the API knows its own"))
			}
			return t.Use(cmd, func(ctx context.Context, on admin.Admin) error {
				r, err := on.RotateKey(ctx, revokeOld)
				if err != nil {
					return err
				}
				return a.Show(r, keyLine("in use", r.Key)+endedKey(r.Old))
			})
		},
	}
	t.AddFlags(cmd, settings.KeyFile)
	cmd.Flags().Lookup("signing-key").Usage = "`file` of the private key, with --direct"
	cmd.Flags().BoolVar(&revokeOld, "revoke-old", false, "trust nothing that the old key ever signed: "+
		"calls that it approved and that have not run are blocked")
	return cmd
}

func (a *app) keyEnd(revoke bool) *cobra.Command {
	t := &admin.Target{App: a.App}
	cmd := &cobra.Command{
		Use:   "retire ID…",
		Short: "Trust nothing that a key signs from now on",
		Long: `Trust nothing that keys sign from now on (to be exact, from one minute from now
on, because clocks differ). What they signed before counts. Use it for an API
that is gone for good; 'pawl key rotate' replaces the key of an API that stays.

` + places,
		Example: "  pawl key retire 5748c5a59b437bb2b85f4a44ddaf6be9",
	}
	if revoke {
		cmd.Use = "revoke ID…"
		cmd.Short = "Trust nothing that a key ever signed: somebody else may have it"
		cmd.Long = `Trust nothing that keys ever signed, from now on and for good: somebody else may
have them. Calls that were approved by one, and whose tools were not started,
end as blocked. An API whose key it is signs nothing more until 'pawl key
rotate'.

` + places
		cmd.Example = "  pawl key revoke 5748c5a59b437bb2b85f4a44ddaf6be9"
	}
	cmd.Args = cli.SomeArgs("ID", "which key? 'pawl key list' lists them")
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		return t.Use(cmd, func(ctx context.Context, on admin.Admin) error {
			end := func(id string) (rest.SigningKey, error) { return on.EndKey(ctx, id, revoke) }
			_, err := endEach(a, ids, end, endedKey, "ended")
			return err
		})
	}
	t.AddFlags(cmd, 0)
	return cmd
}

func endedKey(k rest.SigningKey) string {
	if k.RevokedAt != nil {
		return keyLine("revoked", k)
	}
	return keyLine("retired", k)
}

func keyLine(what string, k rest.SigningKey) string {
	note := ""
	if k.Note != "" {
		note = " (" + cli.Cell(k.Note, 40) + ")"
	}
	return fmt.Sprintf("%s: %s%s\n", what, cli.Cell(k.ID, 40), note)
}

// endEach ends what all of these IDs name, and reports it: in lines, or as JSON under a name. It
// goes on after an ID that does not exist: the others have to be stopped.
func endEach[T any](
	a *app, ids []string, end func(id string) (T, error), line func(T) string, name string,
) ([]T, error) {
	var errs []error
	ended := []T{}
	for _, id := range ids {
		x, err := end(id)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", approval.Display(id, 80), err))
			continue
		}
		ended = append(ended, x)
		if a.Output != cli.OutputJSON {
			errs = append(errs, a.Print(line(x)))
		}
	}
	if a.Output == cli.OutputJSON {
		errs = append(errs, a.PrintValue(map[string][]T{name: ended}))
	}
	return ended, errors.Join(errs...)
}
