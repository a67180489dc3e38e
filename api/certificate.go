package api

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

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
