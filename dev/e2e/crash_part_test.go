//go:build unix

package e2e_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// crashPart is one program of a world, over all its lives. While it is wanted
// somebody starts it again whenever it ends, as a supervisor does. Its methods
// are for the test's goroutine.
type crashPart struct {
	w       *crashWorld
	name    string
	args    []string // of every life, beside the flags of up
	command func(flags ...string) *exec.Cmd
	// probe tells when it serves. Default: when it says so on stdout, in JSON.
	probe func() bool
	// needs are the parts without which it may give up while it starts.
	needs []*crashPart
	// stubborn: it may take several tries to start.
	stubborn bool

	keeper chan struct{} // closed when nobody starts it again any more; nil: nobody does

	// Under w.mu.
	wanted bool
	paused *crashLife
	lives  []*crashLife
	away   []crashSpan // from the end of a life to when the next one served
}

// crashLife is one process: of its own group, so that it is killed as a whole.
type crashLife struct {
	part *crashPart
	cmd  *exec.Cmd
	log  crashLog
	born time.Time

	ready chan crashAddresses
	done  chan struct{} // closed when it has ended, with err
	err   error

	// Under part.w.mu.
	serves bool // it got ready and has not ended
	at     crashAddresses
	died   time.Time // zero: it lives
	sleeps []crashSpan
}

type crashAddresses struct {
	Ready         bool
	API, Temporal string
}

// crashSpan is a time; a zero end is open.
type crashSpan struct{ from, to time.Time }

func (s crashSpan) touches(from, to time.Time) bool {
	return s.from.Before(to) && (s.to.IsZero() || s.to.After(from))
}

// up starts it, and returns at once. Its keeper starts it again if it ends
// before it is taken down.
func (p *crashPart) up(flags ...string) {
	p.w.mu.Lock()
	p.wanted = true
	p.w.mu.Unlock()
	p.keeper = make(chan struct{})
	first := p.spawn(flags)
	go func() {
		defer close(p.keeper)
		for l := first; l != nil; l = p.spawn(flags) {
			if !p.keep(l) {
				return
			}
		}
	}()
}

// spawn begins a life, unless the part is not wanted any more.
func (p *crashPart) spawn(flags []string) *crashLife {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if !p.wanted {
		return nil
	}
	l := &crashLife{part: p, cmd: p.command(flags...), ready: make(chan crashAddresses, 1), done: make(chan struct{})}
	l.cmd.Stderr = &l.log
	if l.cmd.SysProcAttr == nil {
		l.cmd.SysProcAttr = crashChild()
	}
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		p.w.t.Errorf("%s: %v", p.name, err)
		return nil
	}
	started := make(chan error)
	go func() {
		// A child that dies with its parent dies with the thread that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := l.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(l.done)
		var at crashAddresses
		if p.probe == nil && json.NewDecoder(stdout).Decode(&at) == nil && at.Ready {
			l.ready <- at
		}
		_, _ = io.Copy(io.Discard, stdout)
		l.err = l.cmd.Wait()
	}()
	if err := <-started; err != nil {
		p.w.t.Errorf("%s does not start: %v", p.name, err)
		return nil
	}
	l.born = time.Now()
	p.lives = append(p.lives, l)
	if p.probe != nil {
		go func() {
			for {
				select {
				case <-l.done:
					return
				case <-time.After(20 * time.Millisecond):
				}
				if p.probe() {
					l.ready <- crashAddresses{Ready: true}
					return
				}
			}
		}()
	}
	return l
}

// keep stays with a life until it ends, and reports whether there shall be
// another one.
func (p *crashPart) keep(l *crashLife) bool {
	served := false
	select {
	case at := <-l.ready:
		served = true
		p.w.served(l, at)
		<-l.done
	case <-l.done:
	}
	wanted, excused := p.w.ended(l)
	switch {
	case !wanted:
		return false
	case served:
		p.w.t.Errorf("%s ended by itself: %v\n%s", p.name, l.err, l.log.tail(2<<10))
	case !excused:
		p.w.t.Errorf("%s did not start, and nothing it needs was away: %v\n%s", p.name, l.err, l.log.tail(2<<10))
	}
	<-time.After(200 * time.Millisecond)
	return true
}

// down takes it down: at once (SIGKILL), or by any other signal within the
// time given, and then at once.
func (p *crashPart) down(how syscall.Signal, within time.Duration) {
	p.w.mu.Lock()
	p.wanted = false
	l := p.last()
	p.w.mu.Unlock()
	if l != nil {
		if how != syscall.SIGKILL {
			l.signal(how)
			select {
			case <-l.done:
			case <-time.After(within):
			}
		}
		l.kill()
	}
	p.gone()
}

// interrupt is Ctrl-C. The part is not started again; gone waits for its end.
func (p *crashPart) interrupt() *crashLife {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.wanted = false
	p.last().signal(syscall.SIGINT)
	return p.last()
}

// gone returns when the part has ended, and nobody starts it again.
func (p *crashPart) gone() {
	if p.keeper != nil {
		<-p.keeper
		p.keeper = nil
	}
}

// pause stops it in the middle of whatever it does; resume lets it go on. The
// signal is taken a moment after it was sent, in which a busy machine does a
// lot: pause returns when the process stands still.
func (p *crashPart) pause() {
	p.w.t.Helper()
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.paused = p.last()
	p.paused.sleeps = append(p.paused.sleeps, crashSpan{from: time.Now()})
	p.paused.signal(syscall.SIGSTOP)
	if !crashPoll(p.w.t.Context(), crashPatience, func() bool { return crashStands(p.paused.cmd.Process.Pid) }) {
		p.w.t.Errorf("%s does not stand still", p.name)
	}
}

func (p *crashPart) resume() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.paused.signal(syscall.SIGCONT)
	p.paused.sleeps[len(p.paused.sleeps)-1].to = time.Now()
	p.paused = nil
}

func (p *crashPart) last() *crashLife {
	if len(p.lives) == 0 {
		return nil
	}
	return p.lives[len(p.lives)-1]
}

// signal reaches the whole group; one that is gone is left alone.
func (l *crashLife) signal(how syscall.Signal) {
	select {
	case <-l.done: // its number may be somebody else's by now
	default:
		_ = syscall.Kill(-l.cmd.Process.Pid, how)
	}
}

func (l *crashLife) kill() {
	l.signal(syscall.SIGKILL)
	<-l.done
}

// report shows the ends of the latest lives' logs.
func (p *crashPart) report(t *testing.T) {
	for i, l := range p.lives {
		if i >= len(p.lives)-3 {
			t.Logf("%s, life %d of %d (pid %d, from %s), the end of its stderr:\n%s",
				p.name, i+1, len(p.lives), l.cmd.Process.Pid, l.born.Format("15:04:05.000"), l.log.tail(4<<10))
		}
	}
}

// crashLog keeps the end of what is written to it.
type crashLog struct {
	mu   sync.Mutex
	text []byte
}

func (l *crashLog) Write(b []byte) (int, error) {
	const most = 256 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	l.text = l.text[max(0, len(l.text)-most):]
	return len(b), nil
}

func (l *crashLog) tail(most int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(0, len(l.text)-most):])
}

func (l *crashLog) has(text string) bool { return strings.Contains(l.tail(256<<10), text) }
