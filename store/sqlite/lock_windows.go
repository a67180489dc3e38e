package sqlite

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile takes an exclusive lock that the kernel releases when its holder
// dies. It answers errHeld if another open file, of this process or any
// other, has the lock.
func lockFile(f *os.File) error {
	// Windows locks are mandatory: a byte far behind the content leaves the
	// holder's process number readable.
	at := windows.Overlapped{OffsetHigh: 1}
	err := windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errHeld
	}
	return err
}

// syncDir does nothing: Windows can't flush a folder, and NTFS journals names.
func syncDir(string) error { return nil }
