package e2e_test

import "syscall"

// crashChild gives a process a group of its own; the kernel kills it should
// the test die.
func crashChild() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
