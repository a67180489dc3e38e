//go:build unix

package osfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// Columns is how wide the terminal f is, or 0 where f is none or does not say.
func Columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
