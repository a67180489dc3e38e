package sealed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/audit/crosscheck"
	"github.com/pawlhq/pawl/audit/tree"
	audit "github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/store"
)

type verifyCommand struct {
	log
	keys      []string
	published []string // files
	state     string
	renamed   bool
	temporal  bool
}

func verify(base *cli.App) *cobra.Command {
	v := &verifyCommand{log: log{App: base}}
	cmd := &cobra.Command{
		Use:   "verify [EXPORT]",
		Short: "Check that nobody changed the audit log",
		Long: `Check that nobody changed the audit log: that every entry is what was sealed,
none is missing, inserted or in another place, that checkpoints are signed by
the log's key, and that the log goes on from what was seen or published before.

It reads the store, or an export that 'pawl audit export' wrote; - is standard
input. Give the log's public key with --key: without it the key is taken from
the file of --log-key, which is good only where you are its owner. An export
needs --key.

The last checkpoint that was found good is kept in the file of --state. The next
time the log must go on from there. If it was renamed after a restore, it lacks
what came after the backup: give --renamed if you know of that.

With --witnesses enough of those that the file names must have signed the last
checkpoint, too.

With --temporal it also compares outcomes, decisions and permits, in the store
and in the log, with the histories of Temporal's workflows, as far as Temporal
still has them. That finds what was changed together with all its hashes and
signatures, and workflows that somebody terminated, reset or deleted.

` + cli.SettingsHelp + `

Which Temporal, say its own variables: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and
others.

Exit code 0: the log is as it was sealed, and Temporal agrees; 1: it is not,
Temporal does not, or something can't be read.`,
		Example: `  pawl audit verify --database-url sqlite://.pawl/pawl.db
  pawl audit verify --temporal --database-url postgres://pawl@db:5432/pawl
  pawl audit verify log.ndjson --key log.pub --checkpoint today.checkpoint`,
		PreRunE: refuseAPI,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("takes one EXPORT at most")
			}
			return cli.AnyArgs("EXPORT")(nil, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := v.Read(v.App, cmd); err != nil {
				return err
			}
			if len(args) == 1 && v.temporal {
				return cli.UsageError(errors.New("--temporal compares a store with Temporal: leave EXPORT out"))
			}
			if len(args) == 1 {
				return v.export(cmd, args[0])
			}
			return v.use(cmd, v.store)
		},
	}
	v.addFlags(cmd, settings.LogKey|settings.Histories)
	f := cmd.Flags()
	f.StringArrayVar(&v.keys, "key", nil, "public `key` of the log, or a file with such keys; repeatable")
	f.StringArrayVar(&v.published, "checkpoint", nil,
		"`file` with a checkpoint that was published; the log must go on from it; repeatable")
	f.StringVar(&v.state, "state", "", "`file` with the last checkpoints that were seen "+
		"(default pawl/log-state.json in your folder of configurations; - for none)")
	f.BoolVar(&v.renamed, "renamed", false, "accept that the log lost its end when it was renamed after a restore")
	f.BoolVar(&v.temporal, "temporal", false,
		"compare the store with the histories of Temporal's workflows, too")
	return cmd
}

func (v *verifyCommand) store(ctx context.Context, s store.Store) error {
	if len(v.keys) > 0 {
		known, anyName, err := verifiers(v.keys)
		if err != nil {
			return err
		}
		return v.run(ctx, audit.FromStore(s), audit.Options{Known: known, AnyName: anyName}, s)
	}
	own, err := v.ownKeys()
	if err != nil {
		return fmt.Errorf("%w; or give the log's public key with --key", err)
	}
	return v.run(ctx, audit.FromStore(s), audit.Options{Known: own.Public()}, s)
}

func (v *verifyCommand) export(cmd *cobra.Command, path string) error {
	if len(v.keys) == 0 {
		return cli.UsageError(errors.New("an export is verified with the log's public key: give --key"))
	}
	known, anyName, err := verifiers(v.keys)
	if err != nil {
		return err
	}
	from := v.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	return v.run(cmd.Context(), audit.FromExport(from), audit.Options{Known: known, AnyName: anyName}, nil)
}

// run verifies a log. of is the store that it is in, to compare with Temporal.
func (v *verifyCommand) run(
	ctx context.Context, from audit.Source, o audit.Options, of store.Store,
) error {
	o.Progress, o.Renamed = v.progress("checked so far: %d"), v.renamed
	if v.Witnesses != "" {
		policy, err := tree.LoadPolicy(v.Witnesses)
		if err != nil {
			return err
		}
		o.Witnesses = &policy
	}
	path, err := v.stateFile()
	if err != nil {
		return err
	}
	state := audit.State{}
	if path != "" {
		if state, err = audit.ReadState(path); err != nil {
			return err
		}
		o.State = state
	}
	for _, file := range v.published {
		signed, err := readCheckpoint(file)
		if err != nil {
			return err
		}
		o.Others = append(o.Others, audit.Seen{Signed: signed, From: file})
	}
	report, err := audit.Run(ctx, from, o)
	if err != nil {
		return err
	}
	if origin, signed := report.Last(); report.OK && path != "" && signed != "" {
		if _, seen := state[origin]; !seen && v.Output != cli.OutputJSON {
			v.Note("this is the first time that this log is verified here; its checkpoint is kept in %s", path)
		}
		if err := report.Next(state).Write(path); err != nil {
			return fmt.Errorf("keeping what was seen: %w", err)
		}
	}
	said := verified{Report: report}
	text := describe(report)
	if v.temporal {
		compared, err := v.compare(ctx, of)
		if err != nil {
			return errors.Join(v.Show(said, text), fmt.Errorf("comparing with Temporal: %w", err))
		}
		said.OK, said.Temporal = said.OK && compared.OK, &compared
		text += describeCompared(compared)
	}
	return cli.ErrorUnless(said.OK, v.Show(said, text))
}

// verified is what a log's verification gave, and the comparison with Temporal.
type verified struct {
	audit.Report
	Temporal *crosscheck.Report `json:"temporal,omitempty"`
}

// readCheckpoint reads a signed checkpoint, which is small.
func readCheckpoint(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	signed, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(signed), err
}

func (v *verifyCommand) stateFile() (string, error) {
	switch v.state {
	case "-":
		return "", nil
	case "":
		dir, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("where to keep what was seen? Give --state: %w", err)
		}
		return filepath.Join(dir, "pawl", "log-state.json"), nil
	}
	return v.state, nil
}

// progress tells a person how far a long log is read, every two seconds.
func (v *verifyCommand) progress(text string) func(int64) {
	if !v.IsTerminal(v.Stderr) {
		return nil
	}
	const pause = 2 * time.Second
	said := v.Now()
	return func(items int64) {
		if now := v.Now(); now.Sub(said) >= pause {
			said = now
			v.Note(text, items)
		}
	}
}

func describe(r audit.Report) string {
	var b strings.Builder
	if r.OK {
		fmt.Fprintf(&b, "ok: the log is as it was sealed\n")
	} else {
		fmt.Fprintf(&b, "NOT OK: %s\n", cli.Cell(r.Problem.Error(), 400))
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	if r.Origin != "" {
		row("log", "%s", cli.Cell(r.Origin, 100))
	}
	row("entries", "%d sealed ones were read", r.Size)
	if r.Root != "" {
		row("root", "%s", r.Root)
	}
	row("checkpoints", "%d", r.Signed)
	if r.OtherKey > 0 {
		row("", "%d of them were signed by a key that you did not give; their roots fit", r.OtherKey)
	}
	if r.Witnessed > 0 {
		row("witnessed", "%d entries, by enough witnesses", r.Witnessed)
	}
	if r.Renamed > 0 {
		row("renamed", "changes of the log's name: %d; 'pawl audit list --kind log.renamed' shows them", r.Renamed)
	}
	if r.Erased > 0 {
		row("erased", "%d entries have no details any more", r.Erased)
	}
	if r.Unsealed > 0 {
		row("unsealed", "%d newer entries wait to be sealed: nothing proves them yet", r.Unsealed)
	}
	return b.String()
}
