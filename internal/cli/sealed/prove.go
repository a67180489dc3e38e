package sealed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/cli"
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

` + either + cli.SettingsHelp + `

Exit code 1: the call is not known, or not all of its entries are sealed yet.`,
		Example: `  pawl audit prove pawl-k3vq2m7 --api https://pawl.example.com
  pawl audit prove pawl-k3vq2m7 --database-url sqlite://.pawl/pawl.db
  python3 examples/verify/verify.py --key log.pub pawl-k3vq2m7.proofs/*`,
		Args: cli.OneArg("ID", cli.WhichCall),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.ask(cmd, func(ctx context.Context, from reader) error { return p.prove(ctx, from, args[0]) })
		},
	}
	p.addFlags(cmd, 0)
	cmd.Flags().StringVar(&p.dir, "dir", "", "`folder` to write to (default ID.proofs)")
	return cmd
}

func (p *proveCommand) prove(ctx context.Context, from reader, id string) error {
	var files []proved
	unsealed := 0
	for cursor := ""; ; {
		page, err := from.Proofs(ctx, id, cursor)
		if err != nil {
			return err
		}
		if id = page.ID; cursor == "" {
			if err := p.folder(id); err != nil {
				return err
			}
		}
		unsealed += page.Unsealed
		for _, e := range page.Proofs {
			file := proved{Index: e.Index, Step: e.Step, Kind: e.Kind}
			file.File = filepath.Join(p.dir, fmt.Sprintf("%08d.tlog-proof", file.Index))
			if err := os.WriteFile(file.File, []byte(e.Proof), 0o600); err != nil {
				return errors.Join(errors.New("the proof could not be written"), err)
			}
			files = append(files, file)
		}
		if page.Next == cursor && cursor != "" {
			return errors.New("what answered is not Pawl's API: its list of proofs does not end")
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	var text strings.Builder
	for _, f := range files {
		fmt.Fprintf(&text, "%s  %s\n", f.File, cli.Cell(f.Kind, 40))
	}
	err := p.Show(map[string]any{"id": id, "proofs": files, "unsealed": unsealed}, text.String())
	if err == nil && unsealed > 0 {
		err = fmt.Errorf("%d entries of the call are not sealed yet: try again in a few seconds; 'pawl doctor' "+
			"says whether somebody seals the log", unsealed)
	}
	return err
}

// folder makes the folder for the proofs of a call.
func (p *proveCommand) folder(id string) error {
	if p.dir == "" {
		p.dir = strings.Map(func(r rune) rune {
			if r == '/' || r == '\\' || r == ':' || r < ' ' {
				return '_'
			}
			return r
		}, id) + ".proofs"
	}
	return os.MkdirAll(p.dir, 0o700)
}
