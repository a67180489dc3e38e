package api

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen opens a listener for Server.Serve at host:port; port 0 picks a free
// one. Its errors name the address: it is in use, can't be listened on, or
// can be reached from other machines.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the API's address %s is in use by another process", address)
	case err != nil:
		return nil, fmt.Errorf("the API's address %s: %w", address, err)
	}
	if err := local(l.Addr()); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// local refuses addresses that other machines can reach: nobody is
// authenticated.
func local(a net.Addr) error {
	if addr, ok := a.(*net.TCPAddr); ok && addr.IP.IsLoopback() {
		return nil
	}
	return fmt.Errorf("api: callers are not authenticated, so the API serves loopback addresses only, not %v: listen on 127.0.0.1", a)
}
