package e2e_test

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

var record = flag.Bool("record", false, "write the histories that package workflows replays")

// TestRecordHistories writes one history for each way a call can end, and for
// the roads there that differ. Until release 0.1 they are recorded anew when
// the workflow changes; from then on they are a gate.
func TestRecordHistories(t *testing.T) {
	if !*record {
		t.Skip("make record writes the histories anew")
	}
	for name, change := range map[string]func(*stack.Config){
		"": func(*stack.Config) {}, "ordinary-": func(c *stack.Config) { c.OrdinarySteps = true },
	} {
		w := newWorld(t, change)
		approve := func(id string) { w.decide(id, "approve", "ana", `{"notes":"ok"}`) }
		const send, read = `{"tool":"send","args":{"to":"x","secret":"hunter2"},"agent":"bot"}`, `{"tool":"read","args":{"to":"x"}}`

		id := w.call(read)
		w.ends(id, approval.StatusExecuted, 1)
		w.save(name+"allowed", id)

		id = w.pending(send)
		approve(id)
		w.ends(id, approval.StatusExecuted, 1)
		w.save(name+"executed", id)

		id = w.pending(send)
		w.decide(id, "approve", "ana", `{"digest":"00"}`)
		w.decide(id, "reject", "bo", ``)
		w.ends(id, approval.StatusRejected, 0)
		w.save(name+"rejected", id)

		id = w.pending(`{"tool":"hasty","args":{"to":"x"}}`)
		w.ends(id, approval.StatusExpired, 0)
		w.save(name+"expired", id)

		id = w.call(`{"tool":"nope"}`)
		w.ends(id, approval.StatusBlocked, 0)
		w.save(name+"blocked", id)

		id = w.pending(send)
		w.post("/api/calls/"+id+"/cancel", ``)
		w.ends(id, approval.StatusCancelled, 0)
		w.save(name+"cancelled", id)

		id = w.pending(send)
		if err := w.Client.CancelWorkflow(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		w.ends(id, approval.StatusCancelled, 0)
		w.save(name+"cancelled-by-temporal", id)

		id = w.pending(`{"tool":"hasty","args":{"to":"x"}}`)
		w.StopWorker()
		approve(id)
		deadline := w.view(id).Deadline.Add(200 * time.Millisecond)
		w.until("the deadline is over", func() bool { return time.Now().After(deadline) })
		if err := w.StartWorker(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.ends(id, approval.StatusExecuted, 1)
		w.save(name+"executed-answered-in-time-seen-late", id)

		w.behave = func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", 400) }
		id = w.call(read)
		w.ends(id, approval.StatusFailed, 1)
		w.save(name+"failed", id)

		w.behave = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		id = w.pending(send)
		approve(id)
		w.ends(id, approval.StatusOutcomeUnknown, 1)
		w.save(name+"outcome-unknown", id)
	}
}

// identities are process IDs and host names of whoever recorded.
var identities = regexp.MustCompile(`("identity": *)"[^"]*"`)

func (w *world) save(name, id string) {
	w.t.Helper()
	var h historypb.History
	events := w.Client.GetWorkflowHistory(w.t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			w.t.Fatal(err)
		}
		h.Events = append(h.Events, e)
	}
	doc, err := protojson.MarshalOptions{Indent: " "}.Marshal(&h)
	if err != nil {
		w.t.Fatal(err)
	}
	doc = identities.ReplaceAll(doc, []byte(`${1}"somebody"`))
	path := filepath.Join("..", "..", "workflows", "testdata", "histories", name+".json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, append(doc, '\n'), 0o644); err != nil {
		w.t.Fatal(err)
	}
}
