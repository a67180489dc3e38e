package api

import (
	"io"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
)

func executed(id string) approval.Outcome {
	return approval.Outcome{
		ID: id, Tool: "refund", Status: approval.StatusExecuted, Result: raw(`{"card":"4111","ok":true}`), Digest: "d1",
		Decision: &approval.FinalDecision{Kind: approval.FinalAllow, At: testTime},
	}
}

func TestStartSendsTheWholeCall(t *testing.T) {
	w := newWorld(t)
	rec := w.send("POST", "/api/calls", `{"tool":"refund","args":{"amount":120},"agent":"billing","requester":"root","idempotency_key":"k1","timeout":"5m","require_approval":true,"wait":0}`)
	body := expect(t, rec, 202, "")
	id := approval.KeyedID(auth.LocalSubject, "k1")
	if body["id"] != id || rec.Header().Get("Location") != "/api/calls/"+id || rec.Header().Get("Pawl-Attached") != "" {
		t.Errorf("id %v, headers %v", body["id"], rec.Header())
	}
	golden(t, "call_started", rec)

	start := w.temporal.starts[0]
	if start.WorkflowType.Name != approval.WorkflowType || start.TaskQueue.Name != approval.TaskQueue ||
		start.WorkflowIdReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE ||
		start.WorkflowIdConflictPolicy != enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL {
		t.Errorf("started as %v", start)
	}
	call := w.temporal.get(id).call
	if call.Requester != auth.LocalSubject || call.Nonce == "" || string(call.Args) != `{"amount":120}` || call.Timeout.Std() != 5*time.Minute || !call.RequireApproval {
		t.Errorf("the workflow got %+v", call)
	}
	want, err := call.Fingerprint()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(start.Memo.Fields[approval.MemoFingerprint].Data); got != `"`+want+`"` {
		t.Errorf("memo %s, want %s", got, want)
	}
}

func TestStartsWithoutKeyAreDifferentCalls(t *testing.T) {
	w := newWorld(t)
	a := expect(t, w.send("POST", "/api/calls", `{"tool":"t"}`), 202, "")
	b := expect(t, w.send("POST", "/api/calls", `{"tool":"t"}`), 202, "")
	if a["id"] == b["id"] || w.temporal.get(a["id"].(string)).call.Nonce == w.temporal.get(b["id"].(string)).call.Nonce {
		t.Errorf("ids %v and %v, or their nonces, are one", a["id"], b["id"])
	}
}

func TestIdempotencyKey(t *testing.T) {
	const call = `{"tool":"refund","args":{"amount":120},"idempotency_key":"k1"}`
	for _, c := range []struct {
		name, body string
		header     []string
		status     int
		code       string
		attached   bool
	}{
		{"same call", call, nil, 202, "", true},
		{"same call, other spelling", `{ "idempotency_key":"k1", "args":{"amount":1.2e2}, "tool":"refund", "nonce":"n"}`, nil, 202, "", true},
		{"same call, key in the header", `{"tool":"refund","args":{"amount":120}}`, []string{"Idempotency-Key", "k1"}, 202, "", true},
		{"both the same", call, []string{"Idempotency-Key", "k1"}, 202, "", true},
		{"both, different", call, []string{"Idempotency-Key", "k2"}, 400, rest.CodeInvalidRequest, false},
		{"two headers", call, []string{"Idempotency-Key", "k1", "Idempotency-Key", "k1"}, 400, rest.CodeInvalidRequest, false},
		{"empty header", call, []string{"Idempotency-Key", ""}, 400, rest.CodeInvalidRequest, false},
		{"unreadable header", `{"tool":"t"}`, []string{"Idempotency-Key", "k\xff"}, 400, rest.CodeInvalidRequest, false},
		{"other arguments", `{"tool":"refund","args":{"amount":121},"idempotency_key":"k1"}`, nil, 409, approval.CodeConflict, false},
		{"other agent", `{"tool":"refund","args":{"amount":120},"agent":"b","idempotency_key":"k1"}`, nil, 409, approval.CodeConflict, false},
		{"other key", `{"tool":"refund","args":{"amount":120},"idempotency_key":"k2"}`, nil, 202, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			expect(t, w.send("POST", "/api/calls", call), 202, "")
			rec := w.send("POST", "/api/calls", c.body, c.header...)
			expect(t, rec, c.status, c.code)
			if got := rec.Header().Get("Pawl-Attached") == "true"; got != c.attached {
				t.Errorf("attached is %v", got)
			}
		})
	}
}

func TestAttach(t *testing.T) {
	const call = `{"tool":"refund","args":{"amount":120},"idempotency_key":"k1"}`
	id := approval.KeyedID(auth.LocalSubject, "k1")
	for _, c := range []struct {
		name   string
		setup  func(w *world, f *fakeWorkflow)
		status int
		code   string
		want   any // the call's status
	}{
		{"running", func(*world, *fakeWorkflow) {}, 202, "", "evaluating"},
		{"waiting for people", func(w *world, _ *fakeWorkflow) {
			w.store.put(store.Record{View: view(id, approval.StatusPending), IsRequest: true})
		}, 202, "", "pending"},
		{"ended", func(w *world, f *fakeWorkflow) { w.temporal.complete(id, executed(id)) }, 200, "", "executed"},
		{"terminated", func(w *world, f *fakeWorkflow) {
			w.store.put(store.Record{View: view(id, approval.StatusPending), IsRequest: true})
			f.close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil)
		}, 409, rest.CodeWorkflowGone, nil},
		{"terminated after its end was recorded", func(w *world, f *fakeWorkflow) {
			w.ended(id, approval.StatusRejected)
			f.close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil)
		}, 200, "", "rejected"},
		{"started by other means", func(_ *world, f *fakeWorkflow) { f.memo = nil }, 409, approval.CodeConflict, nil},
		{"not a call at all", func(_ *world, f *fakeWorkflow) { f.typ = "Payroll" }, 409, approval.CodeConflict, nil},
		{"the key was another call's before retention", func(w *world, f *fakeWorkflow) {
			o := approval.Outcome{ID: id, Status: approval.StatusBlocked, Error: &approval.CallError{Code: approval.CodeConflict}}
			w.temporal.complete(id, o)
		}, 409, approval.CodeConflict, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			expect(t, w.send("POST", "/api/calls", call), 202, "")
			c.setup(w, w.temporal.get(id))
			rec := w.send("POST", "/api/calls", call)
			if body := expect(t, rec, c.status, c.code); c.want != nil && body["status"] != c.want {
				t.Errorf("status %v, want %v", body["status"], c.want)
			}
		})
	}
}

func TestStartWaits(t *testing.T) {
	t.Run("ended in time", func(t *testing.T) {
		w := newWorld(t)
		w.temporal.onStart = func(f *fakeWorkflow) {
			go w.temporal.complete(f.id, executed(f.id))
		}
		rec := w.send("POST", "/api/calls", `{"tool":"refund","idempotency_key":"k1","wait":"30s"}`)
		expect(t, rec, 200, "")
		golden(t, "outcome", rec) // raw: the caller sees the card
	})
	t.Run("blocked because the key is another call's", func(t *testing.T) {
		w := newWorld(t)
		w.temporal.onStart = func(f *fakeWorkflow) {
			w.temporal.complete(f.id, approval.Outcome{ID: f.id, Status: approval.StatusBlocked, Error: &approval.CallError{Code: approval.CodeConflict}})
		}
		expect(t, w.send("POST", "/api/calls", `{"tool":"refund","idempotency_key":"k1","wait":30}`), 409, approval.CodeConflict)
	})
	t.Run("still waiting for people", func(t *testing.T) {
		w := newWorld(t)
		w.temporal.onStart = func(f *fakeWorkflow) {
			w.store.put(store.Record{View: view(f.id, approval.StatusPending), IsRequest: true})
		}
		rec := w.send("POST", "/api/calls", `{"tool":"refund","idempotency_key":"k1","wait":"20ms"}`)
		if body := expect(t, rec, 202, ""); body["status"] != "pending" || body["digest"] != "d1" {
			t.Errorf("%s", rec.Body)
		}
	})
	t.Run("the store can't be reached", func(t *testing.T) {
		w := newWorld(t)
		w.store.err = io.ErrUnexpectedEOF
		rec := w.send("POST", "/api/calls", `{"tool":"refund","wait":"20ms"}`)
		if body := expect(t, rec, 202, ""); body["status"] != "evaluating" || body["id"] == "" {
			t.Errorf("%s", rec.Body)
		}
	})
	t.Run("longer than allowed", func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.MaxWait = 20 * time.Millisecond })
		expect(t, w.send("POST", "/api/calls", `{"tool":"refund","wait":"24h"}`), 202, "")
	})
	t.Run("terminated while waited for", func(t *testing.T) {
		w := newWorld(t)
		w.temporal.onStart = func(f *fakeWorkflow) { f.close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil) }
		expect(t, w.send("POST", "/api/calls", `{"tool":"refund","wait":"30s"}`), 202, "")
	})
}
