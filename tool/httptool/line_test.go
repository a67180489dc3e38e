package httptool

import (
	"errors"
	"net"
	"testing"
)

// stub is a connection that takes some bytes of each write.
type stub struct {
	net.Conn
	takes int
	err   error
}

func (s stub) Write(b []byte) (int, error) { return min(s.takes, len(b)), s.err }

func TestLineKnowsWhatWasSent(t *testing.T) {
	broken := errors.New("broken pipe")
	for name, c := range map[string]struct {
		armed bool
		conn  stub
		sent  bool
	}{
		"handshake only":       {false, stub{takes: 100}, false},
		"nothing taken":        {true, stub{err: broken}, false},
		"one byte taken":       {true, stub{takes: 1, err: broken}, true},
		"everything taken":     {true, stub{takes: 100}, true},
		"broken in handshake":  {false, stub{takes: 1, err: broken}, false},
		"nothing but no error": {true, stub{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := &line{}
			w := &watched{Conn: c.conn, line: l}
			if c.armed {
				l.arm()
			}
			w.Write([]byte("POST"))
			if sent := l.close(); sent != c.sent {
				t.Errorf("sent %v, want %v", sent, c.sent)
			}
			l.arm()
			if n, err := w.Write([]byte("POST")); n != 0 || err == nil {
				t.Error("a write after the end went through")
			}
			if sent := l.close(); sent != c.sent {
				t.Error("the answer changed after the end")
			}
		})
	}
	t.Run("write under way", func(t *testing.T) {
		l := &line{}
		l.arm()
		if _, err := l.begin(); err != nil {
			t.Fatal(err)
		}
		if !l.close() {
			t.Error("a write under way counts as not sent")
		}
	})
}
