package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/storetest"
)

// backend is a kind of store.
type backend struct {
	name     string
	postgres bool
}

// backends are those that can be measured here.
func (b *bench) backends() []backend {
	all := []backend{{name: "SQLite"}}
	if b.server != "" {
		all = append(all, backend{"Postgres", true})
	}
	return all
}

// newStore makes an empty store, which goes when the site closes.
func (b *bench) newStore(ctx context.Context, s *site, k backend) (store.Store, error) {
	dir, err := b.folder(s)
	if err != nil {
		return nil, err
	}
	database := "sqlite://" + filepath.Join(dir, "pawl.db")
	if k.postgres {
		if database, err = b.newDatabase(ctx, s); err != nil {
			return nil, err
		}
	}
	opened, err := openStore(ctx, database, false)
	if err != nil {
		return nil, err
	}
	s.onClose(opened.Close)
	return opened, nil
}

// appendCost runs the stores' own benchmarks.
func (b *bench) appendCost(ctx context.Context) error {
	for _, k := range b.backends() {
		if err := b.appendOn(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return nil
}

func (b *bench) appendOn(ctx context.Context, k backend) (err error) {
	b.say("%s: what writing costs", k.name)
	s := &site{name: k.name}
	defer func() { err = errors.Join(err, s.close()) }()
	opened, err := b.newStore(ctx, s, k)
	if err != nil {
		return err
	}
	for _, m := range []struct {
		what string
		run  func(*testing.B, store.Store)
	}{
		{"Append, one entry", storetest.BenchmarkAppend},
		{"Admit", storetest.BenchmarkAdmit},
		{"Admit, many at once", storetest.BenchmarkAdmitParallel},
		{"Admit + Use + Finish", storetest.BenchmarkGuard},
	} {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r := testing.Benchmark(func(t *testing.B) { m.run(t, opened) })
		if r.N == 0 {
			return fmt.Errorf("%s failed", m.what)
		}
		b.report.add(row{
			Scenario: "append", Setup: k.name, What: m.what, Unit: "µs", Samples: r.N,
			Value: float64(r.T) / float64(r.N) / float64(time.Microsecond),
		}, nil)
	}
	return nil
}
