package codec

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/strictjson"
)

const (
	keySize = 32 // bytes: AES-256
	maxKeys = 1000
)

// Words of a keyring's "plain".
const (
	plainRefuse = "refuse" // what is not encrypted is not read
	plainRead   = "read"   // it is: for histories that began before
)

// Keyring holds the keys that payloads are read with, and the one that they are written with. It is
// a converter.PayloadCodec, never changes, and is safe for concurrent use. Nothing that prints it
// shows a key.
type Keyring struct {
	active string
	keys   []Key // oldest first
	aeads  map[string]cipher.AEAD
	plain  bool
}

// Key is what may be shown of a key.
type Key struct {
	// ID is made from the key itself, so one ID never stands for two keys.
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Active  bool      `json:"active"` // payloads are written with it
}

// document is a keyring's file.
type document struct {
	Active string        `json:"active"`
	Plain  string        `json:"plain"`
	Keys   []documentKey `json:"keys"`
}

type documentKey struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Key     []byte    `json:"key"` // base64
}

// Parse reads a keyring from the text of its file. Errors say what is wrong and hold nothing of the
// text but key IDs.
func Parse(text []byte) (*Keyring, error) {
	d, err := parse(text)
	if err != nil {
		return nil, err
	}
	return d.keyring()
}

func parse(text []byte) (*document, error) {
	var d document
	if strictjson.Decode(text, &d) != nil { // its error could quote a secret that stands where a name should
		return nil, errors.New(`it is not JSON of the form {"active": ID, "plain": "refuse", ` +
			`"keys": [{"id": ID, "created": TIME, "key": BASE64}]} and nothing else`)
	}
	return &d, nil
}

// keyring checks the document.
func (d *document) keyring() (*Keyring, error) {
	r := &Keyring{active: d.Active, plain: d.Plain == plainRead, aeads: map[string]cipher.AEAD{}}
	if d.Plain != plainRead && d.Plain != plainRefuse {
		return nil, fmt.Errorf(`"plain" must be %q, or %q while histories from before the keyring are still open`,
			plainRefuse, plainRead)
	}
	if len(d.Keys) == 0 || len(d.Keys) > maxKeys {
		return nil, fmt.Errorf("keys in it: %d; from 1 to %d are possible", len(d.Keys), maxKeys)
	}
	for i, k := range d.Keys {
		if len(k.Key) != keySize {
			return nil, fmt.Errorf("key %d has the wrong length in bytes: %d instead of %d", i+1, len(k.Key), keySize)
		}
		id := idOf(k.Key)
		switch {
		case k.ID != id:
			return nil, fmt.Errorf("key %d does not fit its ID; this one's is %s: was the file changed by hand?",
				i+1, id)
		case r.aeads[id] != nil:
			return nil, fmt.Errorf("the key %s is there twice", id)
		case k.Created.IsZero():
			return nil, fmt.Errorf("the key %s does not say when it was created", id)
		}
		aead, err := newAEAD(k.Key)
		if err != nil {
			return nil, fmt.Errorf("the key %s: %w", id, err)
		}
		r.aeads[id] = aead
		r.keys = append(r.keys, Key{ID: id, Created: k.Created, Active: id == d.Active})
	}
	if r.aeads[r.active] == nil {
		return nil, errors.New(`"active" names none of the keys, so nothing could be written`)
	}
	return r, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func newKey(now time.Time) documentKey {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // it never fails: without randomness the process ends
	return documentKey{ID: idOf(key), Created: now.UTC().Truncate(time.Second), Key: key}
}

// idOf is a key's ID: 80 bits of a hash, which say nothing about a random key.
func idOf(key []byte) string {
	sum := sha256.Sum256(append([]byte("pawl payload key\n"), key...))
	return "pk-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// find returns the place of the one key whose ID is id or begins with it.
func (d *document) find(id string) (int, error) {
	found := -1
	for i, k := range d.Keys {
		switch {
		case k.ID == id:
			return i, nil
		case id == "" || !strings.HasPrefix(k.ID, id):
		case found >= 0:
			return 0, fmt.Errorf("several keys have IDs that begin with %q", id)
		default:
			found = i
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("the keyring has no key %q", id)
	}
	return found, nil
}

// Keys lists the keys, in the order of the file: oldest first.
func (r *Keyring) Keys() []Key { return slices.Clone(r.keys) }

// Active is the key that payloads are written with.
func (r *Keyring) Active() Key {
	return r.keys[slices.IndexFunc(r.keys, func(k Key) bool { return k.Active })]
}

// ReadsPlain reports whether payloads that are not encrypted are read.
func (r *Keyring) ReadsPlain() bool { return r.plain }

// Format prints no key, whatever the verb.
func (r *Keyring) Format(f fmt.State, _ rune) {
	if r == nil {
		fmt.Fprint(f, "no keyring")
		return
	}
	fmt.Fprintf(f, "keyring (keys: %d, active %s)", len(r.keys), r.active)
}

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
func Add(path string, activate bool) error {
	k := newKey(time.Now())
	return update(path, func(d *document) error {
		d.Keys = append(d.Keys, k)
		if activate {
			d.Active = k.ID
		}
		return nil
	})
}

// Activate makes a key of the file, named by its ID or the beginning of that, the one that payloads
// are written with.
func Activate(path, id string) error {
	return update(path, func(d *document) error {
		i, err := d.find(id)
		if err == nil {
			d.Active = d.Keys[i].ID
		}
		return err
	})
}

// Forget takes a key out of the file; named as for Activate. What was written with it can't be read
// any more. The active key stays.
func Forget(path, id string) error {
	return update(path, func(d *document) error {
		i, err := d.find(id)
		if err != nil {
			return err
		}
		if d.Keys[i].ID == d.Active {
			return fmt.Errorf("the key %s is the active one: activate another first", d.Active)
		}
		d.Keys = append(d.Keys[:i], d.Keys[i+1:]...)
		return nil
	})
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
