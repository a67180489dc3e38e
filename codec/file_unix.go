//go:build unix

package codec

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// private refuses a file that others may read. Like ssh it lets the group of a file alone that
// belongs to somebody else: so secrets are mounted.
func private(info fs.FileInfo) error {
	mode := info.Mode().Perm()
	owner, ok := info.Sys().(*syscall.Stat_t)
	ours := !ok || int(owner.Uid) == os.Geteuid()
	if mode&0o007 != 0 || ours && mode&0o070 != 0 {
		return fmt.Errorf("its mode is %04o, so others may read the keys: chmod 600 it", mode)
	}
	return nil
}

// lock opens a file and waits until nobody else holds its lock. Closing it gives the lock up.
func lock(path string) (*os.File, error) {
	for {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
		ours, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		// Whoever held the lock has put another file there.
		if there, err := os.Stat(path); err == nil && os.SameFile(ours, there) {
			return f, nil
		}
		f.Close()
	}
}
