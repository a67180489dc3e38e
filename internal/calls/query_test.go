package calls

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"go.temporal.io/api/serviceerror"
)

// Many ask at once: the workflow is asked twice, never twice at a time.
func TestQueriesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &server{onQuery: func() error { <-release; return nil }}
		c := newClient(s)
		var all sync.WaitGroup
		ask := func() {
			if state, err := c.State(t.Context(), "id"); err != nil || state.ID != "id" {
				t.Errorf("%+v, %v", state, err)
			}
		}
		all.Go(ask)
		synctest.Wait() // the first query takes until all others wait for the next
		for range 23 {
			all.Go(ask)
		}
		synctest.Wait()
		close(release)
		all.Wait()
		synctest.Wait()
		if s.queries != 2 || s.most != 1 || len(c.queries.next) != 0 {
			t.Errorf("%d queries, at most %d at a time; %d are kept", s.queries, s.most, len(c.queries.next))
		}
	})
}

// A query that nobody waits for any more is not asked.
func TestAbandonedQueryIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &server{onQuery: func() error { <-release; return nil }}
		c := newClient(s)
		answered, left := make(chan error), make(chan error)
		go func() { _, err := c.State(t.Context(), "id"); answered <- err }()
		synctest.Wait()
		leaving, leave := context.WithCancel(t.Context())
		go func() { _, err := c.State(leaving, "id"); left <- err }()
		synctest.Wait()
		leave()
		if err := <-left; err == nil {
			t.Error("the second got an answer")
		}
		close(release)
		if err := <-answered; err != nil {
			t.Errorf("the first got %v", err)
		}
		synctest.Wait()
		if s.queries != 1 || len(c.queries.next) != 0 {
			t.Errorf("%d queries; %d are kept", s.queries, len(c.queries.next))
		}
	})
}

func TestStateOfAnUnknownCall(t *testing.T) {
	c := newClient(&server{onQuery: func() error { return serviceerror.NewNotFound("") }})
	if _, err := c.State(t.Context(), "id"); err != ErrUnknown {
		t.Errorf("%v", err)
	}
}
