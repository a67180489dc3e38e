package retry

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{Most: 5 * time.Second}
		rounds := func() {
			t.Helper()
			for want, i := First, 0; i < 10; i++ {
				began := time.Now()
				if !b.Wait(t.Context()) {
					t.Fatal("it did not wait")
				}
				if took := time.Since(began); took < want/2 || took > want {
					t.Errorf("pause %d took %v, want %v to %v", i, took, want/2, want)
				}
				want = min(2*want, 5*time.Second)
			}
		}
		rounds()
		b.Reset()
		rounds()
	})
}

func TestPausesAreBoundedByDefault(t *testing.T) {
	var b Backoff
	for range 100 {
		if d := b.Next(); d > Most {
			t.Fatalf("a pause of %v", d)
		}
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), First/4)
		defer cancel()
		began := time.Now()
		if new(Backoff).Wait(ctx) || time.Since(began) != First/4 {
			t.Errorf("it waited %v", time.Since(began))
		}
		if Sleep(ctx, -1) {
			t.Error("a context that has ended lets nobody sleep on")
		}
	})
}
