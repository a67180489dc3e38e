package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// BenchmarkLog has 16 writers append entries while the log is sealed beside them, and, before and
// after, insert the same bytes as bare rows by raw. It reports appends as a share of bare inserts, and
// how many entries wait to be sealed in the end.
func BenchmarkLog(b *testing.B, s store.Store, raw func(context.Context, audit.Entry) error) {
	const writers = 16
	ctx := b.Context()
	run := func(round string, write func(context.Context, audit.Entry) error) (perSecond float64) {
		var next atomic.Int64
		var wg sync.WaitGroup
		began := time.Now()
		for range writers {
			wg.Go(func() {
				for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
					e, err := audit.New(approval.NewID(), fmt.Sprint(round, i), began, Payload{Of: audit.KindEnded, Note: round})
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
		return float64(b.N) / time.Since(began).Seconds()
	}
	before := run("before", raw)
	sealing, stop := context.WithCancel(ctx)
	var sealer sync.WaitGroup
	sealer.Go(func() {
		for sealing.Err() == nil {
			if err := Seal(sealing, s); err != nil && sealing.Err() == nil {
				b.Error(err)
				return
			}
		}
	})
	b.ResetTimer()
	appends := run("append", func(ctx context.Context, e audit.Entry) error { return s.Append(ctx, e) })
	b.StopTimer()
	waiting, _, err := s.Unsealed(ctx)
	if err != nil {
		b.Error(err)
	}
	stop()
	sealer.Wait()
	after := run("after", raw)
	b.ReportMetric(appends, "appends/s")
	b.ReportMetric(appends/((before+after)/2), "of-bare-inserts")
	b.ReportMetric(float64(waiting), "unsealed")
}
