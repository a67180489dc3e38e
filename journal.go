package pawl

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/osfile"
)

// maxKept is the largest result that a journal keeps, in bytes. Of a larger one it keeps that there
// was one.
const maxKept = 64 << 10

// journal is what an HTTPAgent knows of one call, on its disk before it acts on it. Whoever has it open
// has a lock on it, which dies with the process: so a start that is in it is nobody else's.
type journal struct {
	file   *osfile.Journal
	unsent bool // what is in it is still to be reported

	Start   string // start_id
	Call    string `json:",omitempty"` // the call's ID
	Digest  string `json:",omitempty"`
	Running bool   `json:",omitempty"` // from here on the tool may have run
	// Asked is a digest of tool and arguments. Journals of earlier versions have none.
	Asked string `json:",omitempty"`
	// Report is what there is to report; without the result, if that is too large.
	Report *approval.ReportSignal `json:",omitempty"`
}

// openJournal opens or makes the journal of an idempotency key. It is nil if somebody has it open.
func openJournal(dir, key string) (*journal, error) {
	sum := sha256.Sum256([]byte(key))
	file, err := osfile.OpenJournal(filepath.Join(dir, hex.EncodeToString(sum[:])+".json"), os.O_CREATE)
	if errors.Is(err, osfile.ErrHeld) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	j := &journal{file: file}
	if err := j.read(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

// read takes up what an earlier process has written.
func (j *journal) read() error {
	doc, err := j.file.Read()
	if err != nil {
		return err
	}
	last, found := osfile.LastLine(doc, func(line []byte) (last journal, ok bool) {
		err := json.Unmarshal(line, &last)
		return last, err == nil && last.Start != ""
	})
	if found {
		last.file = j.file
		*j = last
		return nil
	}
	j.Start = rand.Text()
	if err := j.write(); err != nil {
		return err
	}
	return j.file.SyncName()
}

// take notes what is asked for now. Once the tool may have run, nobody asks Pawl any more whether the key
// is another call's: what that one did stays for it.
func (j *journal) take(asked string) error {
	if !j.Running {
		j.Asked = asked
		return nil
	}
	if j.Asked == "" || j.Asked == asked {
		return nil
	}
	j.unsent = true
	return callError(j.Call, calls.ErrConflict)
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
	return j.file.Append(&kept)
}

// close lets the journal go. It stays for a process that comes back, if the call goes on and can be
// found again.
func (j *journal) close(done, lasting bool) {
	if done || !lasting {
		_ = j.file.Remove() // what stays is found ended
		return
	}
	_ = j.file.Close()
}
