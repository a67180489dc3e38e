package postgres

import (
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

// Connections that break at any step, before the server has it or before its answer comes, lose
// nothing and write nothing twice.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(*proxy) *atomic.Int32{
		"requests": func(p *proxy) *atomic.Int32 { return &p.requests },
		"answers":  func(p *proxy) *atomic.Int32 { return &p.answers },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, pgtest.New(t))
			s := openWith(t, Options{URL: p.url, MaxConns: 1})
			until := of(p)
			storetest.Killed(t, s, func(n int) func() bool {
				until.Store(int32(n))
				return func() bool { return until.Swap(0) <= 0 }
			})
		})
	}
}
