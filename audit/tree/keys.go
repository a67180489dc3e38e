package tree

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/pawlhq/pawl/internal/keyfile"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrKey: none of the keys that are here has signed the log's last checkpoint.
var ErrKey = errors.New("the audit log was sealed with another key than the ones that are here")

// Keys sign checkpoints; every one of them signs each. While a key is replaced, there are two.
type Keys []ed25519.PrivateKey

// OpenKeys reads the keys in files. The first one is made if it is not there, unless the log has been
// sealed before: that is ErrKey.
func OpenKeys(ctx context.Context, log store.LogReader, files ...string) (keys Keys, err error) {
	for i, file := range files {
		key, err := keyfile.Read(file)
		if errors.Is(err, fs.ErrNotExist) && i == 0 {
			last, lookErr := log.LastCheckpoint(ctx)
			switch {
			case lookErr != nil:
				return nil, lookErr
			case last.Size > 0:
				return nil, fmt.Errorf("log key: %w: %s is missing; copy it from the process that has it", ErrKey, file)
			}
			key, err = keyfile.Load(file)
		}
		if err != nil {
			return nil, fmt.Errorf("log key: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Verifiers are the public halves as https://c2sp.org/signed-note writes them, for a log of some
// origin: its name is the keys', too.
func (k Keys) Verifiers(origin string) (encoded []string, err error) {
	for _, key := range k {
		text, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
		if err != nil {
			return nil, fmt.Errorf("the name %q of the log: %w", origin, err)
		}
		encoded = append(encoded, text)
	}
	return encoded, nil
}

// Known are the public halves, for reading checkpoints of a log with some origin.
func (k Keys) Known(origin string) (note.Verifiers, error) {
	list, err := k.verifiers(origin)
	return note.VerifierList(list...), err
}

func (k Keys) verifiers(origin string) (list []note.Verifier, err error) {
	encoded, err := k.Verifiers(origin)
	for _, text := range encoded {
		v, err := note.NewVerifier(text)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, err
}

// sign signs the state of a log.
func (k Keys) sign(origin string, t tlog.Tree) (string, error) {
	public, err := k.verifiers(origin)
	if err != nil {
		return "", err
	}
	var signers []note.Signer
	for i, v := range public {
		signers = append(signers, signer{v, k[i]})
	}
	signed, err := note.Sign(&note.Note{Text: Text(origin, t)}, signers...)
	return string(signed), err
}

// signer is a note.Signer with a key that has no name of its own.
type signer struct {
	note.Verifier
	key ed25519.PrivateKey
}

func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// Open reads a signed checkpoint. One of the keys must have signed it; what others signed, witnesses
// for instance, does not matter.
func Open(signed string, known note.Verifiers) (origin string, t tlog.Tree, err error) {
	n, err := note.Open([]byte(signed), known)
	if err != nil {
		return "", t, err
	}
	origin, t, err = ParseText(n.Text)
	if err == nil && slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name != origin }) {
		err = fmt.Errorf("it is of the log %q, and the key that signed it is of another one", origin)
	}
	return origin, t, err
}

// AnyName are public keys under whatever name a log has or had: who renames a log keeps its key. It is
// a note.Verifiers.
type AnyName []ed25519.PublicKey

// Verifier implements note.Verifiers.
func (keys AnyName) Verifier(name string, hash uint32) (note.Verifier, error) {
	for _, key := range keys {
		text, err := note.NewEd25519VerifierKey(name, key)
		if err != nil {
			break
		}
		if v, err := note.NewVerifier(text); err == nil && v.KeyHash() == hash {
			return v, nil
		}
	}
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

// Public are the public halves.
func (k Keys) Public() (public AnyName) {
	for _, key := range k {
		public = append(public, key.Public().(ed25519.PublicKey))
	}
	return public
}

// open is Open for a log of any name.
func (k Keys) open(signed string) (origin string, t tlog.Tree, err error) {
	origin, t, err = Open(signed, k.Public())
	if errors.As(err, new(*note.UnverifiedNoteError)) {
		err = ErrKey
	}
	return origin, t, err
}
