package verify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/store"
)

// pageRows is how many rows are read from a store at once.
const pageRows = 2000

// FromStore reads a log out of a store. It holds a page of it at a time.
func FromStore(log store.LogReader) Source {
	return &stored{log: log, place: math.MinInt64, kept: map[int][]audit.Hash{}} // Pawl's places begin at 1, those of others anywhere
}

type stored struct {
	log         store.LogReader
	begun       bool
	sealed      int64 // how many entries the last checkpoint covers, when reading began
	later       int64 // and how many more are sealed: in the meantime, if another checkpoint covers them
	rows        []store.LogRow
	place, size int64                // behind the last row, and entry, that were given
	kept        map[int][]audit.Hash // of the tree's levels, what comes next
	ended       bool
	checkpoints []store.Checkpoint
	signed      int64 // the size of the last checkpoint that was read
	allSigned   bool
}

func (s *stored) Next(ctx context.Context) (*audit.Entry, string, error) {
	if !s.begun {
		last, err := s.log.LastCheckpoint(ctx)
		if err != nil {
			return nil, "", err
		}
		s.begun, s.sealed = true, last.Size
	}
	if len(s.checkpoints) == 0 && !s.allSigned {
		var err error
		if s.checkpoints, err = s.log.Checkpoints(ctx, s.signed, pageRows); err != nil {
			return nil, "", err
		}
		if s.allSigned = len(s.checkpoints) == 0 || s.checkpoints[0].Size > s.sealed; s.allSigned {
			s.checkpoints = nil
		} else {
			s.signed = s.checkpoints[len(s.checkpoints)-1].Size
		}
	}
	if len(s.checkpoints) > 0 && (s.checkpoints[0].Size <= s.size || s.ended) {
		c := s.checkpoints[0]
		if s.checkpoints = s.checkpoints[1:]; c.Size > s.sealed {
			return s.Next(ctx)
		}
		signed, err := tree.Signed(c)
		if err != nil {
			err = &Problem{Fault: Forged, Message: err.Error()}
		}
		return nil, signed, err
	}
	if len(s.rows) == 0 && !s.ended {
		var err error
		if s.rows, err = s.log.Rows(ctx, s.place, pageRows); err != nil {
			return nil, "", err
		}
		if s.ended = len(s.rows) == 0; s.ended {
			return s.Next(ctx)
		}
	}
	if s.ended {
		return nil, "", s.end(ctx)
	}
	row := &s.rows[0]
	s.rows, s.place = s.rows[1:], row.Place+1
	if row.Place == math.MaxInt64 {
		s.ended = true
	}
	if index := row.Entry.Index; index != nil && *index >= s.sealed {
		s.later, row.Entry.Index = max(s.later, *index+1), nil
	} else if index != nil {
		s.size = max(s.size, *index+1)
	}
	return &row.Entry, "", nil
}

// Kept implements keeper. The nodes of a level must be asked for one after the other.
func (s *stored) Kept(ctx context.Context, level int, n int64) (hash audit.Hash, err error) {
	if len(s.kept[level]) == 0 {
		if s.kept[level], err = s.log.Nodes(ctx, level, n, n+pageRows); err != nil || len(s.kept[level]) == 0 {
			return hash, err
		}
	}
	hash, s.kept[level] = s.kept[level][0], s.kept[level][1:]
	return hash, nil
}

// end looks whether what was sealed beyond the last checkpoint has one by now.
func (s *stored) end(ctx context.Context) error {
	last, err := s.log.LastCheckpoint(ctx)
	switch {
	case err != nil:
		return err
	case s.later > last.Size:
		return &Problem{Fault: Forged, Index: &s.sealed, Message: fmt.Sprintf("it and what follows has no "+
			"checkpoint: %d entries are sealed, and the last checkpoint is of %d", s.later, last.Size)}
	}
	return io.EOF
}

// maxLine is more than an entry has bytes: it holds one call.
const maxLine = 16 << 20

// FromExport reads an export, as 'pawl audit export' writes it.
func FromExport(r io.Reader) Source {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<20), maxLine)
	return &exported{lines: lines}
}

// Lines are read up to so many, or so many bytes, at a time, and then parsed on all processors.
const (
	batchLines = 512
	batchBytes = 4 << 20
)

type exported struct {
	lines *bufio.Scanner
	line  int64    // the number of the last line that was read
	batch []parsed // that was not given yet
}

// parsed is what a line of an export holds.
type parsed struct {
	line   int64
	text   []byte
	entry  audit.Entry
	signed string
	err    error
}

func (x *exported) Next(context.Context) (*audit.Entry, string, error) {
	if len(x.batch) == 0 {
		x.read()
	}
	if len(x.batch) == 0 {
		if err := x.lines.Err(); err != nil {
			return nil, "", fmt.Errorf("after line %d: %w", x.line, err)
		}
		return nil, "", io.EOF
	}
	p := &x.batch[0]
	x.batch = x.batch[1:]
	switch {
	case p.err != nil:
		return nil, "", fmt.Errorf("line %d: %w", p.line, p.err)
	case p.signed != "":
		return nil, p.signed, nil
	}
	return &p.entry, "", nil
}

func (x *exported) read() {
	x.batch = make([]parsed, 0, batchLines)
	for held := 0; len(x.batch) < batchLines && held < batchBytes && x.lines.Scan(); {
		x.line++
		if text := bytes.Clone(x.lines.Bytes()); len(text) > 0 {
			held += len(text)
			x.batch = append(x.batch, parsed{line: x.line, text: text})
		}
	}
	var parsing sync.WaitGroup
	share := len(x.batch)/runtime.GOMAXPROCS(0) + 1
	for some := range slices.Chunk(x.batch, share) {
		parsing.Go(func() {
			for i := range some {
				p := &some[i]
				p.entry, p.signed, p.err = audit.ReadExport(p.text)
				p.text = nil
			}
		})
	}
	parsing.Wait()
}

// State is the last checkpoint that a verifier saw of each log, by the log's name.
type State map[string]string

// ReadState reads the file of a State; one that is not there yet is empty.
func ReadState(path string) (s State, err error) {
	doc, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err == nil {
		err = json.Unmarshal(doc, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("what was seen of the log before, %s: %w", path, err)
	}
	return s, nil
}

// Write keeps a State in a file.
func (s State) Write(path string) error {
	doc, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = osfile.Replace(path, append(doc, '\n'), 0o600)
	}
	return err
}
