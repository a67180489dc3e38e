package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// plot is what a forger's workflow schedules on Pawl's task queue.
type plot struct {
	Admit   *activities.AdmitInput
	Claim   *activities.ClaimInput
	Execute *activities.ExecuteInput
}

// loot is what came of it.
type loot struct {
	Admission activities.Admission
	Claim     activities.ClaimResult
	Errors    map[string]string // code by activity
}

// forgery is a workflow of somebody's own, by Pawl's own name.
func forgery(ctx workflow.Context, p plot) (loot, error) {
	out := loot{Errors: map[string]string{}}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: approval.TaskQueue, StartToCloseTimeout: 10 * time.Second, HeartbeatTimeout: 5 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 2},
	})
	do := func(name string, in, out any, errs map[string]string) {
		err := workflow.ExecuteActivity(ctx, name, in).Get(ctx, out)
		var app *temporal.ApplicationError
		if errors.As(err, &app) {
			errs[name] = app.Type()
		} else if err != nil {
			errs[name] = err.Error()
		}
	}
	if p.Admit != nil {
		do("Admit", *p.Admit, &out.Admission, out.Errors)
	}
	if p.Claim != nil {
		do("Claim", *p.Claim, &out.Claim, out.Errors)
	}
	if p.Execute != nil {
		var result json.RawMessage
		do("Execute", *p.Execute, &result, out.Errors)
	}
	return out, nil
}

// forges runs a forger's workflow under an ID, on a task queue and worker of the forger's own.
func (b *besieged) forges(id string, p plot) (loot, string) {
	b.t.Helper()
	run, err := b.Client.ExecuteWorkflow(b.t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: "forger", WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}, approval.WorkflowType, p)
	if err != nil {
		b.t.Fatal(err)
	}
	var out loot
	if err := run.Get(b.t.Context(), &out); err != nil {
		b.t.Fatal(err)
	}
	return out, run.GetRunID()
}

func (b *besieged) entries(id string, kind audit.Kind) []audit.Entry {
	b.t.Helper()
	page, err := b.Store.Entries(b.t.Context(), store.EntryQuery{Subject: id, Kind: kind})
	if err != nil {
		b.t.Fatal(err)
	}
	return page.Items
}

// input reads a call, its nonce included, from its workflow's history.
func (b *besieged) input(id string) approval.Call {
	b.t.Helper()
	first, err := b.Client.GetWorkflowHistory(b.t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
	if err != nil {
		b.t.Fatal(err)
	}
	call, err := approval.ParseCall(first.GetWorkflowExecutionStartedEventAttributes().Input.Payloads[0].Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return call
}

func TestAttackByWorkflow(t *testing.T) {
	b := newBesieged(t)
	forger := worker.New(b.Client, "forger", worker.Options{})
	forger.RegisterWorkflowWithOptions(forgery, workflow.RegisterOptions{Name: approval.WorkflowType})
	if err := forger.Start(); err != nil {
		t.Fatal(err)
	}
	defer forger.Stop()
	now := func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
	votes := func(v approval.View) []approval.Decision {
		return []approval.Decision{{ID: "d", Kind: approval.Approve, Reviewer: "rita", Channel: "api", Authenticated: true, Groups: []string{"finance"}, Method: "token", At: now()}}
	}
	execute := func(id string, call approval.Call) *activities.ExecuteInput {
		digest, err := call.Digest(id)
		if err != nil {
			t.Fatal(err)
		}
		return &activities.ExecuteInput{ID: id, Run: "r", Digest: digest, Call: call, GoodUntil: now().Add(5 * time.Second)}
	}
	claim := func(id string, call approval.Call, votes []approval.Decision) *activities.ClaimInput {
		return &activities.ClaimInput{ID: id, Run: "r", Digest: execute(id, call).Digest, Call: call, Now: now(), Votes: votes}
	}

	t.Run("a call of its own that says it is approved", func(t *testing.T) {
		const id = "forged-1"
		call := approval.Call{Tool: "send", Args: json.RawMessage(`{"to":"mallory"}`), Nonce: "n"}
		got, _ := b.forges(id, plot{
			Admit: &activities.AdmitInput{ID: id, Run: "r", Call: call, Digest: execute(id, call).Digest, CreatedAt: now(), Now: now()},
			Claim: claim(id, call, votes(approval.View{})), Execute: execute(id, call),
		})
		if got.Claim.Outcome == nil || got.Claim.Outcome.Error.Code != approval.CodeUntrusted || got.Errors["Execute"] != approval.CodeNoPermit || b.allRuns() != 0 {
			t.Errorf("%+v after %d runs", got, b.allRuns())
		}
		if b.status(id) != approval.StatusBlocked || len(b.entries(id, audit.KindNotStarted)) != 1 {
			t.Errorf("on record: %s, %v", b.status(id), b.checkEntries(id))
		}
	})
	t.Run("one call shown, another to be run", func(t *testing.T) {
		const id = "forged-2"
		shown := approval.Call{Tool: "send", Args: json.RawMessage(`{"to":"friend"}`), Nonce: "n"}
		meant := approval.Call{Tool: "send", Args: json.RawMessage(`{"to":"mallory"}`), Nonce: "n"}
		got, _ := b.forges(id, plot{Admit: &activities.AdmitInput{ID: id, Run: "r", Call: shown, Digest: execute(id, meant).Digest, CreatedAt: now(), Now: now()}})
		if got.Errors["Admit"] != approval.CodeDigest || b.status(id) != "" {
			t.Errorf("%+v, it is %q", got, b.status(id))
		}
	})
	t.Run("in place of a call that waits", func(t *testing.T) {
		v := b.asks("send")
		call := b.input(v.ID)
		stolen := b.asks("send")
		b.mustApprove(b.rita, stolen)
		b.until("the other has run", func() bool { return b.runs(stolen.ID) == 1 })
		s := b.signalled(stolen.ID, approval.SignalApprove)[0]
		before := b.allRuns()
		replayed := approval.Decision{
			ID: s.DecisionID, Kind: approval.Approve, Reviewer: s.Reviewer, Channel: s.Channel, Groups: s.Groups, Method: s.Method, Notes: s.Notes,
			Authenticated: true, Envelope: s.Envelope, NotesSalt: s.NotesSalt, At: now(),
		}
		if err := b.Client.TerminateWorkflow(t.Context(), v.ID, "", "forger"); err != nil {
			t.Fatal(err)
		}
		got, _ := b.forges(v.ID, plot{Claim: claim(v.ID, call, []approval.Decision{replayed}), Execute: execute(v.ID, call)})
		if got.Claim.Outcome == nil || !got.Claim.Outcome.Status.Denied() || got.Errors["Execute"] != approval.CodeNoPermit || b.allRuns() != before {
			t.Errorf("%+v after %d runs", got, b.allRuns()-before)
		}
		if s := b.status(v.ID); s != approval.StatusBlocked && s != approval.StatusCancelled { // the sweeper may have been there first
			t.Errorf("it is %s", s)
		}
	})
	t.Run("the tool alone", func(t *testing.T) {
		v := b.asks("send")
		before := b.allRuns()
		got, run := b.forges("forged-3", plot{Execute: execute(v.ID, b.input(v.ID))})
		if got.Errors["Execute"] != approval.CodeNoPermit || b.allRuns() != before {
			t.Errorf("%+v after %d runs", got, b.allRuns()-before)
		}
		entries := b.entries("forged-3", audit.KindNotStarted)
		if len(entries) != 1 {
			t.Fatalf("%d entries tell of it", len(entries))
		}
		var told map[string]string
		if err := json.Unmarshal(entries[0].Payload, &told); err != nil || told["run"] != run || told["call_id"] != v.ID || told["code"] != approval.CodeNoPermit {
			t.Errorf("%s, %v", entries[0].Payload, err)
		}
		b.mustApprove(b.rita, v)
		b.until("it has run", func() bool { return b.status(v.ID) == approval.StatusExecuted })
		again, _ := b.forges("forged-4", plot{Execute: execute(v.ID, b.input(v.ID))})
		if again.Errors["Execute"] != approval.CodeNoPermit || b.runs(v.ID) != 1 { // its call has ended
			t.Errorf("%+v after %d runs", again, b.runs(v.ID))
		}
	})
	t.Run("the tool alone, without any workflow", func(t *testing.T) {
		v := b.asks("send")
		before := b.allRuns()
		handle, err := b.Client.ExecuteActivity(t.Context(), client.StartActivityOptions{
			ID: "forged-5", TaskQueue: approval.TaskQueue, StartToCloseTimeout: 10 * time.Second, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
		}, "Execute", *execute(v.ID, b.input(v.ID)))
		var unimplemented *serviceerror.Unimplemented
		if errors.As(err, &unimplemented) {
			t.Skip("this Temporal offers no standalone activities")
		}
		if err == nil {
			err = handle.Get(t.Context(), nil)
		}
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.Type() != approval.CodeNoPermit || b.allRuns() != before {
			t.Errorf("%v after %d runs", err, b.allRuns()-before)
		}
		if len(b.entries("activity forged-5", audit.KindNotStarted)) != 1 {
			t.Error("nothing tells of it")
		}
	})
	t.Run("somebody else's tool", func(t *testing.T) {
		before := b.tool("send")
		run, err := b.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: approval.TaskQueue}, approval.WorkflowPublish,
			approval.Publication{Agent: "mallory", Tools: []approval.ToolSpec{{Name: "send", Schema: json.RawMessage(`{"type":"object"}`)}}})
		if err != nil {
			t.Fatal(err)
		}
		var published approval.Published
		if err := run.Get(t.Context(), &published); err != nil || len(published.Refused) != 1 {
			t.Errorf("%+v, %v", published, err)
		}
		if after := b.tool("send"); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%+v, before %+v", after, before)
		}
		v := b.asks("send")
		b.mustApprove(b.rita, v)
		b.until("the true one has run", func() bool { return b.runs(v.ID) == 1 })
	})
}

func (b *besieged) tool(name string) store.Tool {
	b.t.Helper()
	tool, err := b.Store.Tool(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return tool
}

// A key that was revoked signs for nobody, whenever it did: before the claim, and in the moment
// between claim and tool.
func TestRevokedAndRotatedKeys(t *testing.T) {
	b := newBesieged(t)
	waiting, later := b.asks("read_broken"), b.asks("send")
	b.mustApprove(b.rita, waiting)
	keys, err := b.admin.Keys(t.Context())
	if err != nil || len(keys.Items) != 1 {
		t.Fatalf("%+v, %v", keys, err)
	}
	forged := b.sealed(b.key, later) // by who has stolen the key

	rotated, err := b.admin.RotateKey(t.Context(), false)
	if err != nil || rotated.Old.ID != b.key.ID() {
		t.Fatalf("%+v, %v", rotated, err)
	}
	b.mustApprove(b.ben, waiting) // one approval by each key
	b.until("what waited has run", func() bool { return b.status(waiting.ID) == approval.StatusExecuted })

	half := b.asks("read_broken")
	b.mustApprove(b.rita, half)
	again, err := b.admin.RotateKey(t.Context(), true)
	if err != nil || again.Old.RevokedAt == nil {
		t.Fatalf("%+v, %v", again, err)
	}
	if a, err := b.approves(b.ben, half); err == nil {
		t.Errorf("an approval beside one by a revoked key is answered %+v", a)
	}
	b.until("what rests on a revoked key is blocked", func() bool { return b.status(half.ID) == approval.StatusBlocked })

	if _, err := b.admin.EndKey(t.Context(), b.key.ID(), true); err != nil {
		t.Fatal(err)
	}
	if err := b.Client.SignalWorkflow(t.Context(), later.ID, "", approval.SignalApprove, forged); err != nil {
		t.Fatal(err)
	}
	b.until("the stolen key's is blocked", func() bool { return b.status(later.ID) == approval.StatusBlocked })
	if b.runs(half.ID)+b.runs(later.ID) != 0 || b.runs(waiting.ID) != 1 {
		t.Errorf("runs: %d, %d, %d", b.runs(half.ID), b.runs(later.ID), b.runs(waiting.ID))
	}
	record, err := b.Store.Call(t.Context(), later.ID)
	if err != nil || record.View.Error.Code != approval.CodeUntrusted || record.View.Decision.Authenticated {
		t.Errorf("%+v, %v", record.View.Error, err)
	}
	after := b.asks("send")
	b.mustApprove(b.rita, after)
	b.until("the new key's has run", func() bool { return b.runs(after.ID) == 1 })
}
