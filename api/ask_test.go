package api

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
)

// Many reviewers at once: one decides, all learn it, and the workflow is never asked twice at a
// time.
func TestReviewersShareQueries(t *testing.T) {
	const reviewers = 24
	w := newWorld(t)
	f := w.request("pawl-1")
	first, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.temporal.onQuery = func() error {
		once.Do(func() { // the first query takes until all others have decided
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
	waitFor(t, "everybody has decided", func() bool {
		w.temporal.mu.Lock()
		defer w.temporal.mu.Unlock()
		return len(f.signals) == reviewers
	})
	close(release)
	count := map[string]int{}
	for range reviewers {
		count[<-outcomes]++
	}
	if count["200 true"] != 1 || count["409 false"] != reviewers-1 {
		t.Errorf("answers: %v", count)
	}
	if w.temporal.queries >= reviewers || w.temporal.most != 1 {
		t.Errorf("%d queries, at most %d at a time", w.temporal.queries, w.temporal.most)
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
