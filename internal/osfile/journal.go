package osfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Journal is a file of JSON documents, a line each, of which the last whole one counts: one that a crash
// has cut short was never acted on. Whoever has it open has a lock on it, which dies with the process.
type Journal struct {
	file *os.File
	path string
}

// PrivateDir makes a folder for journals, if it is missing. Nobody else may read it, or write there.
func PrivateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if OthersMayWrite(dir) {
		return fmt.Errorf("other users of this machine may write to %s", dir)
	}
	return nil
}

// OpenJournal opens a journal, or makes one with flag os.O_CREATE. Errors: ErrHeld where somebody has it
// open.
func OpenJournal(path string, flag int) (*Journal, error) {
	f, err := OpenLocked(path, os.O_RDWR|flag, Lock)
	if err != nil {
		return nil, err
	}
	return &Journal{file: f, path: path}, nil
}

// Read returns all that is in the journal. Append goes on behind it.
func (j *Journal) Read() ([]byte, error) { return io.ReadAll(j.file) }

// LastLine is the last whole line of a journal that accept takes.
func LastLine[T any](doc []byte, accept func(line []byte) (T, bool)) (last T, found bool) {
	for _, line := range slices.Backward(slices.Collect(bytes.Lines(doc))) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		if last, found = accept(line); found {
			return last, true
		}
	}
	return last, false
}

// Append adds a document, which is on the disk when it returns. It begins a line: what a crash or a full
// disk has cut short before it has no end.
func (j *Journal) Append(v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(slices.Concat([]byte("\n"), doc, []byte("\n"))); err != nil {
		return err
	}
	return j.file.Sync()
}

// SyncName makes the name of a new journal outlast a crash of the machine.
func (j *Journal) SyncName() error { return SyncDir(filepath.Dir(j.path)) }

// Remove removes the journal and lets it go.
func (j *Journal) Remove() error {
	err := os.Remove(j.path)
	closed := j.Close()
	if err != nil { // Windows removes no open file
		err = os.Remove(j.path)
	}
	return errors.Join(err, closed)
}

// Close lets the journal go.
func (j *Journal) Close() error { return j.file.Close() }
