//go:build unix

package crash

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/child"
)

// part is one program of a world, over all its processes. While it is wanted it is started again
// whenever it ends, as by a supervisor. Its methods are for the test's goroutine.
type part struct {
	w       *world
	name    string
	args    []string // of every process, beside the flags of up
	command func(flags ...string) *exec.Cmd
	// serves reports whether it serves. Default: when it says so on standard output.
	serves func() bool
	// needs are the parts without which it may give up while it starts.
	needs []*part
	// retries: it may need several tries to start.
	retries bool
	// dies: now and then it kills itself.
	dies bool

	supervisor chan struct{} // closed when it is not started again any more; nil: there is none

	// Under w.mu.
	wanted    bool
	finishing bool // it is wanted until it ends without an error
	paused    *process
	processes []*process
	absences  []span // from when a process is taken down, or ends, until the next one serves
}

// process is one process of a part.
type process struct {
	*child.Process
	part *part
	born time.Time

	// Under part.w.mu.
	serving bool // it got ready and has not ended
	at      child.Addresses
	died    time.Time // zero: it lives
	pauses  []span
}

// span is a time; a zero end is open.
type span struct{ from, to time.Time }

func (s span) touches(from, to time.Time) bool {
	return s.from.Before(to) && (s.to.IsZero() || s.to.After(from))
}

// up starts it, and returns at once. It is started again if it ends before it is taken down.
func (p *part) up(flags ...string) {
	p.w.mu.Lock()
	p.wanted = true
	p.w.mu.Unlock()
	p.supervisor = make(chan struct{})
	first := p.spawn(flags)
	go func() {
		defer close(p.supervisor)
		for x := first; x != nil; x = p.spawn(flags) {
			if !p.supervise(x) {
				return
			}
		}
	}()
}

// spawn starts a process, unless the part is not wanted any more.
func (p *part) spawn(flags []string) *process {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if !p.wanted {
		return nil
	}
	started, err := child.Start(p.command(flags...), child.Options{Kill: true})
	if err != nil {
		p.w.t.Errorf("%s does not start: %v", p.name, err)
		return nil
	}
	x := &process{Process: started, part: p, born: time.Now()}
	p.processes = append(p.processes, x)
	return x
}

// ready waits until a process serves. The error says that it ended before.
func (p *part) ready(x *process) (child.Addresses, error) {
	if p.serves == nil {
		return x.Ready(context.Background()) // until it ends at the latest
	}
	for !p.serves() {
		select {
		case <-x.Done:
			return child.Addresses{}, child.ErrEnded
		case <-time.After(20 * time.Millisecond):
		}
	}
	return child.Addresses{}, nil
}

// supervise stays with a process until it ends, and reports whether there shall be another one.
func (p *part) supervise(x *process) bool {
	at, unready := p.ready(x)
	if unready == nil {
		p.w.served(x, at)
	}
	err := x.Err()
	wanted, finishing, excused := p.w.ended(x)
	switch {
	case !wanted, finishing && err == nil:
		return false
	case unready == nil && (finishing || p.dies && x.killed()):
	case unready == nil:
		p.w.t.Errorf("%s ended by itself: %v\n%s", p.name, err, x.Log)
	case !errors.Is(unready, child.ErrEnded):
		p.w.t.Errorf("%s: %v", p.name, unready)
	case !excused && strings.Contains(x.Log.String(), "temporal: server failed: "):
		p.w.t.Logf("%s: the Temporal in it did not reach itself in time, so it is started again", p.name)
	case !excused:
		p.w.t.Errorf("%s did not start, and nothing it needs was away: %v\n%s", p.name, err, x.Log)
	}
	<-time.After(200 * time.Millisecond)
	return true
}

// killed reports whether a process that has ended was.
func (x *process) killed() bool {
	status, ok := x.State().Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// down takes it down: at once (SIGKILL), or by any other signal within the time given, and then at
// once.
func (p *part) down(how syscall.Signal, within time.Duration) {
	p.w.mu.Lock()
	p.wanted = false
	x := p.last()
	// Others may notice its end before its supervisor does.
	p.leaves(time.Now())
	p.w.mu.Unlock()
	if x != nil {
		if how != syscall.SIGKILL {
			x.Signal(how)
			select {
			case <-x.Done:
			case <-time.After(within):
			}
		}
		x.Kill()
	}
	p.gone()
}

// interrupt is Ctrl-C. The part is not started again; gone waits for its end.
func (p *part) interrupt() *process {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.wanted = false
	p.last().Signal(syscall.SIGINT)
	return p.last()
}

// gone returns when the part has ended and is not started again.
func (p *part) gone() {
	if p.supervisor != nil {
		<-p.supervisor
		p.supervisor = nil
	}
}

// pause stops it in the middle of whatever it does, until resume.
func (p *part) pause() {
	p.w.t.Helper()
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.paused = p.last()
	p.paused.pauses = append(p.paused.pauses, span{from: time.Now()})
	ctx, cancel := context.WithTimeout(p.w.t.Context(), patience)
	defer cancel()
	if err := p.paused.Pause(ctx); err != nil {
		p.w.t.Errorf("%s does not stop: %v", p.name, err)
	}
}

func (p *part) resume() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.paused.Resume()
	p.paused.pauses[len(p.paused.pauses)-1].to = time.Now()
	p.paused = nil
}

func (p *part) last() *process {
	if len(p.processes) == 0 {
		return nil
	}
	return p.processes[len(p.processes)-1]
}

// report shows the ends of the latest processes' logs.
func (p *part) report(t *testing.T) {
	for i, x := range p.processes {
		if i >= len(p.processes)-3 {
			t.Logf("%s, process %d of %d (pid %d, from %s), the end of its standard error:\n%s",
				p.name, i+1, len(p.processes), x.PID(), x.born.Format(clock), x.Log)
		}
	}
}
