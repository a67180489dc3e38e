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
func Lock(f *os.File) error { return flock(f, syscall.LOCK_EX|syscall.LOCK_NB) }

// Wait is Lock, once its holder gives it up.
func Wait(f *os.File) error { return flock(f, syscall.LOCK_EX) }

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrHeld
		}
		return err
	}
}
