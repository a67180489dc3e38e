package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pawlhq/pawl/internal/osfile"
)

// maxFile is more than maxKeys keys need, in bytes.
const maxFile = 1 << 20

// Load reads a keyring's file. It refuses one that others may read: anybody but its owner, or,
// where the file belongs to another user than this process (a mounted secret), anybody beyond its
// group.
func Load(path string) (*Keyring, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	r, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", path, err)
	}
	return r, nil
}

func read(path string) ([]byte, error) {
	// Opening a pipe would wait for its writer.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("keyring %s: it is not a regular file", path)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("keyring: %w; 'pawl keyring new' makes one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	defer f.Close()
	return readOpen(f, path)
}

func readOpen(f *os.File, path string) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	if err := private(info); err != nil {
		return nil, fmt.Errorf("keyring %s: %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("keyring: %w", err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("keyring %s: it is larger than %d bytes", path, maxFile)
	}
	return text, nil
}

// Create makes a keyring with one key, in a file that only its owner may read. It never replaces a
// file that is there: fs.ErrExist. With readPlain the keyring reads what was written before
// encryption was switched on.
func Create(path string, readPlain bool) (*Keyring, error) {
	k := newKey(time.Now())
	d := &document{Active: k.ID, Plain: plainWord(readPlain), Keys: []documentKey{k}}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	// Nobody has used the key yet, so half a file may go.
	if err := errors.Join(fill(f, d), osfile.SyncDir(filepath.Dir(path))); err != nil {
		return nil, fmt.Errorf("keyring: %w", errors.Join(err, os.Remove(path)))
	}
	return d.keyring()
}

// Add puts a new key into a keyring's file. Payloads are written with it only once it is active:
// first every process has to have it.
func Add(path string, activate bool) (Key, error) {
	k := newKey(time.Now())
	err := update(path, func(d *document) error {
		d.Keys = append(d.Keys, k)
		if activate {
			d.Active = k.ID
		}
		return nil
	})
	return Key{ID: k.ID, Created: k.Created, Active: activate}, err
}

// Activate makes a key of the file, named by its ID or the beginning of that, the one that payloads
// are written with. It returns the key's whole ID.
func Activate(path, id string) (string, error) {
	err := update(path, func(d *document) error {
		i, err := d.find(id)
		if err == nil {
			id = d.Keys[i].ID
			d.Active = id
		}
		return err
	})
	return id, err
}

// Forget takes a key out of the file; named as for Activate. What was written with it can't be read
// any more. The active key stays.
func Forget(path, id string) (string, error) {
	err := update(path, func(d *document) error {
		i, err := d.find(id)
		if err != nil {
			return err
		}
		if id = d.Keys[i].ID; id == d.Active {
			return fmt.Errorf("the key %s is the active one: activate another first", id)
		}
		d.Keys = append(d.Keys[:i], d.Keys[i+1:]...)
		return nil
	})
	return id, err
}

// SetPlain says whether payloads that are not encrypted are read.
func SetPlain(path string, read bool) error {
	return update(path, func(d *document) error {
		d.Plain = plainWord(read)
		return nil
	})
}

func plainWord(read bool) string {
	if read {
		return plainRead
	}
	return plainRefuse
}

// update changes a keyring's file, from one whole state to the next: a crash leaves one of the two.
// Who changes it at the same time waits.
func update(path string, change func(*document) error) error {
	path, err := filepath.EvalSymlinks(path) // the file is replaced, not a link to it
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	old, err := lock(path)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	defer old.Close() // and with it the lock
	text, err := readOpen(old, path)
	if err != nil {
		return err
	}
	d, err := parse(text)
	if err == nil {
		_, err = d.keyring()
	}
	if err == nil {
		err = change(d)
	}
	if err == nil {
		_, err = d.keyring()
	}
	if err != nil {
		return fmt.Errorf("keyring %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".keyring-*") // for its owner alone
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	if err := fill(f, d); err != nil {
		return fmt.Errorf("keyring: %w", errors.Join(err, os.Remove(f.Name())))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("keyring: %w", errors.Join(err, os.Remove(f.Name())))
	}
	if err := osfile.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("keyring: it was changed, but a crash of the machine may undo that: %w", err)
	}
	return nil
}

// fill writes, flushes and closes a file.
func fill(f *os.File, d *document) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	err := enc.Encode(d)
	if err == nil {
		_, err = f.Write(text.Bytes())
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
