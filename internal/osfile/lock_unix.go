//go:build unix

package osfile

import (
	"errors"
	"os"
	"syscall"
)

// Lock takes an exclusive lock on f, without waiting. It lasts until f is closed or its holder
// dies. Another open file of the same name can't have it meanwhile, in this process or any other:
// that one gets ErrHeld.
func Lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrHeld
		}
		return err
	}
}
