package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// grace is how long a process that was asked to end may take: pawl-dev lets
// running tools end first.
const grace = 30 * time.Second

// process is a child with its standard output as lines; its standard error is
// this process's own.
type process struct {
	lines chan string   // closed at the end of the output; must be read to there
	done  chan struct{} // closed when the process has ended
	err   error         // how it ended, once done is closed
	cmd   *exec.Cmd
}

func start(path string, args ...string) (*process, error) {
	cmd := exec.Command(path, args...)
	cmd.Stderr = os.Stderr
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
	p := &process{lines: make(chan string), done: make(chan struct{}), cmd: cmd}
	go p.read(out)
	return p, nil
}

func (p *process) read(out io.Reader) {
	for s := bufio.NewScanner(out); s.Scan(); {
		p.lines <- s.Text()
	}
	_, _ = io.Copy(io.Discard, out) // after a line that was too long
	close(p.lines)
	p.err = p.cmd.Wait()
	close(p.done)
}

// end asks the process to end and returns when it has. It is killed when hard
// ends, or after grace.
func (p *process) end(hard context.Context) {
	select {
	case <-p.done:
		return
	default:
	}
	_ = interrupt(p.cmd.Process) // fails only if it has ended just now
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return
	case <-hard.Done():
	case <-timer.C:
		fmt.Fprintf(os.Stderr, "pawl-demo: %s does not end, so it is killed\n", filepath.Base(p.cmd.Path))
	}
	_ = p.cmd.Process.Kill() // as above
	<-p.done
}
