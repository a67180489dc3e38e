package pawl

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/osfile"
)

// maxKept is the largest result that a journal keeps, in bytes. Of a larger one it keeps that there
// was one.
const maxKept = 64 << 10

// journal is what an HTTPAgent knows of one call, on its disk before it acts on it. Whoever has it open
// has a lock on it, which dies with the process: so a start that is in it is nobody else's.
type journal struct {
	file   *os.File
	path   string
	unsent bool // the report was refused, but not for good

	Start   string // start_id
	Call    string `json:",omitempty"` // the call's ID
	Digest  string `json:",omitempty"`
	Running bool   `json:",omitempty"` // from here on the tool may have run
	// Report is what there is to report; without the result, if that is too large.
	Report *approval.ReportSignal `json:",omitempty"`
}

// makeJournals readies a directory. Nobody else may read it: results are not redacted.
func makeJournals(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if osfile.OthersMayWrite(dir) {
		return fmt.Errorf("other users of this machine may write to %s", dir)
	}
	return nil
}

// openJournal opens or makes the journal of an idempotency key. It is nil if somebody has it open.
func openJournal(dir, key string) (*journal, error) {
	sum := sha256.Sum256([]byte(key))
	path := filepath.Join(dir, hex.EncodeToString(sum[:])+".json")
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = osfile.Lock(f)
		if errors.Is(err, osfile.ErrHeld) {
			return nil, f.Close()
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		// Its holder may have removed it just before it let it go.
		here, err := os.Stat(path)
		held, heldErr := f.Stat()
		if err != nil || heldErr != nil || !os.SameFile(here, held) {
			if err := f.Close(); err != nil {
				return nil, err
			}
			continue
		}
		j := &journal{file: f, path: path}
		if err := j.read(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return j, nil
	}
}

// read takes up what an earlier process has written. A journal that was cut short by a crash was never
// acted on.
func (j *journal) read() error {
	doc, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	for _, line := range slices.Backward(slices.Collect(bytes.Lines(doc))) {
		var last journal
		whole := bytes.HasSuffix(line, []byte("\n")) // else it was cut short
		if whole && json.Unmarshal(line, &last) == nil && last.Start != "" {
			last.file, last.path = j.file, j.path
			*j = last
			return nil
		}
	}
	j.Start = rand.Text()
	if err := j.write(); err != nil {
		return err
	}
	return osfile.SyncDir(filepath.Dir(j.path))
}

// write adds a line, which is on the disk when it returns.
func (j *journal) write() error {
	kept := *j
	if r := j.Report; r != nil && len(r.Result) > maxKept {
		small := *r
		sum := sha256.Sum256(r.Result)
		small.Result, small.ResultDigest, small.ResultSize = nil, hex.EncodeToString(sum[:]), int64(len(r.Result))
		kept.Report = &small
	}
	doc, err := json.Marshal(&kept)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(doc, '\n')); err != nil {
		return err
	}
	return j.file.Sync()
}

// close lets the journal go. It stays for a process that comes back, if the call goes on and can be
// found again.
func (j *journal) close(done, lasting bool) {
	if done || !lasting {
		_ = os.Remove(j.path) // what stays is found ended
	}
	_ = j.file.Close()
}
