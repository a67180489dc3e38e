//go:build !windows

package mcp

import (
	"os"
	"os/exec"
	"syscall"
)

// together makes one group of the processes that a server will have: npx and shells start the server
// itself as a process of their own, which goes on when they end.
func together(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// terminate asks a server's processes to end.
func terminate(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGTERM) }

// kill ends a server's processes.
func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
