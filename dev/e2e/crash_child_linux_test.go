package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// crashChild gives a process a group of its own; the kernel kills it should
// the test die.
func crashChild() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// crashStands reports whether all threads of a process stand still, or are
// gone.
func crashStands(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false
	}
	for _, name := range threads {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		state := stat[bytes.LastIndexByte(stat, ')')+1:]
		if !bytes.ContainsAny(state[:min(2, len(state))], "TZX") {
			return false
		}
	}
	return true
}
