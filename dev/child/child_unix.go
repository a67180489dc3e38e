//go:build unix

package child

import (
	"context"
	"os"
	"syscall"
	"time"
)

func interrupt(p *os.Process) error { return p.Signal(os.Interrupt) }

// kill reaches the whole process group.
func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// Signal sends a signal to the process's group, unless the process has ended.
func (p *Process) Signal(how syscall.Signal) {
	if !p.Ended() { // else its number may be another process's by now
		_ = syscall.Kill(-p.PID(), how)
	}
}

// Pause stops the process in the middle of whatever it does. The signal arrives a moment after it
// was sent, in which a busy machine does a lot: Pause returns when the process has stopped. The
// error is ctx's.
func (p *Process) Pause(ctx context.Context) error {
	p.Signal(syscall.SIGSTOP)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !stopped(p.PID()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Resume lets a paused process go on.
func (p *Process) Resume() { p.Signal(syscall.SIGCONT) }
