package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/store"
)

// Sample is a call as agents make them, with its audit entry: one that is allowed and claimed, or
// one that waits for people.
func Sample(id string, waits bool) (store.AdmitParams, error) {
	at := time.Now().UTC().Truncate(time.Microsecond)
	args := json.RawMessage(`{"query":"weather in the mountains","limit":10,"tags":["a","b","c"]}`)
	e, err := audit.New(id, "requested", at,
		Payload{Of: audit.KindRequested, Note: "search by agent", JSON: args})
	if err != nil {
		return store.AdmitParams{}, err
	}
	a := store.AdmitParams{
		View: approval.View{
			ID: id, Tool: "search", Agent: "agent", Session: "session", Args: args, Digest: "digest",
			Reason: "the user asked for it", Status: approval.StatusExecuting, CreatedAt: at,
			Policy: &approval.PolicyRef{Digest: "digest", Layer: "org", Rule: "search"},
		},
		Verdict: approval.Verdict{Kind: approval.VerdictAllow}, Run: "run",
		TakePermit: true, GoodUntil: at.Add(time.Hour), Entries: []audit.Entry{e},
	}
	if waits {
		deadline := at.Add(24 * time.Hour)
		a.View.Status, a.View.Deadline = approval.StatusPending, &deadline
		a.View.Requirement, a.View.Risk = approval.OneApproval(), approval.RiskHigh
		a.Verdict.Kind, a.Verdict.Requirement = approval.VerdictRequire, approval.OneApproval()
		a.Verdict.Timeout = approval.Duration(24 * time.Hour)
		a.TakePermit, a.GoodUntil, a.IsRequest = false, time.Time{}, true
	}
	return a, nil
}

// BenchmarkAdmit writes calls that are allowed.
func BenchmarkAdmit(b *testing.B, s store.Store) {
	for b.Loop() {
		sampled(b, s)
	}
}

// BenchmarkAdmitParallel is BenchmarkAdmit, many at once.
func BenchmarkAdmitParallel(b *testing.B, s store.Store) {
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			sampled(b, s)
		}
	})
}

// BenchmarkGuard takes allowed calls through their whole life: Admit, Use and Finish, one audit
// entry each.
func BenchmarkGuard(b *testing.B, s store.Store) {
	for b.Loop() {
		a := sampled(b, s)
		err := s.Use(b.Context(), store.UseParams{
			ID: a.View.ID, Digest: a.View.Digest, Run: a.Run, Activity: "1", At: a.View.CreatedAt,
			Entries: []audit.Entry{step(b, a, "start", audit.KindStarted)},
		})
		if err == nil {
			_, _, err = s.Finish(b.Context(), store.FinishParams{
				Outcome: approval.Outcome{
					ID: a.View.ID, Status: approval.StatusExecuted, Result: json.RawMessage(`{"hits":3}`),
				},
				At: a.View.CreatedAt, Entries: []audit.Entry{step(b, a, "end", audit.KindEnded)},
			})
		}
		if err != nil {
			b.Error(err)
			return
		}
	}
}

// BenchmarkAppend writes audit entries alone, one at a time.
func BenchmarkAppend(b *testing.B, s store.Store) {
	a := sampled(b, s)
	for b.Loop() {
		if err := s.Append(b.Context(), step(b, a, approval.NewID(), audit.KindRefused)); err != nil {
			b.Error(err)
			return
		}
	}
}

func sampled(b *testing.B, s store.Store) store.AdmitParams {
	a, err := Sample(approval.NewID(), false)
	if err == nil {
		_, _, err = s.Admit(b.Context(), a)
	}
	if err != nil {
		b.Error(err)
	}
	return a
}

func step(b *testing.B, a store.AdmitParams, name string, kind audit.Kind) audit.Entry {
	e, err := audit.New(a.View.ID, name, a.View.CreatedAt, Payload{Of: kind, Note: a.View.Digest})
	if err != nil {
		b.Error(err)
	}
	return e
}

// BenchmarkCalls lists pages out of 100,000 calls that the backend made. One in fifty waited for
// people, and one in a thousand still does.
func BenchmarkCalls(b *testing.B, s store.Store) {
	pending := []approval.Status{approval.StatusPending}
	rejected := []approval.Status{approval.StatusRejected, approval.StatusExpired}
	ended := []approval.Status{approval.StatusExecuted, approval.StatusRejected}
	for name, q := range map[string]store.CallQuery{
		"all":             {},
		"requests":        {Requests: true},
		"pending":         {Requests: true, Statuses: pending},
		"pending of tool": {Requests: true, Statuses: pending, Tool: "tool-0"},
		"rejected":        {Requests: true, Statuses: rejected},
		"tool":            {Requests: true, Tool: "tool-7"},
		"agent and tool":  {Agent: "agent-3", Tool: "tool-3"},
		"session":         {Requests: true, Session: "session-77"},
		"nothing":         {Risk: approval.RiskCritical},
		"page 2":          {Statuses: ended, Cursor: "calls-90000"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Calls(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPending reads the first page of what waits, with 100 calls and with 100,000. fill adds calls
// that wait.
func BenchmarkPending(b *testing.B, s store.Store, fill func(from, to int)) {
	have := 0
	for _, n := range []int{100, 100_000} {
		fill(have+1, n)
		have = n
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			q := store.CallQuery{Nearest: true, Statuses: []approval.Status{approval.StatusPending}, Limit: 100}
			for b.Loop() {
				page, err := s.Calls(b.Context(), q)
				if err != nil || len(page.Items) != 100 {
					b.Fatalf("%d calls, %v", len(page.Items), err)
				}
			}
		})
	}
}

// BenchmarkSearches runs what people look for in a store of many calls, as the backend made them, and
// ends with what a call writes there.
func BenchmarkSearches(b *testing.B, s store.Store, calls int) {
	at := func(share int) time.Time { return SearchesBegin.Add(time.Duration(calls/100*share) * time.Second) }
	pending := []approval.Status{approval.StatusPending}
	for _, list := range []struct {
		name string
		q    store.CallQuery
		want int
	}{
		{"the queue", store.CallQuery{Statuses: pending}, min(store.DefaultPage, calls/1000)},
		{"the queue of an agent", store.CallQuery{Statuses: pending, Agent: "agent-3"}, min(store.DefaultPage, calls/7000)},
		{"requests", store.CallQuery{}, store.DefaultPage},
		{"rejected", store.CallQuery{Statuses: []approval.Status{approval.StatusRejected}}, store.DefaultPage},
		{"a tool's", store.CallQuery{Tool: "tool-7"}, store.DefaultPage},
		{"a session's", store.CallQuery{Session: "session-5"}, 2},
		{"the middle", store.CallQuery{Cursor: fmt.Sprintf("calls-%d", calls/2)}, store.DefaultPage},
	} {
		b.Run("calls/"+list.name, func(b *testing.B) {
			list.q.Requests = true
			for b.Loop() {
				p, err := s.Calls(b.Context(), list.q)
				if err != nil || len(p.Items) < list.want-1 {
					b.Fatal(len(p.Items), err)
				}
			}
		})
	}
	for _, list := range []struct {
		name string
		q    store.EntryQuery
		want int
	}{
		{"the newest", store.EntryQuery{}, store.DefaultPage},
		{"of an hour ago", store.EntryQuery{Since: at(50), Until: at(51)}, store.DefaultPage},
		{"one call's", store.EntryQuery{Subject: fmt.Sprintf("call-%d", calls/2)}, 10},
		{"a kind that all have", store.EntryQuery{Kind: audit.KindEnded}, store.DefaultPage},
		{"decisions", store.EntryQuery{Kind: audit.KindDecided}, store.DefaultPage},
		{"what one person did", store.EntryQuery{By: "reviewer-3"}, min(store.DefaultPage, calls/1000)},
		{"a tool's", store.EntryQuery{Tool: "tool-3"}, store.DefaultPage},
		{"an agent's that were rejected", store.EntryQuery{Agent: "agent-3", Status: approval.StatusRejected}, store.DefaultPage},
		{"a tool that is far back", store.EntryQuery{Tool: "rare"}, 0},
		{"the middle", store.EntryQuery{Cursor: fmt.Sprintf("entries-%d", calls*5)}, store.DefaultPage},
	} {
		b.Run("entries/"+list.name, func(b *testing.B) {
			list.q.Newest = true
			for b.Loop() {
				p, err := s.Entries(b.Context(), list.q)
				if err != nil || len(p.Items) < list.want || len(p.Items) > 0 && p.Items[0].Damage != "" {
					b.Fatalf("%d entries, want %d; %v; %+v", len(p.Items), list.want, err, p.Items[:min(1, len(p.Items))])
				}
			}
		})
	}
	n := 0
	b.Run("a call from admission to end", func(b *testing.B) {
		for b.Loop() {
			Live(b, s, calls+n)
			n++
		}
	})
}

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
