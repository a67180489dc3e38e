package postgres

import (
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// proxy is between a store and its server, and loses answers, or what is asked.
type proxy struct {
	url      string
	answers  atomic.Int32 // until one is lost
	requests atomic.Int32 // likewise
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(server)
	if err != nil {
		t.Fatal(err)
	}
	network, address := pgconn.NetworkAddress(config.Host, config.Port)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &proxy{}
	p.url = with(t, server, func(u *url.URL, q url.Values) {
		u.Host = "127.0.0.1:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
		q.Del("host")
		q.Set("sslmode", "disable")
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial(network, address)
			if err != nil {
				_ = client.Close()
				continue
			}
			go pass(up, client, &p.requests)
			go pass(client, up, &p.answers)
		}
	}()
	return p
}

// lose has the connection break instead of delivering the nth answer from now on. The server has
// done then what it was asked to do.
func (p *proxy) lose(n int32) { p.answers.Store(n) }

// pass forwards what one side sends, up to the piece that is lost.
func pass(to, from net.Conn, until *atomic.Int32) {
	defer to.Close()
	defer from.Close()
	// Each side sends what is no larger in one piece.
	for piece := make([]byte, 1<<20); ; {
		n, err := from.Read(piece)
		if err != nil || until.Add(-1) == 0 {
			return
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return
		}
	}
}
