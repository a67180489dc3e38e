// Package osfile does with files what package os does not: a lock that dies with its holder, names
// that outlast a crash of the machine, and how wide a terminal is.
package osfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// ErrHeld is what Lock returns where somebody else has the lock.
var ErrHeld = errors.New("the lock is held")

// SyncDir makes names that were made, changed or removed in dir outlast a crash of the machine. On
// Windows, which can't flush a folder, it does nothing: NTFS journals names.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// OthersMayWrite reports whether every user of the machine may change a file, or what is in a
// folder. On Windows, and where that is not known, it says no.
func OthersMayWrite(path string) bool {
	info, err := os.Stat(path)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0
}

// Replace writes a file whole or not at all: whoever reads it meanwhile, or after a crash, finds the old
// text or the new one. A link is followed. A file that exists keeps its permissions.
func Replace(path string, doc []byte, perm os.FileMode) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if info, err := os.Stat(path); err == nil {
		perm = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no use once it is renamed
	_, err = f.Write(doc)
	err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return errors.Join(err, SyncDir(filepath.Dir(path)))
}

// OpenLocked opens a file and takes its lock by lock, which is given up when the file is closed. The file
// is the one that has the name then: whoever held the lock before may have removed or replaced it.
func OpenLocked(path string, flag int, lock func(*os.File) error) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, flag, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lock(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		here, err := os.Stat(path)
		held, heldErr := f.Stat()
		if err == nil && heldErr == nil && os.SameFile(here, held) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}
