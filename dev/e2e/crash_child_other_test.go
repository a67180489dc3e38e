//go:build unix && !linux

package e2e_test

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

func crashChild() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// crashStands reports whether a process stands still, or is gone.
func crashStands(pid int) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err != nil || strings.ContainsAny(string(state), "TZ")
}
