package temporal

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile takes an exclusive lock that dies with its holder. It answers errHeld if another open
// file, of this process or any other, has it.
func lockFile(f *os.File) error {
	// Windows locks are mandatory: a byte far behind the content leaves the holder's process
	// number readable for the error message.
	at := windows.Overlapped{OffsetHigh: 1}
	err := windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errHeld
	}
	return err
}

// syncDir does nothing: Windows cannot flush a directory, NTFS journals the rename.
func syncDir(string) error { return nil }
