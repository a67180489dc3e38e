// Package child runs programs that end with this one: they are asked to when it is done with them,
// and by the kernel (on Linux) when it is killed. Everything of dev that runs Pawl's programs as
// processes of their own does so by this package.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// Grace is how long a process that was asked to end may take: pawl-dev lets running tools end
// first.
const Grace = 30 * time.Second

// Options say how to run a child.
type Options struct {
	// Kill: should this process die, the kernel kills the child. Default: the kernel asks it to end.
	Kill bool
}

// Process is a child. Its methods may be called at the same time.
type Process struct {
	Done <-chan struct{} // closed when it has ended
	// Log keeps what it wrote last to standard error. Nil if the command says where that goes.
	Log *Tail

	cmd   *exec.Cmd
	first chan string // the first line of standard output
	err   error
}

// Start starts a command, in a process group of its own: Ctrl-C in a terminal does not reach it,
// End does. What it writes to standard output is for Ready, unless the command says where that
// goes.
func Start(cmd *exec.Cmd, o Options) (*Process, error) {
	done, started := make(chan struct{}), make(chan error)
	p := &Process{Done: done, cmd: cmd, first: make(chan string, 1)}
	if cmd.Stderr == nil {
		p.Log = &Tail{}
		cmd.Stderr = p.Log
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = apart(o)
	}
	var out io.Reader
	if cmd.Stdout == nil {
		var err error
		if out, err = cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	go func() {
		// A child that ends with its parent ends with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		if out != nil {
			p.read(out)
		}
		p.err = cmd.Wait()
		close(done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Process) read(out io.Reader) {
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err == nil {
		p.first <- line
	}
	_, _ = io.Copy(io.Discard, r) // it ends with the child
}

// Addresses are what Pawl's programs print, in one line of JSON, when they serve.
type Addresses struct {
	Ready     bool   `json:"ready"`
	API       string `json:"api"`
	UI        string `json:"ui"`
	Health    string `json:"health"`
	Temporal  string `json:"temporal"` // host and port
	Namespace string `json:"namespace"`
	TaskQueue string `json:"task_queue"`
}

// ErrEnded is returned by Ready for a process that ended before it served.
var ErrEnded = errors.New("it ended before it served")

// Ready waits until the process says that it serves. It is to be called once. The error is
// ErrEnded, with the process's last words, or the cause of ctx's end.
func (p *Process) Ready(ctx context.Context) (at Addresses, err error) {
	var line string
	select {
	case line = <-p.first:
	case <-p.Done:
		select {
		case line = <-p.first:
		default:
			return at, fmt.Errorf("%s: %w (%v)\n%s", p.Name(), ErrEnded, p.err, p.Log)
		}
	case <-ctx.Done():
		return at, context.Cause(ctx)
	}
	if err := json.Unmarshal([]byte(line), &at); err != nil || !at.Ready {
		return at, fmt.Errorf("%s writes what this program can't read: are both of one commit?", p.Name())
	}
	return at, nil
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

// State is how it ended, to the operating system. It blocks until it has.
func (p *Process) State() *os.ProcessState {
	<-p.Done
	return p.cmd.ProcessState
}

// Ended reports whether it has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.Done:
		return true
	default:
		return false
	}
}

// Kill ends the process at once, and returns when it has ended.
func (p *Process) Kill() {
	if !p.Ended() { // else its number may be another process's by now
		kill(p.cmd.Process)
	}
	<-p.Done
}

// End asks the process to end and returns when it has. It is killed when hard ends, or after Grace,
// which is reported.
func (p *Process) End(hard context.Context) (killed bool) {
	if p.Ended() {
		return false
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
	p.Kill()
	return killed
}
