package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/dev/leak"
	"github.com/pawlhq/pawl/dev/stack"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/proxy"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"
)

func encrypted(c *stack.Config) { c.Encrypt = true }

// dialWith connects to the world's Temporal with a keyring, or none.
func (w *world) dialWith(keys *codec.Keyring) client.Client {
	w.t.Helper()
	o := client.Options{HostPort: w.Temporal}
	if keys != nil {
		if err := keys.Configure(&o); err != nil {
			w.t.Fatal(err)
		}
	}
	c, err := client.DialContext(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func loadKeys(t *testing.T, path string) *codec.Keyring {
	t.Helper()
	keys, err := codec.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// planted are secrets, by where they come from. Each is written three times in a row, so that one
// of them lies in one page of a database file.
var planted = map[string]string{}

func plant(where string) string {
	secret := "planted-" + strings.ReplaceAll(where, " ", "-") + "-5b1f;"
	planted[where] = secret
	return strings.Repeat(secret, 3)
}

// TestNothingIsReadableInTemporalsFiles plants secrets wherever a call has room for them, and
// searches the files.
func TestNothingIsReadableInTemporalsFiles(t *testing.T) {
	for _, c := range []struct {
		name              string
		encrypt, ordinary bool
	}{{"plain", false, false}, {"encrypted", true, false}, {"encrypted, ordinary steps", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *stack.Config) {
				s.Encrypt, s.OrdinarySteps = c.encrypt, c.ordinary
				s.Policy = []string{write(t, filepath.Dir(s.Tools), "p.yaml", "redact_fields: [secret]\nrules:\n  - {tool: read, auto_approve: true}\n  - {tool: \"*\", require_approval: true}\n")}
			})
			w.plantSecrets(t)
			if c.encrypt {
				w.checkPayloads(t)
			}
			files := func() map[string][]byte {
				all := map[string][]byte{}
				paths, err := filepath.Glob(filepath.Join(w.config.Data, "*"))
				if err != nil {
					t.Fatal(err)
				}
				for _, path := range paths {
					text, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					all[filepath.Base(path)] = text
				}
				return all
			}
			running := files()
			if len(running["temporal.db-wal"]) == 0 {
				t.Error("there is no write-ahead log to search")
			}
			w.stop() // the log goes into the file
			stopped := files()
			for where, secret := range planted {
				found := false
				for _, state := range []map[string][]byte{running, stopped} {
					for name, text := range state {
						switch shows := leak.Shows(text, secret); {
						case !shows:
						case strings.HasPrefix(name, "temporal.db"):
							found = true
						case strings.HasPrefix(name, "pawl.db") && where == "a redacted argument":
							t.Errorf("%s shows %s", name, where)
						}
					}
				}
				if found == c.encrypt {
					t.Errorf("%s: in Temporal's files it was found: %t", where, found)
				}
			}
		})
	}
}

func (w *world) plantSecrets(t *testing.T) {
	t.Helper()
	result, failure := plant("a result"), plant("a tool's error")
	w.behave = func(rw http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte("break")) {
			http.Error(rw, failure, http.StatusUnprocessableEntity)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"got":%q}`, result)
	}
	call := fmt.Sprintf(`"args":{"to":%q,"secret":%q},"reason":%q,"title":%q,"description":%q,"team":%q,"session":%q,"labels":{"l":%q}`,
		plant("an argument"), plant("a redacted argument"), plant("a reason"), plant("a title"), plant("a description"), plant("a team"), plant("a session"), plant("a label"))
	w.ends(w.post("/api/calls", `{"tool":"read",`+call+`,"idempotency_key":"`+plant("a key")+`","wait":"20s"}`).text("id"), approval.StatusExecuted, 1)
	approved := w.pending(`{"tool":"send",` + call + `}`)
	w.decide(approved, "approve", plant("a reviewer"), `{"notes":"`+plant("notes")+`"}`)
	w.ends(approved, approval.StatusExecuted, 1)
	rejected := w.pending(`{"tool":"send",` + call + `}`)
	w.decide(rejected, "reject", "ana", `{"notes":"`+plant("notes of a rejection")+`"}`)
	w.ends(rejected, approval.StatusRejected, 0)
	withdrawn := w.pending(`{"tool":"send",` + call + `}`)
	w.post("/api/calls/"+withdrawn+"/cancel", `{"notes":"`+plant("notes of a withdrawal")+`"}`)
	w.ends(withdrawn, approval.StatusCancelled, 0)
	w.ends(w.post("/api/calls", `{"tool":"read","args":{"to":"break"},"wait":"20s"}`).text("id"), approval.StatusFailed, 1)

	agent, err := pawl.New(w.Client, pawl.Options{Agent: "planter"})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	said := errors.New(plant("a guarded function's error"))
	given := plant("a guarded function's result")
	guarded := pawl.MustGuard(agent, "vault", func(_ context.Context, in refund) (receipt, error) {
		if in.Cents == 0 {
			return receipt{}, said
		}
		return receipt{Call: given}, nil
	}, pawl.Tool{Description: plant("a tool's description")})
	for cents := range 2 {
		title := fmt.Sprintf("vault %d", cents)
		done := make(chan error, 1)
		go func() {
			got, err := guarded(titled(t.Context(), title), refund{Order: plantedOrder, Cents: cents})
			if err == nil && got.Call != given {
				err = fmt.Errorf("the result is %+v", got)
			}
			done <- err
		}()
		w.settle(title, "approve")
		err := <-done
		if cents == 0 && !errors.Is(err, said) || cents == 1 && err != nil {
			t.Errorf("%s: %v", title, err)
		}
	}
}

var plantedOrder = plant("a guarded function's argument")

// checkPayloads looks at every payload that Temporal can show, and at every failure. Only headers
// and search attributes are plain.
func (w *world) checkPayloads(t *testing.T) {
	t.Helper()
	c, plain := w.Client.WorkflowService(), 0
	visit := func(where string, m proto.Message) { plain += onlyHeadersArePlain(t, where, m) }
	list, err := c.ListWorkflowExecutions(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: "default", PageSize: 100})
	if err != nil || len(list.GetExecutions()) < 7 {
		t.Fatalf("%v, %v", list, err)
	}
	visit("list", list)
	for _, e := range list.GetExecutions() {
		id := e.GetExecution()
		where := e.GetType().GetName() + " " + id.GetWorkflowId()
		d, err := c.DescribeWorkflowExecution(t.Context(), &workflowservice.DescribeWorkflowExecutionRequest{Namespace: "default", Execution: id})
		if err != nil {
			t.Fatal(err)
		}
		visit(where, d)
		if e.GetType().GetName() == approval.WorkflowType && (d.GetExecutionConfig().GetUserMetadata().GetSummary() == nil || d.GetWorkflowExecutionInfo().GetMemo().GetFields()[approval.MemoFingerprint] == nil) {
			t.Errorf("%s: no summary, or no memo", where)
		}
		plain += w.checkHistory(t, id.GetWorkflowId())
		if e.GetType().GetName() != approval.WorkflowType {
			continue
		}
		for _, query := range []string{approval.QueryState, "__temporal_workflow_metadata"} {
			q, err := c.QueryWorkflow(t.Context(), &workflowservice.QueryWorkflowRequest{Namespace: "default", Execution: id, Query: &querypb.WorkflowQuery{QueryType: query}})
			if err != nil || len(q.GetQueryResult().GetPayloads()) != 1 {
				t.Fatalf("%s: %v, %v", query, q, err)
			}
			visit(where+" "+query, q)
		}
	}
	if plain == 0 {
		t.Error("no header was seen: the remote tool should have one")
	}
}

// checkHistory looks at a call's history alone, and counts the headers.
func (w *world) checkHistory(t *testing.T, id string) int {
	t.Helper()
	h, err := w.Client.WorkflowService().GetWorkflowExecutionHistory(t.Context(), &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: "default", Execution: &commonpb.WorkflowExecution{WorkflowId: id},
	})
	if err != nil {
		t.Fatal(err)
	}
	return onlyHeadersArePlain(t, id, h)
}

func onlyHeadersArePlain(t *testing.T, where string, m proto.Message) (headers int) {
	t.Helper()
	err := proxy.VisitPayloads(t.Context(), m, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(v *proxy.VisitPayloadsContext, ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
			for _, p := range ps {
				if _, header := v.Parent.(*commonpb.Header); header {
					headers++
				} else if !codec.Encrypted(p) {
					t.Errorf("%s: %T holds plain text: %.200s", where, v.Parent, p)
				}
			}
			return ps, nil
		},
	})
	if err == nil {
		err = proxy.VisitFailures(t.Context(), m, proxy.VisitFailuresOptions{Visitor: func(_ *proxy.VisitFailuresContext, f *failurepb.Failure) error {
			if f.GetSource() != "" && (f.GetEncodedAttributes() == nil || f.GetMessage() != "Encoded failure" || f.GetStackTrace() != "") {
				t.Errorf("%s: a plain failure: %.200s", where, f)
			}
			return nil
		}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return headers
}

// A worker without the key must not end a call, drop an answer, or go on with half of what it
// should know.
func TestAWorkerWithoutTheKey(t *testing.T) {
	w := newWorld(t, encrypted)
	waiting := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	path := w.KeysPath()
	if err := codec.Add(path, true); err != nil { // the stack that runs does not know of it
		t.Fatal(err)
	}
	c := w.dialWith(loadKeys(t, path))
	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "new-key", TaskQueue: approval.TaskQueue},
		approval.WorkflowType, approval.Call{Tool: "read", Args: []byte(`{"to":"x"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SignalWorkflow(t.Context(), waiting, "", approval.SignalApprove, approval.DecisionSignal{Reviewer: "bo"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"new-key", waiting} {
		w.until("a task of "+id+" has failed", func() bool { return w.failedTask(id) })
		d, err := c.DescribeWorkflow(t.Context(), id, "")
		if err != nil || d.Status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			t.Errorf("%s: %v, %v", id, d, err)
		}
	}
	if s := w.status(waiting); s != approval.StatusPending {
		t.Errorf("the call is %s", s)
	}
	if a := w.get("/api/calls/new-key"); a.code == http.StatusInternalServerError {
		t.Errorf("%d %v", a.code, a.doc)
	}
	w.stop()
	w.start() // with the keyring as it is now
	w.ends("new-key", approval.StatusExecuted, 1)
	out := w.ends(waiting, approval.StatusExecuted, 1)
	if d, _ := out["decision"].(map[string]any); d["by"] != "bo" {
		t.Errorf("%v", out)
	}

	// Once the store's memo is written with the new key, too, the old one may go.
	keys := loadKeys(t, path)
	w.stop()
	if err := codec.Forget(path, keys.Keys()[0].ID); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.ends(w.post("/api/calls", `{"tool":"read","args":{"to":"x"},"wait":"20s"}`).text("id"), approval.StatusExecuted, 1)
}

func (w *world) failedTask(id string) bool {
	for it := w.Client.GetWorkflowHistory(w.t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		if err != nil {
			w.t.Fatal(err)
		}
		if e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_FAILED {
			return true
		}
	}
	return false
}
