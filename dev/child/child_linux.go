package child

import (
	"os"
	"syscall"
)

// apart puts a child into a process group of its own. It is asked to end too
// when this process is killed. The kernel watches the thread that started the
// child; threads of a Go program last as long as it does, unless a goroutine
// that is locked to one ends, and there is none here.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

func interrupt(p *os.Process) error { return p.Signal(os.Interrupt) }
