package temporal

import (
	"net"
	"sync"

	sdkclient "go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/server/common"
	"go.temporal.io/server/common/sdk"
	"go.uber.org/fx"
	"google.golang.org/grpc"
)

// resources are what one service opens and, made for processes that end with it, never closes:
// about a hundred goroutines, half of which would poll the dead frontend for ever.
type resources struct {
	mu      sync.Mutex
	conns   []*grpc.ClientConn
	workers []sdkworker.Worker
	system  sdkclient.Client
}

// option makes a service listen on l and note in r what it opens.
func (r *resources) option(l net.Listener) fx.Option {
	return fx.Decorate(
		func(f common.RPCFactory) common.RPCFactory { return rpcFactory{RPCFactory: f, listener: l, opened: r} },
		func(f sdk.ClientFactory) sdk.ClientFactory { return sdkFactory{ClientFactory: f, opened: r} },
	)
}

// close expects the service to be stopped.
func (r *resources) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var stopping sync.WaitGroup
	for _, w := range r.workers {
		stopping.Go(w.Stop) // the service may have stopped some: a second Stop does nothing
	}
	stopping.Wait()
	if r.system != nil {
		r.system.Close()
	}
	for _, c := range r.conns {
		_ = c.Close() // the only error is that it was closed before
	}
	r.workers, r.system, r.conns = nil, nil, nil
}

type rpcFactory struct {
	common.RPCFactory
	listener net.Listener
	opened   *resources
}

func (f rpcFactory) GetGRPCListener() net.Listener { return f.listener }

func (f rpcFactory) CreateLocalFrontendGRPCConnection() *grpc.ClientConn {
	return f.note(f.RPCFactory.CreateLocalFrontendGRPCConnection())
}

func (f rpcFactory) CreateRemoteFrontendGRPCConnection(addr string) *grpc.ClientConn {
	return f.note(f.RPCFactory.CreateRemoteFrontendGRPCConnection(addr))
}

func (f rpcFactory) CreateHistoryGRPCConnection(addr string) *grpc.ClientConn {
	return f.note(f.RPCFactory.CreateHistoryGRPCConnection(addr))
}

func (f rpcFactory) CreateMatchingGRPCConnection(addr string) *grpc.ClientConn {
	return f.note(f.RPCFactory.CreateMatchingGRPCConnection(addr))
}

func (f rpcFactory) note(c *grpc.ClientConn) *grpc.ClientConn {
	f.opened.mu.Lock()
	defer f.opened.mu.Unlock()
	f.opened.conns = append(f.opened.conns, c)
	return c
}

type sdkFactory struct {
	sdk.ClientFactory
	opened *resources
}

func (f sdkFactory) GetSystemClient() sdkclient.Client {
	c := f.ClientFactory.GetSystemClient()
	f.opened.mu.Lock()
	defer f.opened.mu.Unlock()
	f.opened.system = c
	return c
}

func (f sdkFactory) NewWorker(c sdkclient.Client, queue string, o sdkworker.Options) sdkworker.Worker {
	w := f.ClientFactory.NewWorker(c, queue, o)
	f.opened.mu.Lock()
	defer f.opened.mu.Unlock()
	f.opened.workers = append(f.opened.workers, w)
	return w
}
