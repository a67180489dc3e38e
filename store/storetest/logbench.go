package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/store"
)

// BenchmarkLog has 16 writers insert rows as raw does, and append entries of the same bytes, in turns
// of one batch each, so that other work on the machine slows both. While entries are appended the log
// is sealed, ten times as often as workers do. It reports appends as a share of bare inserts, the median
// of all turns, and how many of the entries that are left are sealed in the time of one append: above 1
// sealing keeps up.
func BenchmarkLog(b *testing.B, s store.Store, raw func(context.Context, audit.Entry) error) {
	const writers, batch = 16, 4800
	ctx := b.Context()
	write := func(turn string, write func(context.Context, audit.Entry) error) time.Duration {
		var next atomic.Int64
		var wg sync.WaitGroup
		began := time.Now()
		for range writers {
			wg.Go(func() {
				for i := next.Add(1); i <= batch; i = next.Add(1) {
					e, err := audit.New(approval.NewID(), fmt.Sprint(turn, i), began, Payload{Of: audit.KindEnded, Note: turn})
					if err == nil {
						err = write(ctx, e)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	var shares, seals []float64
	var appending time.Duration
	for b.Loop() {
		bare := write("bare", raw)
		sealing, stop := context.WithCancel(ctx)
		sealer, err := tree.NewSealer(tree.Options{Store: s, Keys: tree.Keys{LogKey}, Every: tree.DefaultEvery / 10})
		if err != nil {
			b.Fatal(err)
		}
		var done sync.WaitGroup
		done.Go(func() { sealer.Run(sealing) })
		appends := write("append", func(ctx context.Context, e audit.Entry) error { return s.Append(ctx, e) })
		appending += appends
		stop()
		done.Wait()
		left, _, err := s.Unsealed(ctx)
		last := time.Now()
		if err == nil {
			err = Seal(ctx, s)
		}
		if err != nil {
			b.Fatal(err)
		}
		if left > 0 {
			seals = append(seals, (float64(appends)/batch)/(float64(time.Since(last))/float64(left)))
		}
		shares = append(shares, float64(bare)/float64(appends))
	}
	b.ReportMetric(float64(batch*b.N)/appending.Seconds(), "appends/s")
	b.ReportMetric(median(shares), "of-bare-inserts")
	b.ReportMetric(median(seals), "sealed/append")
}

func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[len(of)/2]
}
