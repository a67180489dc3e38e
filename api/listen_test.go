package api

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/rest"
)

// certify writes a certificate for localhost and its key.
func certify(t *testing.T, dir, name string) Exposure {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	e := Exposure{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{e.CertFile: {Type: "CERTIFICATE", Bytes: der}, e.KeyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func prefixes(list ...string) (all []netip.Prefix) {
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func TestListen(t *testing.T) {
	secret := certify(t, t.TempDir(), "a")
	broken := secret
	broken.KeyFile = broken.CertFile
	for _, c := range []struct {
		name, address string
		e             Exposure
		authenticated bool
		refusal       string
	}{
		{"loopback, nobody known", "127.0.0.1:0", Exposure{}, false, ""},
		{"loopback, known", "127.0.0.1:0", Exposure{}, true, ""},
		{"loopback, encrypted", "127.0.0.1:0", secret, true, ""},
		{"everywhere, nobody known", "0.0.0.0:0", Exposure{}, false, "not 0.0.0.0:0: listen"},
		{"everywhere, nobody known, encrypted", "0.0.0.0:0", secret, false, "not authenticated"},
		{"everywhere, nobody known, behind a proxy", "0.0.0.0:0", Exposure{Proxies: prefixes("10.0.0.0/8")}, false, "not authenticated"},
		{"loopback, nobody known, behind a proxy", "127.0.0.1:0", Exposure{Proxies: prefixes("127.0.0.1/32")}, false, "authenticate with --auth"},
		{"IPv6 loopback, nobody known, behind a proxy", "[::1]:0", Exposure{Proxies: prefixes("::1/128")}, false, "without --behind-proxy"},
		{"loopback, known, behind a proxy", "127.0.0.1:0", Exposure{Proxies: prefixes("127.0.0.1/32")}, true, ""},
		{"everywhere, in the clear", "0.0.0.0:0", Exposure{}, true, "not 0.0.0.0:0: give --tls-cert"},
		{"everywhere, encrypted", "0.0.0.0:0", secret, true, ""},
		{"everywhere, behind a proxy", "0.0.0.0:0", Exposure{Proxies: prefixes("10.0.0.0/8")}, true, ""},
		{"a certificate without a key", "127.0.0.1:0", Exposure{CertFile: secret.CertFile}, true, "needs its key"},
		{"a certificate and a proxy", "127.0.0.1:0", Exposure{CertFile: secret.CertFile, KeyFile: secret.KeyFile, Proxies: prefixes("10.0.0.0/8")}, true, "either"},
		{"no address for a proxy", "127.0.0.1:0", Exposure{Proxies: make([]netip.Prefix, 1)}, true, "not valid"},
		{"files that are none", "127.0.0.1:0", broken, true, "can't be used"},
		{"no files", "127.0.0.1:0", Exposure{CertFile: "/nowhere/c", KeyFile: "/nowhere/k"}, true, "can't be used"},
		{"nonsense", "nonsense", Exposure{}, true, "nonsense"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := c.e.Listen(c.address, c.authenticated)
			if err == nil {
				_ = l.Close()
			}
			if c.refusal == "" && err != nil || c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)) {
				t.Errorf("%v, want something about %q", err, c.refusal)
			}
		})
	}
	l, err := Exposure{}.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := (Exposure{}).Listen(l.Addr().String(), false); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port twice: %v", err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	e := certify(t, dir, "first")
	w := guardedWorld(t, func(o *Options) { o.Exposure = e })
	base, stop := w.serve()
	address := strings.TrimPrefix(base, "http://")
	token := w.token("rita", rest.RoleReviewer)
	dial := func(max uint16) (*tls.Conn, error) {
		return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: max, NextProtos: []string{"h2", "http/1.1"}}) //nolint:gosec // whose it is, is looked at
	}
	name := func() string {
		conn, err := dial(tls.VersionTLS13)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "first" {
		t.Errorf("shows %q", got)
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if conn, err := dial(version); err == nil {
			t.Errorf("speaks %s", tls.VersionName(conn.ConnectionState().Version))
			_ = conn.Close()
		}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // likewise
	defer client.CloseIdleConnections()
	ask := func(url string) *http.Response {
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res
	}
	if res := ask("https://" + address + "/api/whoami"); res.StatusCode != 200 || res.ProtoMajor != 1 {
		t.Errorf("answers %s in %s", res.Status, res.Proto)
	}
	if res := ask("http://" + address + "/api/whoami"); res.StatusCode != 400 { // net/http's answer to who speaks plainly
		t.Errorf("in the clear it answers %s", res.Status)
	}

	certify(t, dir, "second")
	waitFor(t, "the new certificate", func() bool { return name() == "second" })
	if err := os.WriteFile(e.KeyFile, []byte("half a ke"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(certificateCheck)
	waitFor(t, "another look at the files", func() bool {
		return name() == "second" && time.Now().After(later)
	})
	if got := name(); got != "second" {
		t.Errorf("with a broken file it shows %q", got)
	}
	certify(t, dir, "third")
	waitFor(t, "the third certificate", func() bool { return name() == "third" })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestBehindProxy(t *testing.T) {
	w := guardedWorld(t, func(o *Options) { o.Exposure.Proxies = prefixes("10.0.0.0/8", "fd00::/8") })
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:5", nil, "192.0.2.1"},
		{"192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1"}, // nobody's proxy
		{"10.0.0.1:5", nil, "10.0.0.1"},
		{"10.0.0.1:5", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:5", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"}, // the first is what the client says
		{"10.0.0.1:5", []string{"203.0.113.9", "198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:5", []string{"198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		{"10.0.0.1:5", []string{"198.51.100.7:1234"}, "198.51.100.7"},
		{"10.0.0.1:5", []string{"198.51.100.7, rubbish"}, "10.0.0.1"},
		{"10.0.0.1:5", []string{"198.51.100.7, rubbish, 10.0.0.2"}, "10.0.0.2"},
		{"[fd00::1]:5", []string{"2001:db8::1"}, "2001:db8::1"},
		{"[::ffff:10.0.0.1]:5", []string{"198.51.100.7"}, "198.51.100.7"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := w.server.remote(r).String(); got != c.want {
			t.Errorf("%s with %q is %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}

	e := Exposure{Proxies: prefixes("192.0.2.0/24")}
	comes := make(chan net.Conn, 3)
	l, err := e.guard(fakeListener{comes}, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stranger, other := net.Pipe()
	comes <- remoteConn{stranger, "198.51.100.7:1"}
	proxy, _ := net.Pipe()
	comes <- remoteConn{proxy, "192.0.2.8:1"}
	conn, err := l.Accept()
	if err != nil || conn.RemoteAddr().String() != "192.0.2.8:1" {
		t.Errorf("took %v, %v", conn.RemoteAddr(), err)
	}
	if _, err := other.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the stranger's connection is left: %v", err)
	}
}

// fakeListener hands connections out, at an address of this machine.
type fakeListener struct{ conns chan net.Conn }

func (l fakeListener) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (l fakeListener) Close() error   { return nil }
func (l fakeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

type remoteConn struct {
	net.Conn
	remote string
}

func (c remoteConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.remote))
}

// Who sends slowly, or nothing, does not hold a connection.
func TestSlowClients(t *testing.T) {
	w := guardedWorld(t)
	token := w.token("agent:a", rest.RoleAgent)
	for _, c := range []struct {
		name, says string
		within     time.Duration
		answer     string // how the answer begins
	}{
		{"nothing", "", 6 * time.Second, ""},
		{"half a header", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-", 6 * time.Second, ""},
		{"a stranger's body", "POST /api/calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{", 16 * time.Second, "HTTP/1.1 401"},
		{"half a body", "POST /api/calls HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", 16 * time.Second, "HTTP/1.1 408"},
		{"nothing more", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 3 * time.Minute, "HTTP/1.1 200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conns := make(chan net.Conn, 1)
				ctx, cancel := context.WithCancel(context.Background())
				served := make(chan error, 1)
				go func() { served <- w.server.Serve(ctx, fakeListener{conns}) }()
				client, server := net.Pipe()
				conns <- remoteConn{server, "127.0.0.1:9"}
				begin := time.Now()
				if _, err := io.WriteString(client, c.says); err != nil {
					t.Fatal(err)
				}
				answer, err := io.ReadAll(bufio.NewReader(client))
				if took := time.Since(begin); err != nil || took > c.within {
					t.Errorf("hung up on after %v, %v", took, err)
				}
				if !strings.HasPrefix(string(answer), c.answer) || c.answer == "" && len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
					t.Errorf("answers %.60q", answer)
				}
				cancel()
				close(conns)
				if err := <-served; err != nil && !strings.Contains(fmt.Sprint(err), "closed") {
					t.Error(err)
				}
			})
		})
	}
}
