package api

import (
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
)

// Two servers, as two processes would, get one key from many clients at once, some of them with
// another call under it.
func TestOneKeyFromManyClients(t *testing.T) {
	w := newWorld(t)
	other := *w
	var err error
	if other.server, err = New(Options{Temporal: w.server.o.Temporal, Store: w.store}); err != nil {
		t.Fatal(err)
	}
	bodies := []string{
		`{"tool":"refund","args":{"amount":120},"idempotency_key":"k1"}`,
		`{"tool":"refund","args":{"amount":121},"idempotency_key":"k1"}`,
	}
	const clients = 64
	var answers [clients]*httptest.ResponseRecorder
	at := make(chan struct{})
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			<-at
			answers[i] = []*world{w, &other}[i%2].send("POST", "/api/calls", bodies[i/2%2])
		})
	}
	close(at)
	wg.Wait()

	winner, began := -1, 0
	for i, rec := range answers {
		if rec.Code == 202 && rec.Header().Get("Pawl-Attached") == "" {
			winner, began = i/2%2, began+1
		}
	}
	if began != 1 || len(w.temporal.workflows) != 1 {
		t.Fatalf("%d clients began the call, %d workflows", began, len(w.temporal.workflows))
	}
	id := approval.KeyedID(auth.LocalSubject, "k1")
	for i, rec := range answers {
		if i/2%2 != winner {
			expect(t, rec, 409, approval.CodeConflict)
		} else if body := expect(t, rec, 202, ""); body["id"] != id {
			t.Errorf("client %d was told the ID %v, want %s", i, body["id"], id)
		}
	}
}
