package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/strictjson"
)

// reviewer is a client of one API.
func reviewer(t *testing.T, api, name string) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: api, Reviewer: name})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSixtyFourClientsStartWithOneKey(t *testing.T) {
	w := newWorld(t)
	apis := []*client.Client{reviewer(t, w.API, "a"), reviewer(t, w.secondAPI(), "b")}
	for _, tool := range []string{"read", "send"} {
		const clients = 64
		call := approval.Call{Tool: tool, Args: []byte(`{"to":"x"}`), IdempotencyKey: "order-7-" + tool}
		var views [clients]client.View
		var attached [clients]bool
		at := make(chan struct{})
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				<-at
				var err error
				if views[i], attached[i], err = apis[i%2].Start(t.Context(), call, 0); err != nil {
					t.Error(err)
					return
				}
				if tool == "send" && i == 0 {
					w.until("the call is pending", func() bool { return w.status(views[i].ID) == approval.StatusPending })
					if a := w.decide(views[i].ID, "approve", "ana", fmt.Sprintf(`{"digest":%q}`, w.digest(views[i].ID))); a.text("outcome") != "resolved" {
						t.Errorf("%d %v", a.code, a.doc)
					}
				}
				views[i], err = apis[i%2].Wait(t.Context(), views[i].ID)
				if err != nil {
					t.Error(err)
				}
			})
		}
		close(at)
		wg.Wait()
		began := 0
		for i, v := range views {
			if string(v.Raw) != string(views[0].Raw) {
				t.Errorf("client 0 was told\n%s\nclient %d\n%s", views[0].Raw, i, v.Raw)
			}
			if !attached[i] {
				began++
			}
		}
		if began != 1 {
			t.Errorf("%d clients were told that they began the call", began)
		}
		w.ends(views[0].ID, approval.StatusExecuted, 1)
		call.Args = []byte(`{"to":"y"}`)
		if _, _, err := apis[1].Start(t.Context(), call, 0); approval.CodeOf(err) != approval.CodeConflict {
			t.Errorf("another call under the key: %v", err)
		}
		w.ends(views[0].ID, approval.StatusExecuted, 1)
	}
}

func (w *world) digest(id string) string {
	w.t.Helper()
	r, err := w.Store.Call(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.View.Digest
}

// verdictOf is what one of those who decide at once was told.
type verdictOf struct {
	outcome approval.AnswerOutcome // resolved, already_resolved, expired or not_judged_yet
	err     error
}

// TestEverybodyDecidesAtTheDeadline: one of approval, rejection, withdrawal and silence settles a
// call, each is told the truth, and store and workflow agree.
func TestEverybodyDecidesAtTheDeadline(t *testing.T) {
	w := newWorld(t)
	apis := []string{w.API, w.secondAPI()}
	const calls = 40
	// A withdrawal goes before what is there with it, so not all calls get one.
	deciders := [][]string{{"approve", "reject", "cancel"}, {"approve", "reject"}}
	count := map[approval.Status]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range calls {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(n)))
			id := w.pending(`{"tool":"send","args":{"to":"x"},"timeout":"4s"}`)
			record, err := w.Store.Call(context.Background(), id)
			if err != nil {
				t.Error(err)
				return
			}
			told := map[string]*verdictOf{}
			var each sync.WaitGroup
			for i, what := range deciders[n%2] {
				v := &verdictOf{}
				told[what] = v
				as := reviewer(t, apis[(n+i)%2], what+"er")
				// Each way takes some milliseconds, and many come at once.
				at := record.View.Deadline.Add(time.Duration(r.IntN(500)-350) * time.Millisecond)
				each.Go(func() {
					<-time.After(time.Until(at))
					*v = decideAs(as, id, what, record.View.Digest)
				})
			}
			each.Wait()
			status := w.settledTruthfully(id, told)
			mu.Lock()
			defer mu.Unlock()
			count[status]++
		})
	}
	wg.Wait()
	t.Logf("%d calls: %v", calls, count)
}

func decideAs(as *client.Client, id, what, digest string) verdictOf {
	var outcome approval.AnswerOutcome
	var err error
	if what == "cancel" {
		var done bool
		outcome = rest.AnswerNotJudged
		if done, err = as.Cancel(context.Background(), id, ""); done {
			outcome = approval.AnswerResolved
		}
	} else {
		var a rest.DecisionAnswer
		a, err = as.Decide(context.Background(), id, client.Decision{Kind: approval.DecisionKind(what), Digest: digest})
		outcome = a.Outcome
	}
	var refused *client.Error
	if errors.As(err, &refused) && refused.Outcome != "" {
		return verdictOf{outcome: refused.Outcome}
	}
	return verdictOf{outcome, err}
}

// settledTruthfully waits for the call's end, and holds what each was told against it.
func (w *world) settledTruthfully(id string, told map[string]*verdictOf) approval.Status {
	w.t.Helper()
	var out approval.Outcome
	if err := w.Client.GetWorkflow(context.Background(), id, "").Get(context.Background(), &out); err != nil {
		w.t.Errorf("call %s: %v", id, err)
		return ""
	}
	record, err := w.Store.Call(context.Background(), id)
	if err != nil {
		w.t.Errorf("call %s: %v", id, err)
		return ""
	}
	inStore, errA := strictjson.Canonical(record.View.Outcome())
	inTemporal, errB := strictjson.Canonical(out)
	if errA != nil || errB != nil || string(inStore) != string(inTemporal) {
		w.t.Errorf("call %s: the store says %s %v, the workflow %s %v", id, inStore, errA, inTemporal, errB)
	}
	by := map[approval.Status]string{approval.StatusExecuted: "approve", approval.StatusRejected: "reject", approval.StatusCancelled: "cancel"}[out.Status]
	runs := 0
	if by == "approve" {
		runs = 1
	}
	if by == "" && out.Status != approval.StatusExpired || w.runs(id) != runs {
		w.t.Errorf("call %s ended %s after %d runs", id, out.Status, w.runs(id))
	}
	for what, v := range told {
		truth := false
		switch v.outcome {
		case approval.AnswerResolved:
			truth = what == by
		case approval.AnswerAlreadyResolved:
			truth = what != by && out.Status != approval.StatusExpired
		case approval.AnswerExpired:
			truth = what != by
		case rest.AnswerNotJudged:
			truth = true // and the decision's own address tells later
		}
		if v.err != nil || !truth {
			w.t.Errorf("call %s ended %s; %s was told %q, %v", id, out.Status, what, v.outcome, v.err)
		}
	}
	w.checkEntries(id)
	return out.Status
}
