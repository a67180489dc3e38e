// Package child runs programs that end with this one: they are asked to when
// it is done with them, and by the kernel (on Linux) when it is killed.
package child

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Grace is how long a process that was asked to end may take: pawl-dev lets
// running tools end first.
const Grace = 30 * time.Second

// Options say what to run.
type Options struct {
	Path   string    // required
	Args   []string  // default: none
	Dir    string    // default: this process's
	Env    []string  // default: this process's
	Stderr io.Writer // default: this process's
}

// Process is a child.
type Process struct {
	Lines <-chan string   // its standard output; must be read until it is closed
	Done  <-chan struct{} // closed when it has ended

	cmd *exec.Cmd
	err error
}

// Start starts a program. Ctrl-C in a terminal does not reach it: End does.
func Start(o Options) (*Process, error) {
	cmd := exec.Command(o.Path, o.Args...)
	cmd.Dir, cmd.Env, cmd.Stderr = o.Dir, o.Env, o.Stderr
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	// A terminal sends Ctrl-C to all processes of a group. Children are asked
	// by this one, in the right order, so they are not in its group.
	cmd.SysProcAttr = apart()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines, done := make(chan string), make(chan struct{})
	p := &Process{Lines: lines, Done: done, cmd: cmd}
	go p.read(out, lines, done)
	return p, nil
}

func (p *Process) read(out io.Reader, lines chan<- string, done chan<- struct{}) {
	for s := bufio.NewScanner(out); s.Scan(); {
		lines <- s.Text()
	}
	_, _ = io.Copy(io.Discard, out) // after a line that was too long
	close(lines)
	p.err = p.cmd.Wait()
	close(done)
}

// PID is its process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Name is that of its program.
func (p *Process) Name() string { return filepath.Base(p.cmd.Path) }

// Err says how it ended. It blocks until it has.
func (p *Process) Err() error {
	<-p.Done
	return p.err
}

// End asks the process to end and returns when it has. It is killed when hard
// ends, or after Grace, which is reported.
func (p *Process) End(hard context.Context) (killed bool) {
	select {
	case <-p.Done:
		return false
	default:
	}
	_ = interrupt(p.cmd.Process) // fails only if it has ended just now
	timer := time.NewTimer(Grace)
	defer timer.Stop()
	select {
	case <-p.Done:
		return false
	case <-hard.Done():
	case <-timer.C:
		killed = true
	}
	_ = p.cmd.Process.Kill() // as above
	<-p.Done
	return killed
}
