//go:build unix

package codec

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/pawlhq/pawl/internal/osfile"
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
func lock(path string) (*os.File, error) { return osfile.OpenLocked(path, os.O_RDONLY, osfile.Wait) }
