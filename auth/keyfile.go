package auth

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/internal/osfile"
)

// A signing key's private half is kept in PEM, PKCS #8, as `openssl genpkey -algorithm ed25519`
// writes it.
const (
	pemType    = "PRIVATE KEY"
	maxKeyFile = 16 << 10
)

// readKeyFile reads a key that nobody but its owner can read. Its errors hold nothing of the file.
func readKeyFile(path string) (sign.Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return sign.Key{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return sign.Key{}, err
	case !info.Mode().IsRegular():
		return sign.Key{}, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows": // which has other rights
		return sign.Key{}, fmt.Errorf("%s can be used by others than its owner (mode %04o), "+
			"so whoever could read it may sign decisions: replace the key, or, if nobody could, run chmod 600",
			path, info.Mode().Perm())
	}
	doc, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return sign.Key{}, err
	}
	block, rest := pem.Decode(doc)
	single := block != nil && block.Type == pemType && len(block.Headers) == 0 && len(rest) == 0
	if len(doc) > maxKeyFile || !single {
		return sign.Key{}, fmt.Errorf(
			"%s does not hold one private key in PEM (-----BEGIN %s-----) and nothing else", path, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return sign.Key{}, fmt.Errorf("%s does not hold an Ed25519 key: "+
			"make one with openssl genpkey -algorithm ed25519, or name a file that is not there yet", path)
	}
	return sign.KeyOf(private)
}

// writeKeyFile writes a key beside the file that is to hold it, and returns where. It is on disk
// then.
func writeKeyFile(path string, k sign.Key) (beside string, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.Private())
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

// loadKeyFile reads the key, or makes one if the file is not there. Of several processes that do so
// at once, all get the one that is there in the end.
func loadKeyFile(path string) (k sign.Key, made bool, err error) {
	if k, err = readKeyFile(path); !errors.Is(err, fs.ErrNotExist) {
		return k, false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return sign.Key{}, false, err
	}
	if k, err = sign.NewKey(); err != nil {
		return sign.Key{}, false, err
	}
	beside, err := writeKeyFile(path, k)
	if err != nil {
		return sign.Key{}, false, err
	}
	// A link, unlike a rename, never takes the place of another's key.
	if err = os.Link(beside, path); errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err = errors.Join(err, os.Remove(beside), osfile.SyncDir(filepath.Dir(path))); err != nil {
		return sign.Key{}, false, err
	}
	there, err := readKeyFile(path)
	return there, err == nil && there.ID() == k.ID(), err
}
