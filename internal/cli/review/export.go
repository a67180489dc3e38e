package review

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/rest"
)

// exportTries is how often an export that breaks off is gone on with, without a line between.
const exportTries = 5

func (a *app) auditExport() *cobra.Command {
	var q client.EntryQuery
	var times timeFlags
	var file, format, tiles string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Export the audit log, in the order written",
		Long: "Export the audit log, in the order written: as lines of JSON, each with what its\n" +
			"hash covers, or as CSV. To a --file it goes on where the file ends.\n\n" +
			"With --tiles it writes what is sealed, as static files: the checkpoint, the tree\n" +
			"and what was hashed of each entry, in the layout of https://c2sp.org/tlog-tiles.\n" +
			"Details of entries are not among that. It goes on where the folder ends.",
		Example: `  pawl audit export --file log.ndjson
  pawl audit export --last 720h --format csv
  pawl audit export --tiles /srv/log`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "ndjson" && format != "csv" {
				return cli.UsageError(errors.New("--format must be ndjson or csv"))
			}
			if format == "csv" && file != "" {
				return cli.UsageError(errors.New("--file takes lines of JSON, which can be gone on with; " +
					"write CSV to standard output"))
			}
			c, err := a.entryFilters(cmd, &q, times)
			if err != nil {
				return err
			}
			if tiles != "" {
				if q != (client.EntryQuery{}) || file != "" || format != "ndjson" {
					return cli.UsageError(errors.New("--tiles takes the whole log, and no other form: leave filters, " +
						"--after, --file and --format out"))
				}
				return a.exportTiles(cmd, c, tiles)
			}
			if file != "" {
				return a.exportFile(cmd, c, q, file)
			}
			write, done := writeLines(a.Stdout)
			if format == "csv" {
				write, done = writeCSV(a.Stdout)
			}
			_, err = a.export(cmd, c, q, write)
			return errors.Join(err, done())
		},
	}
	entryFlags(cmd.Flags(), &q)
	times.add(cmd.Flags(), "entries")
	f := cmd.Flags()
	f.StringVar(&q.Cursor, "after", "", "go on after the entry with this `cursor`")
	f.StringVar(&file, "file", "", "write to this `file`, or go on where it ends (default stdout)")
	f.StringVar(&tiles, "tiles", "", "write what is sealed to this `folder`, as tiles, or go on where it ends")
	f.StringVar(&format, "format", "ndjson", "`form` of the output: ndjson or csv")
	return cmd
}

// exportTiles writes what is sealed as tiles.
func (a *app) exportTiles(cmd *cobra.Command, c *client.Client, dir string) error {
	tiles, err := tree.OpenTiles(dir)
	if err != nil {
		return err
	}
	write := func(line []byte, e rest.ExportedEntry) error {
		switch {
		case e.CallID == "":
			var c rest.ExportedCheckpoint
			if err := json.Unmarshal(line, &c); err != nil {
				return err
			}
			return tiles.Checkpoint(c.Checkpoint, c.Cursor)
		case e.Index == nil: // it is not sealed yet
			return nil
		}
		return tiles.Add(*e.Index, []byte(e.Metadata))
	}
	_, err = a.export(cmd, c, client.EntryQuery{Cursor: tiles.Cursor()}, write)
	if err = errors.Join(err, tiles.Flush()); err == nil {
		a.Note("%d sealed entries are in %s", tiles.Size(), dir)
	}
	return err
}

// errUnsealed is why the export of a whole log that broke off is not gone on with: what comes next may have been
// sealed meanwhile, and what was written before it not.
var errUnsealed = errors.New("the last entries that came were not sealed yet, and may be by now: run it again")

// export gives each line to write, and goes on by itself after breaks: in a whole log with the last entry,
// whose checkpoint may have been cut off.
func (a *app) export(
	cmd *cobra.Command, c *client.Client, q client.EntryQuery,
	write func(line []byte, e rest.ExportedEntry) error,
) (n int, err error) {
	var pause retry.Backoff
	whole, unsealed := q == client.EntryQuery{Cursor: q.Cursor}, false
	before := q.Cursor
	for tries, damaged := 0, 0; ; {
		var failed error
		from := q
		if whole {
			from.Cursor = before
		}
		err := c.Export(cmd.Context(), from, func(line []byte) error {
			var e rest.ExportedEntry
			failed = json.Unmarshal(line, &e)
			if failed == nil && whole && e.CallID != "" && e.Cursor == q.Cursor {
				return nil // it was written before
			}
			if failed == nil {
				failed = write(line, e)
			}
			if failed != nil { // the cursor stays behind what was written
				return failed
			}
			if e.Damage != "" {
				damaged++
			}
			if e.CallID != "" { // else it is a checkpoint
				n++
				unsealed = whole && e.Index == nil
			}
			before = q.Cursor // of a checkpoint, which has its entry's cursor, that is the same
			tries, q.Cursor = 0, e.Cursor
			return nil
		})
		if tries++; err != nil && failed == nil && !unsealed && errors.Is(err, client.ErrExportCut) &&
			tries < exportTries && pause.Wait(cmd.Context()) {
			continue
		}
		if damaged > 0 {
			a.Note("WARNING: the log was changed in the store; entries that do not fit their hashes: %d", damaged)
		}
		switch {
		case err == nil || failed != nil:
		case unsealed:
			err = fmt.Errorf("%w; %w", err, errUnsealed)
		case q.Cursor != "":
			err = fmt.Errorf("%w; go on with --after %s", err, q.Cursor)
		}
		return n, err
	}
}

func writeLines(out io.Writer) (write func([]byte, rest.ExportedEntry) error, done func() error) {
	buffered := bufio.NewWriter(out)
	return func(line []byte, _ rest.ExportedEntry) error {
		_, err := buffered.Write(append(bytes.Clone(line), '\n'))
		return err
	}, buffered.Flush
}

// writeCSV writes a table. A cell that a spreadsheet would take for a formula begins with an
// apostrophe.
func writeCSV(out io.Writer) (write func([]byte, rest.ExportedEntry) error, done func() error) {
	table := csv.NewWriter(out)
	row := func(cells ...string) error {
		for i, cell := range cells {
			if strings.IndexAny(cell, "=+-@\t\r") == 0 {
				cells[i] = "'" + cell
			}
		}
		return table.Write(cells)
	}
	header := row("at", "call_id", "step", "kind", "payload", "leaf_hash", "damage", "cursor")
	return func(_ []byte, e rest.ExportedEntry) error {
			if e.CallID == "" { // a checkpoint
				return header
			}
			at := e.At.Format(time.RFC3339Nano)
			return errors.Join(header,
				row(at, e.CallID, e.Step, e.Kind, string(e.Payload), e.LeafHash, e.Damage, e.Cursor))
		}, func() error {
			table.Flush()
			return table.Error()
		}
}
