package hook

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/osfile"
)

// keptFor is how long a session's folder may lie there unused: the host was killed.
const keptFor = 30 * 24 * time.Hour

// record is what is known of one tool call between two processes of the hook. Whoever has it open
// has a lock on it.
type record struct {
	file *osfile.Journal

	Use   string // the host's ID of the call; another one when the model tries again
	Alike string // hash of tool and arguments
	Start string // start_id
	Call  string `json:",omitempty"` // the call's ID at Pawl
	// Answered: from here on the host may run the tool.
	Answered bool `json:",omitempty"`
	Deferred bool `json:",omitempty"` // the host holds the call, and fires again for the same Use
	// Report is what there is to report.
	Report *approval.ReportSignal `json:",omitempty"`
}

// write adds what is known to the file; it is on the disk when it returns.
func (r *record) write() error { return r.file.Append(r) }

// key is the idempotency key of the call that the record is for. It tells calls apart that differ
// in more than tool and arguments, such as the subagent that asks.
func (r *record) key(call approval.Call) (string, error) {
	sum, err := call.Fingerprint()
	return hash("key", r.Start, sum), err
}

// close lets the record go: to another process, or for ever.
func (r *record) close(done bool) {
	if done {
		_ = r.file.Remove() // one that stays is of no consequence: its Use is never seen again
		return
	}
	_ = r.file.Close()
}

// session is the folder with the records of one session of the host.
type session string

func (h *ClaudeCode) session(id string) session {
	return session(filepath.Join(h.o.Dir, hash(id)[:32]))
}

// all calls do with each record as it is now, until that says no. What can't be read was cut short
// before anything was done by it.
func (s session) all(do func(path string, r *record) (more bool)) error {
	names, err := os.ReadDir(string(s))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		path := filepath.Join(string(s), name.Name())
		if filepath.Ext(path) != ".json" {
			continue
		}
		doc, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if r, ok := osfile.LastLine(doc, started); ok && !do(path, &r) {
			return nil
		}
	}
	return nil
}

func started(doc []byte) (r record, ok bool) {
	err := json.Unmarshal(doc, &r)
	return r, err == nil && r.Start != ""
}

// find takes the first record that wanted says yes to and that no other process has open. It is nil
// where there is none.
func (s session) find(wanted func(*record) bool) (found *record, err error) {
	failed := s.all(func(path string, r *record) bool {
		if !wanted(r) {
			return true
		}
		found, err = reopen(path, wanted)
		return found == nil && err == nil
	})
	return found, errors.Join(err, failed)
}

func reopen(path string, wanted func(*record) bool) (*record, error) {
	file, err := osfile.OpenJournal(path, 0)
	if errors.Is(err, osfile.ErrHeld) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	doc, err := file.Read()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r, ok := osfile.LastLine(doc, started)
	if r.file = file; ok && wanted(&r) {
		return &r, nil
	}
	return nil, file.Close()
}

// open makes a new record.
func (s session) open(use, alike string) (*record, error) {
	for _, dir := range []string{filepath.Dir(string(s)), string(s)} {
		if err := osfile.PrivateDir(dir); err != nil {
			return nil, err
		}
	}
	name := filepath.Join(string(s), rand.Text()+".json")
	file, err := osfile.OpenJournal(name, os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	r := &record{file: file, Use: use, Alike: alike, Start: rand.Text()}
	if err := errors.Join(r.write(), file.SyncName()); err != nil {
		return nil, errors.Join(err, file.Remove())
	}
	return r, nil
}

// holder is the file that names the Use of the one call that the host holds back. Only one is held
// at a time: of several the host resumes the last alone.
func (s session) holder() string { return filepath.Join(string(s), "deferred") }

// hold notes that the host is to hold this call. It reports false if it holds another one that
// still waits.
func (s session) hold(r *record) (bool, error) {
	f, err := os.OpenFile(s.holder(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := osfile.Lock(f); errors.Is(err, osfile.ErrHeld) {
		return false, nil // another process is about to
	} else if err != nil {
		return false, err
	}
	use, err := os.ReadFile(s.holder())
	if err != nil {
		return false, err
	}
	if len(use) > 0 && string(use) != r.Use && s.waits(string(use)) {
		return false, nil
	}
	if err := f.Truncate(0); err != nil {
		return false, err
	}
	if _, err := f.WriteAt([]byte(r.Use), 0); err != nil {
		return false, err
	}
	r.Deferred = true
	return true, r.write()
}

// waits reports whether a call is still held back. In doubt it is.
func (s session) waits(use string) bool {
	return s.any(func(r *record) bool { return r.Use == use && r.Deferred && !r.Answered })
}

// has reports whether there is a record of a use, also one that another process has open.
func (s session) has(use string) bool { return s.any(func(r *record) bool { return r.Use == use }) }

// any reports whether there is a record that wanted says yes to, or none can be read.
func (s session) any(wanted func(*record) bool) bool {
	found := false
	err := s.all(func(_ string, r *record) bool {
		found = found || wanted(r)
		return !found
	})
	return found || err != nil
}

// prune removes what killed hosts have left.
func (h *ClaudeCode) prune() {
	folders, err := os.ReadDir(h.o.Dir)
	if err != nil {
		return
	}
	for _, f := range folders {
		if info, err := f.Info(); err == nil && f.IsDir() && h.o.Now().Sub(info.ModTime()) > keptFor {
			_ = os.RemoveAll(filepath.Join(h.o.Dir, f.Name()))
		}
	}
}

func hash(parts ...string) string {
	sum := sha256.New()
	for _, p := range parts {
		sum.Write([]byte(p))
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil))
}
