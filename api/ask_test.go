package api

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
)

// Many reviewers at once: one decides, all learn it, and the workflow is asked
// about twice, never twice at a time.
func TestReviewersShareQueries(t *testing.T) {
	const reviewers = 24
	w := newWorld(t)
	w.request("pawl-1")
	first, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.temporal.onQuery = func() error {
		once.Do(func() { // the first query takes until all others wait for the next
			close(first)
			<-release
		})
		return nil
	}
	outcomes := make(chan string, reviewers)
	decide := func(i int) {
		rec := w.as(fmt.Sprintf("reviewer-%d", i), "/api/requests/pawl-1/approve", "")
		outcomes <- fmt.Sprint(rec.Code, " ", strings.Contains(rec.Body.String(), `"outcome":"resolved"`))
	}
	go decide(0)
	<-first
	for i := 1; i < reviewers; i++ {
		go decide(i)
	}
	waitFor(t, "everybody waits", func() bool {
		w.server.ask.mu.Lock()
		defer w.server.ask.mu.Unlock()
		next := w.server.ask.calls["pawl-1"].next
		return next != nil && next.waiting == reviewers-1
	})
	close(release)
	count := map[string]int{}
	for range reviewers {
		count[<-outcomes]++
	}
	if count["200 true"] != 1 || count["409 false"] != reviewers-1 {
		t.Errorf("answers: %v", count)
	}
	if w.temporal.queries != 2 || w.temporal.most != 1 {
		t.Errorf("%d queries, at most %d at a time", w.temporal.queries, w.temporal.most)
	}
	waitFor(t, "nothing is kept", func() bool {
		w.server.ask.mu.Lock()
		defer w.server.ask.mu.Unlock()
		return len(w.server.ask.calls) == 0
	})
}

// A query that nobody waits for any more is not asked.
func TestAbandonedQueryIsNotAsked(t *testing.T) {
	w := newWorld(t)
	w.request("pawl-1")
	begun, release := make(chan struct{}, 1), make(chan struct{})
	w.temporal.onQuery = func() error {
		begun <- struct{}{}
		<-release
		return nil
	}
	answered := make(chan error)
	go func() {
		_, err := w.server.ask.state(context.Background(), "pawl-1")
		answered <- err
	}()
	<-begun
	leaving, leave := context.WithCancel(context.Background())
	left := make(chan error)
	go func() {
		_, err := w.server.ask.state(leaving, "pawl-1")
		left <- err
	}()
	waitFor(t, "the second waits", func() bool {
		w.server.ask.mu.Lock()
		defer w.server.ask.mu.Unlock()
		return w.server.ask.calls["pawl-1"].next != nil
	})
	leave()
	if err := <-left; err == nil {
		t.Error("the second got an answer")
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the first got %v", err)
	}
	waitFor(t, "nothing is kept", func() bool {
		w.server.ask.mu.Lock()
		defer w.server.ask.mu.Unlock()
		return len(w.server.ask.calls) == 0
	})
	if w.temporal.queries != 1 {
		t.Errorf("%d queries", w.temporal.queries)
	}
}

// Another process may be asking the same workflow.
func TestBusyWorkflowIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.request("pawl-1")
	tries := 0
	w.temporal.onQuery = func() error {
		if tries++; tries == 1 {
			return serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, "consistent query buffer is full")
		}
		return nil
	}
	body := expect(t, w.as("ana", "/api/requests/pawl-1/approve", ""), 200, "")
	if body["outcome"] != "resolved" || tries != 2 {
		t.Errorf("outcome %v after %d queries", body["outcome"], tries)
	}
}
