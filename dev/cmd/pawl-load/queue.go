package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/approval"
	pawl "github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/storetest"
	"go.temporal.io/sdk/client"
)

const (
	fewPending = 100
	page       = 50
	writers    = 32
)

// queue measures the reviewers' queue page with few and with many pending
// calls.
func (b *bench) queue(ctx context.Context) error {
	for _, k := range b.backends() {
		if err := b.queueOn(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return nil
}

func (b *bench) queueOn(ctx context.Context, k backend) (err error) {
	s := &site{name: k.name}
	defer func() { err = errors.Join(err, s.close()) }()
	sizes := []int{fewPending, b.o.pending}
	stores, apis := make([]store.Store, len(sizes)), make([]*pawl.Client, len(sizes))
	for i, size := range sizes {
		b.say("%s: writing %d pending calls", k.name, size)
		if stores[i], err = b.newStore(ctx, s, k); err != nil {
			return err
		}
		if err := fill(ctx, stores[i], size); err != nil {
			return err
		}
		if apis[i], err = serveAPI(s, stores[i]); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		what string
		list func(i int) error
	}{
		{"GET /api/requests?limit=50", func(i int) error {
			_, err := apis[i].Requests(ctx, pawl.RequestQuery{Limit: page})
			return err
		}},
		{"store.Calls", func(i int) error {
			_, err := stores[i].Calls(ctx, store.CallQuery{Requests: true, Statuses: []approval.Status{approval.StatusPending}, Limit: page})
			return err
		}},
	} {
		b.say("%s: %s", k.name, m.what)
		all, p50 := make([][]float64, len(sizes)), make([][]float64, len(sizes))
		rounds := b.rounds()
		for range rounds {
			took := make([][]float64, len(sizes))
			for began := time.Now(); len(took[0]) < 5 || time.Since(began) < b.o.duration/time.Duration(4*rounds); {
				for i := range sizes {
					from := time.Now()
					if err := m.list(i); err != nil {
						return err
					}
					took[i] = append(took[i], ms(time.Since(from)))
				}
			}
			for i := range sizes {
				p50[i] = append(p50[i], summarize(took[i]).median)
				all[i] = append(all[i], took[i]...)
			}
		}
		for i, size := range sizes {
			b.report.latency("queue", k.name, fmt.Sprintf("%s, %d pending", m.what, size), all[i])
		}
		b.report.median("queue", k.name, fmt.Sprintf("%s, %d / %d pending, p50", m.what, sizes[1], sizes[0]), "×", ratios(p50[1], p50[0]), &bound{AtMost: 2})
	}
	return nil
}

// fill admits calls that wait, as many workers would.
func fill(ctx context.Context, to store.Store, size int) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	todo := make(chan struct{}, size)
	for range size {
		todo <- struct{}{}
	}
	close(todo)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range todo {
				a, err := storetest.Sample(approval.NewID(), true)
				if err == nil {
					_, _, err = to.Admit(ctx, a)
				}
				if err != nil {
					stop(err)
					return
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// serveAPI serves a store. The queue page needs no Temporal, so there is none.
func serveAPI(s *site, from store.Store) (*pawl.Client, error) {
	temporal, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1", Logger: quiet()})
	if err != nil {
		return nil, err
	}
	server, err := api.New(api.Options{Temporal: temporal, Store: from})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	s.onClose(func() error {
		stop()
		return <-ended
	})
	return pawl.New(pawl.Options{URL: "http://" + l.Addr().String()})
}
