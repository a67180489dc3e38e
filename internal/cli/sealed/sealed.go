// Package sealed holds the commands that check and prove what is in the audit log.
package sealed

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/keyfile"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/store"
)

// Commands makes the commands of this package, which belong under 'pawl audit'.
func Commands(base *cli.App) []*cobra.Command {
	return []*cobra.Command{verify(base), prove(base), checkpoint(base), key(base), rename(base)}
}

// log is a command that reads the log out of the store itself.
type log struct {
	*cli.App
	cli.Config
}

// addFlags adds the flags that say which store it is.
func (l *log) addFlags(cmd *cobra.Command, more settings.Command) {
	l.Database.ReadOnly = true
	l.AddFlags(cmd, settings.Direct|more)
	settings.Default(cmd.Flags(), "log-level", "warn")
}

// use reads the settings and opens the store for do.
func (l *log) use(cmd *cobra.Command, do func(context.Context, store.Store) error) (err error) {
	if err := l.Database.Validate(); err != nil {
		return cli.UsageError(err)
	}
	opened, err := l.Database.OpenExisting(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	return do(cmd.Context(), opened)
}

// origin is the name of the log that is in use.
func origin(ctx context.Context, log store.LogReader) (string, error) {
	all, err := log.Origins(ctx)
	if err != nil || len(all) == 0 {
		return "", errors.Join(err, store.ErrDamaged)
	}
	now := all[len(all)-1]
	renames, err := log.Renames(ctx)
	if _, ok := tree.Renamed(renames, all[0], now); err == nil && !ok && now != all[0] {
		err = fmt.Errorf("%w: the audit log is called %q, and no entry says that it was renamed: "+
			"run 'pawl audit verify'", store.ErrDamaged, now)
	}
	return now, err
}

// ownKeys are the keys in the files that the settings name.
func (l *log) ownKeys() (keys tree.Keys, err error) {
	files := l.LogKeys
	if len(files) == 0 {
		files = []string{settings.DefaultLogKey}
	}
	for _, file := range files {
		k, err := keyfile.Read(file)
		if err != nil {
			return nil, fmt.Errorf("the log's key: %w: name its file with --log-key or PAWL_LOG_KEY", err)
		}
		keys = append(keys, ed25519.PrivateKey(k))
	}
	return keys, nil
}

// verifiers reads public keys: as text, or from files that hold one on each line.
func verifiers(given []string) (known note.Verifiers, keys tree.AnyName, err error) {
	var list []note.Verifier
	for _, text := range given {
		lines := []string{text}
		if doc, err := os.ReadFile(text); err == nil {
			lines = slices.DeleteFunc(strings.Split(string(doc), "\n"), func(line string) bool {
				return strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#")
			})
			if len(lines) == 0 {
				return nil, nil, cli.UsageError(fmt.Errorf("--key: %s holds no public key: write it anew with "+
					"'pawl audit key > %[1]s'", text))
			}
		}
		for _, line := range lines {
			line = strings.TrimSpace(line)
			v, err := note.NewVerifier(line)
			if err != nil {
				return nil, nil, cli.UsageError(errors.New("--key takes a public key as 'pawl audit key' prints it, " +
					"NAME+HASH+KEY, or a file of such lines"))
			}
			raw, err := base64.StdEncoding.DecodeString(strings.SplitN(line, "+", 3)[2])
			if err != nil {
				return nil, nil, err
			}
			list, keys = append(list, v), append(keys, raw[1:]) // behind the algorithm
		}
	}
	return note.VerifierList(list...), keys, nil
}

// refuseAPI keeps who names an API from taking the store's log for the log of that API.
func refuseAPI(cmd *cobra.Command, _ []string) error {
	if cmd.Flag("api").Changed {
		return cli.UsageError(errors.New("--api: no API is asked here, but the store of --database-url read; " +
			"'pawl audit export' gets the log of an API, for 'pawl audit verify'"))
	}
	return nil
}

func key(base *cli.App) *cobra.Command {
	l := &log{App: base}
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the public key of the audit log, for auditors",
		Long: `Print the public half of the key that seals the audit log, or of each key while
one is replaced. Auditors keep it where the database's administrators can't
change it, and give it to 'pawl audit verify --key'.

` + cli.SettingsHelp,
		Example: "  pawl audit key --database-url sqlite://.pawl/pawl.db",
		Args:    cli.NoArgs,
		PreRunE: refuseAPI,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.Read(l.App, cmd); err != nil {
				return err
			}
			return l.use(cmd, func(ctx context.Context, s store.Store) error {
				name, err := origin(ctx, s)
				if err != nil {
					return err
				}
				keys, err := l.ownKeys()
				if err != nil {
					return err
				}
				public, err := keys.Verifiers(name)
				if err != nil {
					return err
				}
				return l.Show(map[string]any{"origin": name, "keys": public}, strings.Join(public, "\n")+"\n")
			})
		},
	}
	l.addFlags(cmd, settings.LogKey)
	return cmd
}

func checkpoint(base *cli.App) *cobra.Command {
	l := &log{App: base}
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the last checkpoint of the audit log",
		Long: `Print the last checkpoint of the audit log, with the signatures of witnesses if
there are any. Keep it, and 'pawl audit verify --checkpoint' shows later that
the log still goes on from it.

` + either + cli.SettingsHelp,
		Example: `  pawl audit checkpoint --api https://pawl.example.com
  pawl audit checkpoint --database-url sqlite://.pawl/pawl.db`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.ask(cmd, func(ctx context.Context, from reader) error {
				signed, err := from.Checkpoint(ctx)
				if err != nil {
					return err
				}
				origin, of, err := tree.ParseText(signed)
				if err != nil {
					return fmt.Errorf("the checkpoint: %w", err)
				}
				return l.Show(map[string]any{"origin": origin, "size": of.N, "root": audit.Hash(of.Hash),
					"checkpoint": signed}, signed)
			})
		},
	}
	l.addFlags(cmd, 0)
	return cmd
}
