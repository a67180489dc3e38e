package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/worker"
)

// sickStore can't write approvals down.
type sickStore struct{ store.Store }

func (sickStore) Claim(context.Context, store.ClaimParams) (store.Record, error) {
	return store.Record{}, errors.New("dial postgres://user:hunter2@db")
}

type waiting struct {
	For      string
	Until    string
	Problems []struct{ Code, Message string }
}

// waiting is what the API says that a call waits for, and the problems' codes.
func (w *world) waiting(id string) (waiting, []string) {
	w.t.Helper()
	var said struct{ Waiting waiting }
	doc, _ := json.Marshal(w.get("/api/requests/" + id).doc)
	if err := json.Unmarshal(doc, &said); err != nil {
		w.t.Fatal(err)
	}
	if strings.Contains(string(doc), "hunter2") {
		w.t.Errorf("an error's own text shows: %s", doc)
	}
	var codes []string
	for _, p := range said.Waiting.Problems {
		codes = append(codes, p.Code)
	}
	return said.Waiting, codes
}

// What Temporal really says of a call, and of who polls, is understood.
func TestWhyCallsWait(t *testing.T) {
	w := newWorld(t, func(c *stack.Config) {
		tools, err := os.ReadFile(c.Tools)
		if err != nil {
			t.Fatal(err)
		}
		c.Tools = write(t, t.TempDir(), "tools.yaml", string(tools)+"  - {name: faraway, activity: {task_queue: tools-nobody, timeout: 20s}, schema: {type: object}}\n")
	})
	run := make(chan struct{})
	w.behave = func(rw http.ResponseWriter, _ *http.Request) {
		<-run
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{}`))
	}
	id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	if said, codes := w.waiting(id); said.For != "one approval by anybody" || said.Until == "" || len(codes) != 0 {
		t.Errorf("pending: %+v", said)
	}

	// A tool whose process nobody has started.
	away := w.pending(`{"tool":"faraway"}`)
	if said, codes := w.waiting(away); !slices.Equal(codes, []string{"tool_not_served"}) {
		t.Errorf("pending, nobody serves the tool: %+v", said)
	}
	w.decide(away, "approve", "ana", "")
	w.until("the tool is handed over", func() bool {
		said, codes := w.waiting(away)
		return said.For == `a worker on the task queue "tools-nobody" that starts the tool "faraway"` && said.Until != "" &&
			slices.Equal(codes, []string{"tool_not_served"})
	})

	// A worker that can't write the approval down.
	w.StopWorker()
	set, err := policy.Load(w.config.Policy...)
	if err != nil {
		t.Fatal(err)
	}
	sick, err := worker.New(t.Context(), worker.Options{Client: w.Client, Store: sickStore{w.Store}, Policy: set})
	if err != nil {
		t.Fatal(err)
	}
	if err := sick.Start(); err != nil {
		t.Fatal(err)
	}
	if a := w.decide(id, "approve", "ana", ""); a.code != http.StatusAccepted {
		t.Errorf("approve: %d %v; nobody can say yet whether the call may run", a.code, a.doc)
	}
	w.until("the failing step is told", func() bool {
		said, codes := w.waiting(id)
		return strings.HasPrefix(said.For, "the approval to be recorded") && slices.Contains(codes, "step_failing")
	})
	sick.Stop()

	// Nobody at all, since everything was started anew.
	w.stop()
	w.config.NoWorker = true
	w.start()
	if said, codes := w.waiting(id); !slices.Contains(codes, "no_worker") {
		t.Errorf("no worker: %+v", said)
	}
	if r := w.get("/readyz"); r.code != http.StatusOK || r.doc["checks"].(map[string]any)["worker"] != "missing" {
		t.Errorf("readyz without a worker: %d %v", r.code, r.doc)
	}

	// All is well again.
	if err := w.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until("the tool runs", func() bool {
		said, codes := w.waiting(id)
		return strings.HasPrefix(said.For, `the tool "send", which runs since `) && len(codes) == 0
	})
	close(run)
	w.ends(id, approval.StatusExecuted, 1)
}
