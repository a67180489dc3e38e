package child

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// apart puts a child into a process group of its own. A terminal sends Ctrl-C to all processes of a
// group; children are asked by this process instead, in the right order.
func apart(o Options) *syscall.SysProcAttr {
	onDeath := syscall.SIGTERM
	if o.Kill {
		onDeath = syscall.SIGKILL
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: onDeath}
}

// stopped reports whether all threads of a process are stopped or gone.
func stopped(pid int) bool {
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
