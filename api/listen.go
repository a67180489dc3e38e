package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Exposure says how others than this machine may reach the API. Without TLS or a proxy that has it,
// they may not: tokens would cross the network in the clear.
type Exposure struct {
	// CertFile and KeyFile are PEM files with the certificate, chain included, and its key. They are
	// read again when they change. Default: plain HTTP.
	CertFile, KeyFile string
	// Proxies are where proxies stand that end TLS: only they, and this machine, may connect without,
	// and their X-Forwarded-For counts. Default: there are none.
	Proxies []netip.Prefix
}

// Check refuses what does not go together, and files that can't be used.
func (e Exposure) Check() error {
	if (e.CertFile == "") != (e.KeyFile == "") {
		return errors.New("api: a certificate needs its key, and the key its certificate")
	}
	if e.CertFile != "" && len(e.Proxies) > 0 {
		return errors.New("api: either this API ends " +
			"TLS or a proxy in front of it does: give a certificate or proxies")
	}
	if slices.ContainsFunc(e.Proxies, func(p netip.Prefix) bool { return !p.IsValid() }) {
		return errors.New("api: a proxy's address is not valid")
	}
	if e.CertFile == "" {
		return nil
	}
	_, err := loadCertificate(e.CertFile, e.KeyFile)
	return err
}

// URL is where clients find what listens at an address.
func (e Exposure) URL(a net.Addr) string {
	scheme := "http://"
	if e.CertFile != "" {
		scheme = "https://"
	}
	return scheme + a.String()
}

// Listen opens a listener for Server.Serve at host:port; port 0 picks a free one. authenticated
// says that Options.Auth will be set. Errors name the address: it is in use, can't be listened on,
// or may not be; or the file that can't be used.
func (e Exposure) Listen(address string, authenticated bool) (net.Listener, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the API's address %s is in use by another process", address)
	case err != nil:
		return nil, fmt.Errorf("the API's address %s: %w", address, err)
	}
	if err := e.may(l.Addr(), address, authenticated); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// may refuses addresses that other machines can reach, unless callers prove who they are and nobody
// can read their tokens on the way. given is how the operator wrote the address.
func (e Exposure) may(a net.Addr, given string, authenticated bool) error {
	addr, ok := a.(*net.TCPAddr)
	switch {
	case !authenticated && len(e.Proxies) > 0:
		return errors.New("api: callers are not authenticated, so whoever comes through the proxy could do " +
			"everything: authenticate with --auth, or serve this machine alone, without --behind-proxy")
	case ok && addr.IP.IsLoopback():
		return nil
	case !authenticated:
		return fmt.Errorf("api: callers are not authenticated, so the API serves loopback addresses only, "+
			"not %s: listen on 127.0.0.1, or authenticate with --auth", given)
	case e.CertFile == "" && len(e.Proxies) == 0:
		return fmt.Errorf("api: tokens would cross the network unencrypted, "+
			"so without TLS the API serves loopback addresses only, not %s: "+
			"give --tls-cert and --tls-key, or say with --behind-proxy which proxy ends TLS", given)
	}
	return nil
}

// guard wraps a listener so that it accepts only connections that Exposure allows.
func (e Exposure) guard(l net.Listener, authenticated bool, log *slog.Logger) (net.Listener, error) {
	if err := e.may(l.Addr(), l.Addr().String(), authenticated); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if e.CertFile != "" {
		certificate, err := newCertificate(e.CertFile, e.KeyFile, log)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		return tls.NewListener(l, &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: certificate.get,
			// One request at a time on a connection: then the server's time limits are each request's own.
			NextProtos: []string{"http/1.1"},
		}), nil
	}
	if len(e.Proxies) > 0 {
		return proxied{l, e}, nil
	}
	return l, nil
}

// proxied closes connections that come neither from a proxy nor from this machine.
type proxied struct {
	net.Listener
	e Exposure
}

func (p proxied) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if a := addrOf(conn.RemoteAddr().String()); a.IsLoopback() || p.e.proxy(a) {
			return conn, nil
		}
		_ = conn.Close()
	}
}

func (e Exposure) proxy(a netip.Addr) bool {
	return slices.ContainsFunc(e.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// addrOf is the address of host:port, or an invalid one.
func addrOf(hostport string) netip.Addr {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	a, _ := netip.ParseAddr(host)
	return a.Unmap().WithZone("")
}

// remote is the address that sent a request: the peer, or if that is a proxy, the last address in
// X-Forwarded-For that is no proxy's. Anybody can send the addresses before it.
func (s *Server) remote(r *http.Request) netip.Addr {
	peer := addrOf(r.RemoteAddr)
	if !s.o.Exposure.proxy(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		a := addrOf(strings.TrimSpace(hop))
		if !a.IsValid() {
			break
		}
		if peer = a; !s.o.Exposure.proxy(a) {
			break
		}
	}
	return peer
}

// certificateCheck is how often, at most, the files of a certificate are looked at.
const certificateCheck = time.Second

// certificate is one that is read from files, again when they change. Files that can't be used
// leave the one before in use.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	of      [2]fileState
	checked time.Time
}

// fileState changes whenever somebody writes or replaces a file.
type fileState struct {
	modified time.Time
	size     int64
}

func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	c.of = c.state()
	var err error
	c.current, err = loadCertificate(certFile, keyFile)
	return c, err
}

func loadCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the API's certificate %s and its key %s can't be used: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

func (c *certificate) state() (of [2]fileState) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			of[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return of
}

// get is tls.Config's GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateCheck {
		return c.current, nil
	}
	c.checked = time.Now()
	now := c.state()
	if now == c.of {
		return c.current, nil
	}
	// A pair that is being replaced does not fit for a moment: the state is kept only with what was
	// read, so that it is tried again.
	fresh, err := loadCertificate(c.certFile, c.keyFile)
	if err != nil {
		c.log.Error("the API's certificate changed and can't be used; the previous one stays in use", "error", err)
		return c.current, nil
	}
	c.current, c.of = fresh, now
	c.log.Info("the API's certificate was read again", "file", c.certFile)
	return c.current, nil
}
