package httptool

import (
	"errors"
	"net"
	"sync"
)

var errClosed = errors.New("the request was given up")

// line watches the connection of one request, so that "nothing was sent" is a fact and not a guess
// from an error's text.
type line struct {
	mu      sync.Mutex
	armed   bool // writes are the request from here on, not proxy or TLS talk
	writing int  // request writes under way
	sent    bool // at least one byte of the request was taken by the kernel
	closed  bool
}

func (l *line) arm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = true
}

// close stops further writes and reports whether the request may have left: a byte was written, or
// a write is under way.
func (l *line) close() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.sent || l.writing > 0
}

func (l *line) begin() (request bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false, errClosed
	}
	if l.armed {
		l.writing++
	}
	return l.armed, nil
}

func (l *line) end(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing--
	l.sent = l.sent || n > 0
}

// watched is a connection whose writes its line sees. For TLS it sits below the encryption.
type watched struct {
	net.Conn
	line *line
}

func (w *watched) Write(b []byte) (n int, err error) {
	request, err := w.line.begin()
	if err != nil {
		return 0, err
	}
	if request {
		defer func() { w.line.end(n) }()
	}
	return w.Conn.Write(b)
}
