package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// certified serves with a certificate of these names, and returns where, with a pool that trusts
// it.
func certified(t *testing.T, until time.Time, names ...string) (url string, trust *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 9)},
	}
	if len(names) == 0 {
		template.IPAddresses = append(template.IPAddresses, net.IPv4(127, 0, 0, 1))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AddCert(leaf)
	s := quiet(t)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}} //nolint:gosec // the default is TLS 1.2
	s.StartTLS()
	return s.URL, trust
}

func quiet(t *testing.T) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, state(approval.StatusPending))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	return s
}

func TestTLSErrors(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	good, trusted := certified(t, soon)
	other, otherTrust := certified(t, soon, "pawl.example.com")
	old, oldTrust := certified(t, time.Now().Add(-time.Hour))
	plain := quiet(t)
	plain.Start()
	for _, tt := range []struct {
		name, url string
		trust     *x509.CertPool
		want      []string
	}{
		{"trusted", good, trusted, nil},
		{"not trusted", good, x509.NewCertPool(), []string{"does not trust its certificate", "SSL_CERT_FILE"}},
		{"another name", other, otherTrust, []string{"is for another name", "127.0.0.9, not 127.0.0.1"}},
		{"expired", old, oldTrust, []string{"out of date", "expired", "clock"}},
		{"https to a plain port", strings.Replace(plain.URL, "http:", "https:", 1), nil, []string{"does not speak TLS", "http://"}},
		{"http to a TLS port", strings.Replace(good, "https:", "http:", 1), nil, []string{"speaks TLS", "https://"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: tt.trust}} //nolint:gosec // the default is TLS 1.2
			defer transport.CloseIdleConnections()
			c, err := client.New(client.Options{URL: tt.url, Token: "hunter2", HTTP: &http.Client{Transport: transport}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Get(t.Context(), id, 0)
			if (err == nil) != (tt.want == nil) {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%v, want something about %q", err, want)
				}
			}
			if u, ok := errors.AsType[*client.UnreachableError](err); ok && (!u.Answers() || u.Sent) {
				t.Errorf("answers: %v, sent: %v", u.Answers(), u.Sent)
			}
		})
	}
}
