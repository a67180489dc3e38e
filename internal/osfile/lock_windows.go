package osfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Lock takes an exclusive lock on f, without waiting. It lasts until f is closed or its holder
// dies. Another open file of the same name can't have it meanwhile, in this process or any other:
// that one gets ErrHeld.
func Lock(f *os.File) error { return lock(f, windows.LOCKFILE_FAIL_IMMEDIATELY) }

// Wait is Lock, once its holder gives it up.
func Wait(f *os.File) error { return lock(f, 0) }

func lock(f *os.File, how uint32) error {
	// Windows locks are mandatory: a byte far behind the content leaves what the holder wrote
	// readable.
	at := windows.Overlapped{OffsetHigh: 1}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|how, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrHeld
	}
	return err
}
