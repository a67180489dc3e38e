package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/tool"
)

// fakeBackend serves queues, or fails to.
type fakeBackend struct {
	fakeCalls
	fakeCatalogue
	mu      sync.Mutex
	fail    int
	serving []ServeOptions
	stopped int
}

func (d *fakeBackend) End(ctx context.Context, id, run string, wait bool) (approval.Outcome, error) {
	return d.fakeCalls.End(ctx, id, run, wait)
}

func (d *fakeBackend) Sweep(ctx context.Context, ids []string) ([]string, []string, error) {
	return d.fakeCalls.Sweep(ctx, ids)
}

func (d *fakeBackend) State(ctx context.Context, id string) (approval.State, error) {
	return d.fakeCalls.State(ctx, id)
}

func (d *fakeBackend) Publish(ctx context.Context, p approval.Publication) (approval.Published, error) {
	return d.fakeCatalogue.Publish(ctx, p)
}

func (d *fakeBackend) Serve(_ context.Context, o ServeOptions) (func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail--; d.fail >= 0 {
		return nil, errAway
	}
	d.serving = append(d.serving, o)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stopped++
	}, nil
}

func (d *fakeBackend) Start(context.Context, calls.Start) (string, error)          { return "", errAway }
func (d *fakeBackend) Cancel(context.Context, string, approval.CancelSignal) error { return errAway }
func (d *fakeBackend) Close()                                                      {}

func hosting(t *testing.T, f func(t *testing.T, d *fakeBackend, r *Runtime)) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeBackend{fakeCalls: fakeCalls{ended: map[string]chan struct{}{}, gone: map[string]bool{}}}
		r := New(d, Options{Agent: "a", Drain: time.Second, Running: 1, Logger: slog.New(slog.DiscardHandler), Unpublished: unpublished, Waiting: d.waiting})
		f(t, d, r)
		r.Close()
		if d.stopped != len(d.serving) {
			t.Errorf("%d workers were started, %d stopped", len(d.serving), d.stopped)
		}
	})
}

func guardOne(t *testing.T, r *Runtime) {
	t.Helper()
	one, err := tool.New("one", func(context.Context, struct{}) (int, error) { return 1, nil }, tool.Options{})
	if err == nil {
		err = r.Guard(one)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestServingBeginsWhenItIsNeeded(t *testing.T) {
	hosting(t, func(t *testing.T, d *fakeBackend, r *Runtime) {
		d.open("c")
		r.Begin()
		r.Join("c", "")
		synctest.Wait()
		if len(d.serving) != 0 {
			t.Error("a process that guards nothing takes the tasks of others")
		}
		guardOne(t, r)
		synctest.Wait()
		if len(d.serving) != 1 || d.serving[0].Queue != "pawl-tools-a" {
			t.Errorf("%+v", d.serving)
		}
	})
	hosting(t, func(t *testing.T, d *fakeBackend, r *Runtime) {
		guardOne(t, r)
		time.Sleep(time.Hour)
		if len(d.serving) != 0 || len(d.took) != 0 {
			t.Error("it serves and publishes before anybody needs it")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := r.Serve(ctx)
		synctest.Wait()
		if err != nil || len(d.serving) != 1 || len(d.took) != 1 {
			t.Errorf("%v, %d workers, %d publications", err, len(d.serving), len(d.took))
		}
	})
}

func TestServingWaitsForAWorker(t *testing.T) {
	hosting(t, func(t *testing.T, d *fakeBackend, r *Runtime) {
		guardOne(t, r)
		d.alone, d.hold = true, make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := r.Serve(ctx); err != nil || d.checks.Load() < 10 {
			t.Errorf("%v after %d checks", err, d.checks.Load())
		}
		close(d.hold)
	})
}

func TestServingComesBack(t *testing.T) {
	hosting(t, func(t *testing.T, d *fakeBackend, r *Runtime) {
		guardOne(t, r)
		d.fail = 5
		go func() { _ = r.Serve(t.Context()) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(d.serving) != 1 {
			t.Fatalf("%d workers after an outage", len(d.serving))
		}
		died := d.serving[0].Died
		died(errors.New("the namespace is gone"))
		died(errors.New("said twice"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(d.serving) != 2 || d.stopped != 1 {
			t.Errorf("%d workers, %d stopped", len(d.serving), d.stopped)
		}
	})
}
