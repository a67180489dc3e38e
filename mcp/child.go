package mcp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// upstream is the server behind the gateway.
type upstream interface {
	// send hands a frame on. An error means that the server certainly has not got the whole of it.
	send(m message) error
	// close ends the server, in time. When it returns, the receiver has been told of the end.
	close()
}

// receiver takes what comes from a server. Its methods are called one at a time.
type receiver interface {
	// receive takes one frame.
	receive(raw []byte)
	// lost says that no answer will come to a request, and whether the server may have acted on it.
	lost(id []byte, why error, acted bool)
	// ended says that nothing will come any more.
	ended(why error)
}

// dial connects one client's session with the server.
type dial func(receiver) (upstream, error)

const (
	// grace is how long a server that ends may take for it.
	grace = 5 * time.Second
	// A server that was asked to end gets endWithin after the end of its input and killAfter more after
	// the signal. Both together are less than what clients give the gateway before they kill it: two
	// seconds after the end of its input, and two more after a signal.
	endWithin = 2500 * time.Millisecond
	killAfter = time.Second
)

// child is a server that runs as a process of the gateway's own and talks by its standard streams.
type child struct {
	cmd *exec.Cmd

	mu    sync.Mutex // of what is written
	stdin io.WriteCloser
	out   *os.File
	done  chan struct{}
}

// Child returns how to start a server as a process. Each session gets one of its own. What the server
// writes to its standard error goes to stderr. Its environment is env without Pawl's own settings.
func Child(command []string, env []string, stderr io.Writer) Upstream {
	return Upstream{dial: func(to receiver) (upstream, error) {
		c := &child{cmd: exec.Command(command[0], command[1:]...), done: make(chan struct{})}
		c.cmd.Env, c.cmd.Stderr, c.cmd.WaitDelay = withoutPawl(env), stderr, grace
		together(c.cmd)
		stdin, err := c.cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		// Not StdoutPipe: Wait would close it before everything is read.
		out, in, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, stdin.Close())
		}
		c.stdin, c.out, c.cmd.Stdout = stdin, out, in
		err = c.cmd.Start()
		if err = errors.Join(err, in.Close()); err != nil {
			return nil, errors.Join(fmt.Errorf("the server can't be started: %w", err), out.Close())
		}
		go c.read(to)
		return c, nil
	}}
}

// read forwards what the server writes, until it ends or closes its standard output.
func (c *child) read(to receiver) {
	defer close(c.done)
	err := lines(c.out, to.receive)
	if err != nil { // what comes next can't be read, so what runs can't be followed
		kill(c.cmd.Process)
	}
	_ = c.out.Close()
	_ = c.stdin.Close()
	// One that goes on without its output is of no use.
	stop := time.AfterFunc(grace, func() { kill(c.cmd.Process) })
	if waited := c.cmd.Wait(); err == nil && waited != nil {
		err = waited
	}
	stop.Stop()
	if err == nil {
		err = errors.New("it closed its output")
	}
	to.ended(fmt.Errorf("the server ended: %w", err))
}

func (c *child) send(m message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.stdin.Write(append(m.raw[:len(m.raw):len(m.raw)], '\n'))
	return err
}

func (c *child) close() {
	_ = c.stdin.Close() // ends also a write that nobody reads
	for _, step := range []struct {
		wait time.Duration
		end  func()
	}{
		{endWithin, func() { terminate(c.cmd.Process) }},
		{killAfter, func() { kill(c.cmd.Process) }},
		{killAfter, func() { _ = c.out.Close() }}, // a process that left the group may hold the other end
	} {
		select {
		case <-c.done:
			return
		case <-time.After(step.wait):
			step.end()
		}
	}
	<-c.done
}

// withoutPawl leaves out Pawl's settings: a server has no business with its client's credential.
func withoutPawl(env []string) []string {
	var out []string
	for _, e := range env {
		if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(strings.ToUpper(name), "PAWL_") {
			out = append(out, e)
		}
	}
	return out
}
