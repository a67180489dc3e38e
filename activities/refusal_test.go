package activities_test

import (
	"context"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"go.temporal.io/sdk/worker"
)

// stopping is a store whose worker is stopped just when a permit was refused.
type stopping struct {
	*sqlite.Store
	stop    context.CancelFunc
	bounded bool // the record was written with a limit of time
}

func (s *stopping) Use(ctx context.Context, u store.UseParams) error {
	defer s.stop()
	return s.Store.Use(ctx, u)
}

func (s *stopping) Append(ctx context.Context, entries ...audit.Entry) error {
	_, s.bounded = ctx.Deadline()
	return s.Store.Append(ctx, entries...)
}

// What was refused goes on record, also when the worker stops meanwhile.
func TestRefusalIsRecordedWhileTheWorkerStops(t *testing.T) {
	for name, prepare := range map[string]func(*bench){
		"never admitted": func(*bench) {},
		"admitted only":  func(b *bench) { b.admit() },
		"ended before":   (*bench).ended,
	} {
		b := setup(t)
		prepare(b)
		ctx, stop := context.WithCancel(t.Context())
		s := &stopping{Store: b.store, stop: stop}
		b.acts.Store = s
		b.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
		if err := b.execute(nil); code(err) != approval.CodeNoPermit {
			t.Errorf("%s: %v", name, err)
		}
		q := store.EntryQuery{Subject: "default-test-workflow-id", Kind: audit.KindNotStarted}
		if page, err := b.store.Entries(t.Context(), q); err != nil || len(page.Items) != 1 || !s.bounded {
			t.Errorf("%s: %d entries, bounded %v, %v", name, len(page.Items), s.bounded, err)
		}
	}
}
