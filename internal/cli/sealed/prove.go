package sealed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/store"
)

type proveCommand struct {
	log
	dir string
}

// proved is a file with the proof of an entry.
type proved struct {
	Index int64  `json:"index"`
	Step  string `json:"step"`
	Kind  string `json:"kind"`
	File  string `json:"file"`
}

func prove(base *cli.App) *cobra.Command {
	p := &proveCommand{log: log{App: base}}
	cmd := &cobra.Command{
		Use:   "prove ID",
		Short: "Write proofs that a call's entries are in the audit log",
		Long: `Write a file for each entry of a call: the entry, the proof that it is in the
log, and the signed checkpoint that the proof leads to. Whoever has the log's
public key can check such a file without Pawl and without the database. It is a
C2SP tlog-proof, with the entry as its extra data; examples/verify/verify.py
checks it.

` + cli.SettingsHelp + `

Exit code 1: the call is not known, or not all of its entries are sealed yet.`,
		Example: `  pawl audit prove pawl-k3vq2m7 --database-url sqlite://.pawl/pawl.db
  python3 examples/verify/verify.py --key log.pub pawl-k3vq2m7.proofs/*`,
		Args: cli.OneArg("ID", cli.WhichCall),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.Read(p.App, cmd); err != nil {
				return err
			}
			return p.use(cmd, func(ctx context.Context, s store.Store) error { return p.prove(ctx, s, args[0]) })
		},
	}
	p.addFlags(cmd, 0)
	cmd.Flags().StringVar(&p.dir, "dir", "", "`folder` to write to (default ID.proofs)")
	return cmd
}

func (p *proveCommand) prove(ctx context.Context, s store.Store, id string) error {
	id, err := s.Resolve(ctx, id)
	if err != nil {
		return err
	}
	last, err := s.LastCheckpoint(ctx)
	if err != nil {
		return err
	}
	if p.dir == "" {
		p.dir = strings.Map(func(r rune) rune {
			if r == '/' || r == '\\' || r == ':' || r < ' ' {
				return '_'
			}
			return r
		}, id) + ".proofs"
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	unsealed := 0
	var files []proved
	for q := (store.EntryQuery{Subject: id, Limit: store.MaxPage}); ; {
		page, err := s.Entries(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range page.Items {
			if e.Index == nil || *e.Index >= last.Size {
				unsealed++
				continue
			}
			file, err := p.write(ctx, s, last, e)
			if err != nil {
				return err
			}
			files = append(files, proved{Index: *e.Index, Step: e.Step, Kind: string(e.Kind), File: file})
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	var text strings.Builder
	for _, f := range files {
		fmt.Fprintf(&text, "%s  %s\n", f.File, cli.Cell(f.Kind, 40))
	}
	if len(files)+unsealed == 0 {
		return fmt.Errorf("%w: the audit log has no entry of the call: run 'pawl audit verify'", store.ErrDamaged)
	}
	err = p.Show(map[string]any{"id": id, "proofs": files, "unsealed": unsealed}, text.String())
	if err == nil && unsealed > 0 {
		err = fmt.Errorf("%d entries of the call are not sealed yet: try again in a few seconds; 'pawl doctor' "+
			"says whether somebody seals the log", unsealed)
	}
	return err
}

// write writes the proof of an entry, and returns the name of the file.
func (p *proveCommand) write(
	ctx context.Context, s store.LogReader, last store.Checkpoint, e audit.Entry,
) (string, error) {
	if e.Damage != "" {
		return "", fmt.Errorf("entry %s/%s can't be proved: %s", approval.Display(e.Subject, 80),
			approval.Display(e.Step, 80), e.Damage)
	}
	doc, err := audit.ExportLine(e)
	if err != nil {
		return "", err
	}
	nodes := tree.Nodes(func(level int, from, to int64) ([]audit.Hash, error) {
		return s.Nodes(ctx, level, from, to)
	})
	proof, err := tree.Prove(nodes, last, *e.Index, e.Leaf, doc)
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.dir, fmt.Sprintf("%08d.tlog-proof", *e.Index))
	if err := os.WriteFile(path, proof, 0o600); err != nil {
		return "", errors.Join(errors.New("the proof could not be written"), err)
	}
	return path, nil
}
