package review

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

// exportFile writes an export to a file, or goes on with the one that is there: with its last sealed entry,
// which has to come again, and whose checkpoint may have been cut off.
func (a *app) exportFile(cmd *cobra.Command, c *client.Client, q client.EntryQuery, name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	there, err := readExport(f)
	if err != nil {
		return fmt.Errorf("%s %w: name another file", name, err)
	}
	whole := q == client.EntryQuery{Cursor: q.Cursor}
	if !whole && there.signed || whole && there.gaps {
		return fmt.Errorf("%s holds what other filters left of the log: name another file", name)
	}
	q.Cursor = cmp.Or(there.cursor, q.Cursor)
	lines, done := writeLines(f)
	begun := false
	n, err := a.export(cmd, c, q, func(line []byte, e rest.ExportedEntry) error {
		if !begun {
			if err := there.goesOn(e); err != nil {
				return fmt.Errorf("%s %w: name another file", name, err)
			}
			if err := there.cut(f); err != nil {
				return err
			}
			begun = true
		}
		return lines(line, e)
	})
	err = errors.Join(err, done())
	if err == nil && !begun {
		if err = there.goesOn(rest.ExportedEntry{}); err != nil {
			err = fmt.Errorf("%s %w: name another file", name, err)
		}
	}
	if err != nil {
		return err
	}
	if there.last != nil {
		n--
	}
	a.Note("%d entries written to %s", n, name)
	return nil
}

// exportThere is what a file holds of an export.
type exportThere struct {
	last   *rest.ExportedEntry // the last sealed entry; nil: there is none
	end    int64               // where that one begins
	cursor string              // what comes before it
	signed bool                // it has checkpoints, as only the export of a whole log
	gaps   bool                // entries are missing between others, as only where there are filters
}

// readExport reads what is there. Entries behind the last sealed one count for nothing, since they may be
// sealed by now, nor does the rest of a line that was cut off.
func readExport(f io.Reader) (there exportThere, err error) {
	read, before := int64(0), ""
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return there, nil
		}
		if err != nil {
			return there, err
		}
		var e rest.ExportedEntry
		if json.Unmarshal(line, &e) != nil || e.Cursor == "" {
			return there, errors.New("is not an export of the audit log")
		}
		there.signed = there.signed || e.CallID == ""
		if e.Index != nil {
			there.gaps = there.gaps || there.last != nil && *e.Index != *there.last.Index+1
			there.last, there.end, there.cursor = &e, read, before
		}
		read, before = read+int64(len(line)), e.Cursor
	}
}

// goesOn refuses an entry that is not the one with which an export has to go on.
func (there exportThere) goesOn(e rest.ExportedEntry) error {
	last := there.last
	if last == nil || e.CallID == last.CallID && e.Step == last.Step && e.LeafHash == last.LeafHash {
		return nil
	}
	return fmt.Errorf("ends with the entry %s/%s, which does not come next: it is of another log, or of other "+
		"filters",
		approval.Display(last.CallID, 80), approval.Display(last.Step, 80))
}

// cut removes what comes again.
func (there exportThere) cut(f *os.File) error {
	if err := f.Truncate(there.end); err != nil {
		return err
	}
	_, err := f.Seek(there.end, io.SeekStart)
	return err
}
