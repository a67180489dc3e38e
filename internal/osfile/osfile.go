// Package osfile does with files what package os does not: a lock that dies with its holder, names
// that outlast a crash of the machine, and how wide a terminal is.
package osfile

import (
	"errors"
	"os"
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
