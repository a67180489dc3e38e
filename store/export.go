package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
)

// Exporter makes the lines of an export. Entries that are sealed while it runs are shown without an
// index, as those before them were.
type Exporter struct {
	Log interface {
		Checkpoints(ctx context.Context, after int64, most int) ([]Checkpoint, error)
	}
	Sealed int64 // how many entries were sealed when the export began
	Whole  bool  // checkpoints are among the lines: nothing is filtered out
}

// Lines are those of a page of entries, in the order written.
func (x Exporter) Lines(ctx context.Context, entries []audit.Entry) (lines []any, err error) {
	var signed []Checkpoint
	from := slices.IndexFunc(entries, func(e audit.Entry) bool { return e.Index != nil })
	if x.Whole && from >= 0 {
		signed, err = x.Log.Checkpoints(ctx, *entries[from].Index, len(entries))
		if err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		size := int64(-1)
		if e.Index != nil && *e.Index >= x.Sealed {
			e.Index = nil
		} else if e.Index != nil {
			size = *e.Index + 1
		}
		lines = append(lines, e.Exported())
		for len(signed) > 0 && signed[0].Size <= size {
			if signed[0].Size == size {
				note := cmp.Or(signed[0].Cosigned, signed[0].Note)
				lines = append(lines, rest.ExportedCheckpoint{Checkpoint: note, Cursor: e.Cursor})
			}
			signed = signed[1:]
		}
	}
	return lines, nil
}
