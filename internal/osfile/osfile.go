// Package osfile does with files what package os does not: a lock that dies with its holder, and
// names that outlast a crash of the machine.
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
