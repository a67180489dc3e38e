package pawl

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
	"github.com/pawlhq/pawl/internal/calls"
)

// depot serves queues, or fails to.
type depot struct {
	lake
	catalogue
	mu      sync.Mutex
	fail    int
	serving []agent.ServeOptions
	stopped int
}

func (d *depot) End(ctx context.Context, id, run string, wait bool) (approval.Outcome, error) {
	return d.lake.End(ctx, id, run, wait)
}

func (d *depot) Sweep(ctx context.Context, ids []string) ([]string, []string, error) {
	return d.lake.Sweep(ctx, ids)
}

func (d *depot) State(ctx context.Context, id string) (approval.State, error) {
	return d.lake.State(ctx, id)
}

func (d *depot) Publish(ctx context.Context, p approval.Publication) (approval.Published, error) {
	return d.catalogue.Publish(ctx, p)
}

func (d *depot) Serve(_ context.Context, o agent.ServeOptions) (func(), error) {
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

func (d *depot) Start(context.Context, calls.Start) (string, error)          { return "", errAway }
func (d *depot) Cancel(context.Context, string, approval.CancelSignal) error { return errAway }
func (d *depot) Close()                                                      {}

func hosting(t *testing.T, f func(t *testing.T, d *depot, a *Agent)) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{lake: lake{ended: map[string]chan struct{}{}, gone: map[string]bool{}}}
		a, err := NewWith(d, Options{Agent: "a"})
		if err != nil {
			t.Fatal(err)
		}
		f(t, d, a)
		a.Close()
		if d.stopped != len(d.serving) {
			t.Errorf("%d workers were started, %d stopped", len(d.serving), d.stopped)
		}
	})
}

func guardOne(t *testing.T, a *Agent) {
	t.Helper()
	if _, err := Guard(a, "one", func(context.Context, struct{}) (int, error) { return 1, nil }, Tool{}); err != nil {
		t.Fatal(err)
	}
}

func TestServingBeginsWhenItIsNeeded(t *testing.T) {
	hosting(t, func(t *testing.T, d *depot, a *Agent) {
		d.open("c")
		call, err := a.Continue(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		call.Done()
		synctest.Wait()
		if len(d.serving) != 0 {
			t.Error("a process that guards nothing takes the tasks of others")
		}
		guardOne(t, a)
		synctest.Wait()
		if len(d.serving) != 1 || d.serving[0].Queue != "pawl-tools-a" {
			t.Errorf("%+v", d.serving)
		}
	})
	hosting(t, func(t *testing.T, d *depot, a *Agent) {
		guardOne(t, a)
		time.Sleep(time.Hour)
		if len(d.serving) != 0 || len(d.took) != 0 {
			t.Error("it serves and publishes before anybody needs it")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := a.Serve(ctx)
		synctest.Wait()
		if err != nil || len(d.serving) != 1 || len(d.took) != 1 {
			t.Errorf("%v, %d workers, %d publications", err, len(d.serving), len(d.took))
		}
	})
}

func TestServingWaitsForAWorker(t *testing.T) {
	hosting(t, func(t *testing.T, d *depot, a *Agent) {
		guardOne(t, a)
		d.alone, d.hold = true, make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := a.Serve(ctx); err != nil || d.looks.Load() < 10 {
			t.Errorf("%v after %d looks", err, d.looks.Load())
		}
		close(d.hold)
	})
}

func TestServingComesBack(t *testing.T) {
	hosting(t, func(t *testing.T, d *depot, a *Agent) {
		guardOne(t, a)
		d.fail = 5
		go func() { _ = a.Serve(t.Context()) }()
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
