package access

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
)

const keyringHelp = `Which file: --payload-keys, else $PAWL_PAYLOAD_KEYS, else payload_keys of the
file that --config names.`

// keyringCommand is what the commands on a keyring's file share. They need neither Temporal nor the
// store.
type keyringCommand struct {
	cli.Config
	app *app
}

func (a *app) keyring() *cobra.Command {
	cmd := cli.Group("keyring", "Make and change the keys that encrypt what goes to Temporal")
	cmd.Long = cmd.Short + `.

A keyring is a file that only its owner may read. Every process needs it, or a
copy: workers, APIs, Go agents (PAWL_PAYLOAD_KEYS) and workers in other
languages. They read it when they start.

To change the key without a pause: 'add', give the file to every process and
restart them; then 'activate', give it out and restart again. Keep old keys for
reading as long as Temporal keeps what was encrypted with them: without its key
it is lost.`
	cmd.Example = `  export PAWL_PAYLOAD_KEYS=/etc/pawl/payload-keys.json
  pawl keyring new
  pawl keyring add
  pawl keyring activate pk-7m2`
	for _, sub := range []func(*keyringCommand) *cobra.Command{
		keyringNew, keyringList, keyringAdd, keyringActivate, keyringForget, keyringPlain,
	} {
		k := &keyringCommand{app: a}
		c := sub(k)
		c.Long += "\n\n" + keyringHelp
		k.AddFlags(c, settings.Keyring)
		c.Flags().Lookup("payload-keys").Usage = "keyring `file`"
		cmd.AddCommand(c)
	}
	return cmd
}

// run settles which file it is about, and does the command's work.
func (k *keyringCommand) run(do func(args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := k.Read(k.app.App, cmd); err != nil {
			return err
		}
		if k.PayloadKeys == "" {
			return cli.UsageError(errors.New("which keyring? name its file with --payload-keys or PAWL_PAYLOAD_KEYS"))
		}
		return do(args)
	}
}

func keyringNew(k *keyringCommand) *cobra.Command {
	readPlain := false
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a keyring with one key",
		Long:  `Make a keyring with one key, in a new file.`,
		Example: `  pawl keyring new --payload-keys /etc/pawl/payload-keys.json
  pawl keyring new --read-plain`,
		Args: cli.NoArgs,
		RunE: k.run(func([]string) error {
			_, err := codec.Create(k.PayloadKeys, readPlain)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%w: nothing was changed; 'pawl keyring add' puts another key into it", err)
			}
			if err != nil {
				return err
			}
			return k.list()
		}),
	}
	cmd.Flags().BoolVar(&readPlain, "read-plain", false, "also read payloads that are not encrypted, "+
		"until 'pawl keyring plain refuse'")
	return cmd
}

func keyringList(k *keyringCommand) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the keys' IDs, never the keys",
		Long:    `List the keys' IDs, when they were made, and which one encrypts.`,
		Example: `  pawl keyring list -o json`,
		Args:    cli.NoArgs,
		RunE:    k.run(func([]string) error { return k.list() }),
	}
}

func keyringAdd(k *keyringCommand) *cobra.Command {
	activate := false
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Add a new key, for reading only",
		Long: `Add a new key. Nothing is encrypted with it before 'pawl keyring activate':
every process must have it first, or its calls wait.`,
		Example: `  pawl keyring add
  pawl keyring add --activate`,
		Args: cli.NoArgs,
		RunE: k.change(func([]string) error { return codec.Add(k.PayloadKeys, activate) }),
	}
	cmd.Flags().BoolVar(&activate, "activate", false, "encrypt with it from the next start of each process on")
	return cmd
}

func keyringActivate(k *keyringCommand) *cobra.Command {
	return &cobra.Command{
		Use:     "activate ID",
		Short:   "Encrypt with another key",
		Long:    `Encrypt with another key of the keyring, from the next start of each process on.`,
		Example: `  pawl keyring activate pk-7m2`,
		Args:    cli.OneArg("ID", "which key? 'pawl keyring list' lists them; the beginning of an ID will do"),
		RunE:    k.change(func(args []string) error { return codec.Activate(k.PayloadKeys, args[0]) }),
	}
}

func keyringForget(k *keyringCommand) *cobra.Command {
	sure := false
	cmd := &cobra.Command{
		Use:   "forget ID",
		Short: "Remove an old key from the keyring, for good",
		Long: `Remove an old key from the keyring. What was encrypted with it can't be read any
more: calls that are still open stop, and results that were not fetched are
lost. First wait until the last call that began with it has ended, and the
namespace's retention has passed since then.`,
		Example: `  pawl keyring forget pk-7m2 --yes`,
		Args:    cli.OneArg("ID", "which key? 'pawl keyring list' lists them; the beginning of an ID will do"),
		RunE: k.change(func(args []string) error {
			if !sure {
				return cli.UsageError(errors.New("what was encrypted with the key can't be read any " +
					"more; if you mean that, add --yes"))
			}
			return codec.Forget(k.PayloadKeys, args[0])
		}),
	}
	cmd.Flags().BoolVar(&sure, "yes", false, "yes, for good")
	return cmd
}

func keyringPlain(k *keyringCommand) *cobra.Command {
	return &cobra.Command{
		Use:   "plain read|refuse",
		Short: "Set whether payloads that are not encrypted are read",
		Long: `Set whether payloads that are not encrypted are read. Use 'read' while calls
from before encryption are still open: during that time, anybody with write
access to the namespace can send plain signals. Nothing is ever written
unencrypted.`,
		Example: `  pawl keyring plain refuse`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] != "read" && args[0] != "refuse" {
				return errors.New("say read or refuse")
			}
			return nil
		},
		RunE: k.change(func(args []string) error {
			return codec.SetPlain(k.PayloadKeys, args[0] == "read")
		}),
	}
}

// change is run for what changes the keyring: it also says what else is to be done, and shows the
// file.
func (k *keyringCommand) change(do func(args []string) error) func(*cobra.Command, []string) error {
	return k.run(func(args []string) error {
		if err := do(args); err != nil {
			return err
		}
		k.app.Note("restart every process that uses this keyring: they read it when they start")
		return k.list()
	})
}

func (k *keyringCommand) list() error {
	r, err := codec.Load(k.PayloadKeys)
	if err != nil {
		return err
	}
	if k.app.Output == cli.OutputJSON {
		return k.app.PrintValue(struct {
			File       string      `json:"file"`
			ReadsPlain bool        `json:"reads_plain"`
			Keys       []codec.Key `json:"keys"`
		}{k.PayloadKeys, r.ReadsPlain(), r.Keys()})
	}
	var rows [][]string
	for _, key := range r.Keys() {
		use := "read"
		if key.Active {
			use = "read and write"
		}
		rows = append(rows, []string{key.ID, key.Created.UTC().Format(time.RFC3339), use})
	}
	plain := "refused"
	if r.ReadsPlain() {
		plain = "read, too; 'pawl keyring plain refuse' ends that"
	}
	return k.app.Say(k.app.Table([]string{"KEY", "CREATED", "USED TO"}, rows) + fmt.Sprintf("\nPayloads "+
		"that are not encrypted are %s.\n", plain))
}
