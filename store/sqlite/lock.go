package sqlite

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/store/backend"
)

// lockSuffix is added to the store's path. The lock can't be on the file itself: closing any
// descriptor of that file would drop the POSIX locks SQLite holds on it in this process.
const lockSuffix = ".lock"

// own makes this handle the store's one writer.
func own(path string) (*os.File, error) {
	name := path + lockSuffix
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, backend.Errorf("store %s: take the lock: %w: Pawl must be able to write to the folder",
			path, err)
	}
	if err := osfile.Lock(f); err != nil {
		_ = f.Close()
		if errors.Is(err, osfile.ErrHeld) {
			return nil, backend.Errorf("store %s: %w%s (lock file %s): stop it, or use another file",
				path, ErrOwned, holder(name), name)
		}
		return nil, backend.Errorf("store %s: lock %s: %w", path, name, err)
	}
	// The number is only a hint for the message above; the lock is the kernel's.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// holder reads who wrote the lock file last. It may be anything, so only a number is believed.
func holder(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", process %d", pid)
}
