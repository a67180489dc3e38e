// Package temporal runs a real Temporal server and its web UI inside the process, for the dev stack
// and for end-to-end tests.
//
// Everything the server knows is in one SQLite file in a data directory, flushed at every commit,
// so that killing the process at any moment loses nothing that was acknowledged: start again on the
// same directory and open workflows go on. All ports are on loopback unless Options say otherwise,
// there is no authentication, and nothing calls home.
package temporal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.temporal.io/server/common/primitives"
)

const (
	loopback = "127.0.0.1"
	// stopTimeout bounds Stop. An idle server takes about a second.
	stopTimeout = 10 * time.Second
)

var (
	// ErrAddressInUse is returned by Start when Options.Listen or Options.UIListen is taken.
	ErrAddressInUse = errors.New("temporal: address is in use")
	// ErrLocked is returned by Start when another server runs on Options.DataDir.
	ErrLocked = errors.New("temporal: data directory is in use")
	// ErrShardsFixed is returned by Start when Options.HistoryShards is not what the data directory
	// was set up with.
	ErrShardsFixed = errors.New("temporal: number of history shards is fixed")
)

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	frontend string
	uiURL    string
	failed   *failure
	settled  atomic.Bool

	data      *dataDir
	listeners []net.Listener
	services  []service
	ui        *webUI

	stop    sync.Once
	stopErr error
}

// Start runs a server and returns when its frontend answers, its history shards are loaded, the
// namespace exists and the search attributes can be used. It fails with [ErrAddressInUse],
// [ErrLocked] or [ErrShardsFixed] before it has changed anything.
//
// Cancelling ctx during Start stops what was started and returns the cause; later it has no effect.
func Start(ctx context.Context, o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	o, err := o.absolute()
	if err != nil {
		return nil, err
	}
	s := &Server{failed: newFailure()}
	if err := s.guard(func() error { return s.start(ctx, o) }); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("temporal: start was cancelled: %w", cause)
		}
		return nil, errors.Join(err, s.Stop())
	}
	s.settled.Store(true)
	return s, nil
}

// guard runs f. It turns the end of f's goroutine, which is what the server's Fatal comes to here,
// into an error, and adds what Fatal said elsewhere if f fails.
func (s *Server) guard(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("temporal: start ended early")
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("temporal: panic during start: %v", r)
			}
			done <- err
		}()
		err = f()
	}()
	err := <-done
	if err != nil {
		if dead := s.failed.take(); dead != nil {
			err = fmt.Errorf("%w: %w", dead, err)
		}
	}
	return err
}

func (s *Server) start(ctx context.Context, o Options) error {
	// Ports first, and kept: whoever asks for a busy one learns it before anything happens.
	listeners := map[primitives.ServiceName]net.Listener{}
	l, err := s.listenOption("temporal.listen", "--temporal-listen", o.Listen)
	if err != nil {
		return err
	}
	listeners[primitives.FrontendService] = l
	s.frontend = dialable(l)
	var uiListener net.Listener
	if o.UIListen != "" {
		if uiListener, err = s.listenOption("temporal.ui_listen", "--ui-listen", o.UIListen); err != nil {
			return err
		}
	}
	for _, name := range serviceOrder {
		if listeners[name] != nil {
			continue
		}
		if listeners[name], err = s.listen(net.JoinHostPort(loopback, "0")); err != nil {
			return fmt.Errorf("temporal: open port of %s service: %w", name, err)
		}
	}

	if s.data, err = openDataDir(ctx, o.DataDir, o.HistoryShards); err != nil {
		return err
	}
	logger := serverLogger{slog: o.Logger, failed: s.failed, settled: &s.settled}
	cfg := serverConfig(sqlConfig(s.data.database(), rand.Text()), o.HistoryShards, listeners)
	if err := ensureNamespaces(ctx, o, cfg, logger); err != nil {
		return err
	}
	if uiListener != nil {
		if s.ui, err = newWebUI(s.frontend, uiListener, o); err != nil {
			return err
		}
	}
	if s.services, err = buildServices(cfg, listeners, logger); err != nil {
		return err
	}
	if err := startServices(ctx, s.services); err != nil {
		return err
	}
	if err := waitReady(ctx, s.frontend, o, s.failed); err != nil {
		return err
	}
	if s.ui != nil {
		s.uiURL = "http://" + dialable(uiListener)
		go s.ui.serve(uiListener, s.failed)
	}
	return nil
}

func (s *Server) listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		s.listeners = append(s.listeners, l)
	}
	return l, err
}

// listenOption opens an address that the user chose, and on failure says where.
func (s *Server) listenOption(option, flag, addr string) (net.Listener, error) {
	l, err := s.listen(addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: %s %s: stop the process that listens there, or choose another address with %s",
			ErrAddressInUse, option, addr, flag)
	case err != nil:
		return nil, fmt.Errorf("temporal: %s %s cannot be listened on: choose another address with %s: %w",
			option, addr, flag, err)
	}
	return l, nil
}

// FrontendAddr is the host:port to give to a Temporal client in this process or on this machine.
func (s *Server) FrontendAddr() string { return s.frontend }

// UIURL is the web UI's address, or "" without UI.
func (s *Server) UIURL() string { return s.uiURL }

// Failed delivers one error if a part that the server cannot do without ends by itself, where
// Temporal's own server would end the process. Call Stop then. Nothing is sent for a Stop.
func (s *Server) Failed() <-chan error { return s.failed.err }

// Stop ends the server within 10 seconds. Clients should be gone by then: their long polls are cut
// after a second. Open workflows go on at the next Start. Later calls answer the first one's
// result.
//
// If it takes longer than that, Stop answers an error, and the data directory stays locked until
// the rest has ended.
func (s *Server) Stop() error {
	s.stop.Do(func() {
		s.settled.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- s.stopAll(ctx) }()
		select {
		case s.stopErr = <-done:
		case <-ctx.Done():
			s.stopErr = fmt.Errorf("temporal: server did not stop within %s", stopTimeout)
		}
	})
	return s.stopErr
}

func (s *Server) stopAll(ctx context.Context) error {
	var errs []error
	if s.ui != nil {
		errs = append(errs, s.ui.close(ctx))
	}
	errs = append(errs, stopServices(ctx, s.services))
	for _, l := range s.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.data != nil {
		if len(s.services) > 0 {
			errs = append(errs, s.data.checkpoint(ctx))
		}
		errs = append(errs, s.data.release())
	}
	return errors.Join(errs...)
}
