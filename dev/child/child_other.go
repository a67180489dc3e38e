//go:build unix && !linux

package child

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// apart puts a child into a process group of its own.
func apart(Options) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// stopped reports whether a process is stopped or gone.
func stopped(pid int) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err != nil || strings.ContainsAny(string(state), "TZ")
}
