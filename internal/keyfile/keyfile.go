// Package keyfile keeps private Ed25519 keys in files: in PEM, PKCS #8, as `openssl genpkey -algorithm
// ed25519` writes it, and readable by nobody but their owner.
package keyfile

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/pawlhq/pawl/internal/osfile"
)

const (
	pemType = "PRIVATE KEY"
	maxFile = 16 << 10
)

// Read reads a key that nobody but its owner can read. Its errors hold nothing of the file.
func Read(path string) (ed25519.PrivateKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows": // which has other rights
		return nil, fmt.Errorf("%s can be used by others than its owner (mode %04o), "+
			"so whoever could read it may sign as Pawl does: replace the key, or, if nobody could, run chmod 600",
			path, info.Mode().Perm())
	}
	doc, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(doc)
	single := block != nil && block.Type == pemType && len(block.Headers) == 0 && len(rest) == 0
	if len(doc) > maxFile || !single {
		return nil, fmt.Errorf(
			"%s does not hold one private key in PEM (-----BEGIN %s-----) and nothing else", path, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s does not hold an Ed25519 key: "+
			"make one with openssl genpkey -algorithm ed25519, or name a file that is not there yet", path)
	}
	return private, nil
}

// Write writes a key beside the file that is to hold it, and returns where. It is on disk then.
func Write(path string, key ed25519.PrivateKey) (beside string, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return "", err
	}
	err = pem.Encode(f, &pem.Block{Type: pemType, Bytes: der})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// Load reads the key, or makes one if the file is not there. Of several processes that do so at once,
// all get the one that is there in the end.
func Load(path string) (key ed25519.PrivateKey, err error) {
	if key, err = Read(path); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if _, key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	beside, err := Write(path, key)
	if err != nil {
		return nil, err
	}
	// A link, unlike a rename, never takes the place of another's key.
	if err = os.Link(beside, path); errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err = errors.Join(err, os.Remove(beside), osfile.SyncDir(filepath.Dir(path))); err != nil {
		return nil, err
	}
	return Read(path)
}
