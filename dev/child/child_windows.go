package child

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// apart puts a child into a process group of its own, which a console's Ctrl-C does not reach.
func apart(Options) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// interrupt sends Ctrl-Break, which Go programs take for os.Interrupt.
func interrupt(p *os.Process) error {
	return windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.Pid))
}

func kill(p *os.Process) { _ = p.Kill() } // fails only if it has ended
