package api

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// taken is a workflow task that a worker has before it.
func taken() *workflowpb.PendingWorkflowTaskInfo {
	return &workflowpb.PendingWorkflowTaskInfo{State: enumspb.PENDING_WORKFLOW_TASK_STATE_STARTED, Attempt: 1}
}

func task(ago time.Duration, attempt int32) *workflowpb.PendingWorkflowTaskInfo {
	return &workflowpb.PendingWorkflowTaskInfo{
		State: enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED, ScheduledTime: timestamppb.New(time.Now().Add(-ago)), Attempt: attempt,
	}
}

// activity is one under way; its failures are never to be shown.
func activity(name, queue string, state enumspb.PendingActivityState, attempt int32) *workflowpb.PendingActivityInfo {
	return &workflowpb.PendingActivityInfo{
		ActivityType: &commonpb.ActivityType{Name: name}, State: state, Attempt: attempt,
		LastStartedTime:    timestamppb.New(testTime.Add(time.Minute)),
		ScheduledTime:      timestamppb.Now(),
		LastFailure:        &failurepb.Failure{Message: "dial postgres://user:hunter2@db"},
		LastWorkerIdentity: "hunter2@host",
		ActivityOptions:    &activitypb.ActivityOptions{TaskQueue: &taskqueuepb.TaskQueue{Name: queue}},
	}
}

const (
	scheduled = enumspb.PENDING_ACTIVITY_STATE_SCHEDULED
	started   = enumspb.PENDING_ACTIVITY_STATE_STARTED
)

func votes(n int) []approval.Decision {
	var all []approval.Decision
	for i := range n {
		all = append(all, approval.Decision{ID: string(rune('a' + i)), Kind: approval.Approve, Reviewer: string(rune('a' + i)), At: testTime})
	}
	return all
}

// noAnswer is a workflow that can't be asked, and says so at once.
func noAnswer() error { return serviceerror.NewWorkflowNotReady("no worker") }

// elsewhere moves the tool to a task queue of its own.
func (w *world) elsewhere() {
	t := refundTool()
	t.Queue, t.Kind = "tools-python", "activity"
	w.store.tools = []store.Tool{t}
}

func TestWhyACallWaits(t *testing.T) {
	const id = "pawl-1"
	// at puts the call where it stands, in workflow and store.
	at := func(w *world, status approval.Status, claim *store.Permit) *fakeWorkflow {
		f := w.request(id)
		f.state.Status = status
		if status == approval.StatusApproved {
			f.state.Decision = &approval.FinalDecision{Kind: approval.FinalApprove, At: testTime}
		}
		w.store.put(store.Record{View: f.state.View, IsRequest: true, Permit: claim})
		return f
	}
	needs := func(w *world, count, have int) {
		f := w.request(id)
		f.state.Requirement = &approval.Requirement{Approvals: []approval.Approvals{{Count: 1}, {Count: count}}}
		f.state.Votes = votes(have)
		v := f.state.View
		v.Votes = nil
		w.store.put(store.Record{View: v, IsRequest: true})
	}
	unused := &store.Permit{At: testTime, GoodUntil: testDeadline}
	handed := &store.Permit{At: testTime, GoodUntil: testDeadline, Queue: "tools-python"}
	used := &store.Permit{At: testTime, GoodUntil: testDeadline, UsedAt: testTime.Add(2 * time.Minute)}
	good := testTime.Add(approval.DefaultValidFor.Std())

	for _, c := range []struct {
		name  string
		setup func(w *world)
		what  string     // waiting.for
		until *time.Time // its until
		codes []string   // of its problems
		says  string     // in one of them
	}{
		{"for anybody else", func(w *world) { v := w.request(id); v.state.Requester, v.state.Owner = "ana", "ana" }, "one approval by anybody but who asked", &testDeadline, nil, ""},
		{"for anybody but an owner", func(w *world) { v := w.request(id); v.state.Requester, v.state.Owner = "agent:support", "ana" }, "one approval by anybody but who asked and ana, who owns the agent", &testDeadline, nil, ""},
		{"for two others", func(w *world) { needs(w, 2, 0); w.temporal.workflows[id].state.Owner = "ana" }, "2 approvals by different people, not by who asked and ana, who owns the agent", &testDeadline, nil, ""},
		{"for anybody", func(w *world) { w.request(id) }, "one approval by anybody", &testDeadline, nil, ""},
		{"for two people", func(w *world) { needs(w, 2, 0) }, "2 approvals by different people", &testDeadline, nil, ""},
		{"for another one", func(w *world) { needs(w, 2, 1) }, "one more approval by somebody else (1 of 2 so far)", &testDeadline, nil, ""},
		{"for groups", func(w *world) {
			needs(w, 2, 1)
			r := w.temporal.workflows[id].state.Requirement
			r.Approvals = append(r.Approvals, approval.Approvals{Group: "fin", Count: 1}, approval.Approvals{Group: "sec", Count: 2})
		}, `one more approval by somebody else (1 of 2 so far), and one approval by a member of "fin", and 2 approvals by different members of "sec"`, &testDeadline, nil, ""},
		{"for others", func(w *world) { needs(w, 3, 1) }, "2 more approvals by different other people (1 of 3 so far)", &testDeadline, nil, ""},
		{"for the answers to be judged", func(w *world) { needs(w, 2, 2) }, "the answers to be judged", &testDeadline, nil, ""},
		{"nobody decided in time", func(w *world) {
			f := at(w, approval.StatusPending, nil)
			passed := time.Now().Add(-time.Minute)
			f.state.Deadline = &passed
		}, "its end to be recorded: the deadline has passed", nil, nil, ""},

		{"no worker", func(w *world) {
			w.request(id)
			w.temporal.onQuery = noAnswer
			w.temporal.deserted["pawl"] = true
		}, "one approval by anybody", &testDeadline, []string{rest.ObstacleNoWorker}, "pawl worker"},
		{"nobody can tell who polls", func(w *world) {
			w.request(id)
			w.elsewhere()
			w.temporal.lookErr = serviceerror.NewPermissionDenied("hunter2", "")
		}, "one approval by anybody", &testDeadline, nil, ""},
		{"a worker will take it up", func(w *world) { w.request(id).task = task(0, 1) }, "one approval by anybody", &testDeadline, nil, ""},
		{"no worker takes it up", func(w *world) {
			w.request(id).task = task(time.Minute, 1)
		}, "one approval by anybody", &testDeadline, []string{rest.ObstacleSlowWorker}, "1m0s"},
		{"workers fail to take it up", func(w *world) {
			w.request(id).task = task(time.Minute, 7)
		}, "one approval by anybody", &testDeadline, []string{rest.ObstacleStuck}, "attempt 7"},
		{"paused", func(w *world) {
			w.request(id).status = enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED
		}, "one approval by anybody", &testDeadline, []string{rest.ObstaclePaused}, ""},

		{"nobody serves the tool", func(w *world) {
			w.request(id)
			w.elsewhere()
			w.temporal.deserted["tools-python/Activity"] = true
		}, "one approval by anybody", &testDeadline, []string{rest.ObstacleNotServed}, `"tools-python"`},
		{"somebody serves the tool", func(w *world) {
			w.request(id)
			w.elsewhere()
		}, "one approval by anybody", &testDeadline, nil, ""},
		{"the tool is gone", func(w *world) {
			w.request(id)
			w.store.tools = nil
		}, "one approval by anybody", &testDeadline, []string{rest.ObstacleNoTool}, `"refund"`},
		{"nothing works", func(w *world) {
			f := w.request(id)
			f.task = task(time.Minute, 1)
			w.elsewhere()
			w.temporal.deserted["tools-python"], w.temporal.deserted["pawl"] = true, true
		}, "one approval by anybody", &testDeadline, []string{rest.ObstacleNoWorker, rest.ObstacleNotServed}, ""},

		{"the claim can't be written down", func(w *world) {
			at(w, approval.StatusApproved, nil).pending = []*workflowpb.PendingActivityInfo{activity("Claim", "pawl", scheduled, 4)}
		}, `the approval to be recorded, then the permit to run the tool "refund"`, &good, []string{rest.ObstacleStep}, "attempt 4"},
		{"the claim that judges again can't be written down", func(w *world) {
			w.request(id).pending = []*workflowpb.PendingActivityInfo{activity("JudgeAndClaim", "pawl", scheduled, 4)}
		}, "the approval to be recorded, after the active policy has judged the call again", nil, []string{rest.ObstacleStep}, "attempt 4"},
		{"a step is held", func(w *world) { at(w, approval.StatusApproved, nil) },
			`the approval to be recorded, then the permit to run the tool "refund"`, &good, []string{rest.ObstacleStep}, "within the hour"},
		{"a step is paused", func(w *world) {
			a := activity("Claim", "pawl", enumspb.PENDING_ACTIVITY_STATE_PAUSED, 1)
			a.Paused = true
			at(w, approval.StatusApproved, nil).pending = []*workflowpb.PendingActivityInfo{a}
		}, `the approval to be recorded, then the permit to run the tool "refund"`, &good, []string{rest.ObstaclePaused}, "records the approval"},

		{"the tool is to start", func(w *world) {
			at(w, approval.StatusExecuting, unused).pending = []*workflowpb.PendingActivityInfo{activity("Execute", "pawl", scheduled, 1)}
		}, `a worker that starts the tool "refund"`, &testDeadline, nil, ""},
		{"no worker starts the tool", func(w *world) {
			a := activity("Execute", "pawl", scheduled, 1)
			a.ScheduledTime = timestamppb.New(time.Now().Add(-time.Minute))
			at(w, approval.StatusExecuting, unused).pending = []*workflowpb.PendingActivityInfo{a}
		}, `a worker that starts the tool "refund"`, &testDeadline, []string{rest.ObstacleSlowWorker}, "1m0s"},
		{"the tool runs", func(w *world) {
			at(w, approval.StatusExecuting, used).pending = []*workflowpb.PendingActivityInfo{activity("Execute", "pawl", started, 1)}
		}, `the tool "refund", which runs since 2030-01-02T03:06:05Z`, nil, nil, ""},
		{"the tool runs again", func(w *world) {
			at(w, approval.StatusExecuting, used).pending = []*workflowpb.PendingActivityInfo{activity("Execute", "pawl", started, 2)}
		}, `the tool "refund", which runs since 2030-01-02T03:06:05Z, attempt 2`, nil, nil, ""},
		{"the tool is to start elsewhere, where nobody is", func(w *world) {
			at(w, approval.StatusExecuting, handed).pending = []*workflowpb.PendingActivityInfo{activity("refund", "tools-python", scheduled, 1)}
			w.temporal.deserted["tools-python"] = true
		}, `a worker on the task queue "tools-python" that starts the tool "refund"`, &testDeadline, []string{rest.ObstacleNotServed}, ""},
		{"the tool is to start elsewhere, where it is offered no more", func(w *world) {
			at(w, approval.StatusExecuting, handed).pending = []*workflowpb.PendingActivityInfo{activity("refund", "tools-python", scheduled, 1)}
			w.store.tools = nil
		}, `a worker on the task queue "tools-python" that starts the tool "refund"`, &testDeadline, nil, ""},
		{"the tool runs elsewhere", func(w *world) {
			at(w, approval.StatusExecuting, handed).pending = []*workflowpb.PendingActivityInfo{activity("refund", "tools-python", started, 1)}
			w.elsewhere()
			w.temporal.deserted["tools-python"] = true // for new work: its process stops
		}, `the tool "refund", which runs on the task queue "tools-python" since 2030-01-02T03:05:05Z`, nil, nil, ""},
		{"a tool elsewhere that is named like a step", func(w *world) {
			at(w, approval.StatusExecuting, handed).pending = []*workflowpb.PendingActivityInfo{activity("Record", "tools-python", started, 3)}
		}, `the tool "refund", which runs on the task queue "tools-python" since 2030-01-02T03:05:05Z, attempt 3`, nil, nil, ""},
		{"the end is to be written down", func(w *world) {
			at(w, approval.StatusExecuting, used).pending = []*workflowpb.PendingActivityInfo{activity("Record", "pawl", scheduled, 2)}
		}, "its end to be recorded", nil, []string{rest.ObstacleStep}, "records the call's end"},
		{"between two steps", func(w *world) { at(w, approval.StatusExecuting, used).task = taken() }, "its next step", nil, nil, ""},

		{"before the policy has answered", func(w *world) {
			w.temporal.onQuery = noAnswer
			w.temporal.add(&fakeWorkflow{id: id, pending: []*workflowpb.PendingActivityInfo{activity("Admit", "pawl", started, 9)}})
		}, "the policy's answer", nil, []string{rest.ObstacleStep}, "asks the policy"},
		{"its policy step is held", func(w *world) {
			w.temporal.onQuery = noAnswer
			w.temporal.add(&fakeWorkflow{id: id})
		}, "the policy's answer", nil, []string{rest.ObstacleStep}, ""},
		{"nobody has taken it up", func(w *world) {
			w.temporal.onQuery = noAnswer
			w.temporal.add(&fakeWorkflow{id: id, task: task(time.Hour, 1)})
			w.temporal.deserted["pawl"] = true
		}, "the policy's answer", nil, []string{rest.ObstacleNoWorker}, ""},
		{"the store is away", func(w *world) {
			w.request(id)
			w.store.err = errors.New("hunter2")
		}, "one approval by anybody", &testDeadline, []string{rest.ObstacleStore}, "database"},
		{"the store's disk is full", func(w *world) {
			w.request(id)
			w.store.appendErr = errors.New("hunter2: the disk is full")
		}, "one approval by anybody", &testDeadline, []string{rest.ObstacleStore}, "disk is full or read-only"},
		{"this API may only read the store", func(w *world) {
			w.request(id)
			w.store.appendErr = store.ErrReadOnly
		}, "one approval by anybody", &testDeadline, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.setup(w)
			rec := w.get("/api/calls/" + id)
			expect(t, rec, 200, "")
			var got struct{ Waiting *rest.Waiting }
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || got.Waiting == nil {
				t.Fatalf("%v: %s", err, rec.Body)
			}
			if got.Waiting.For != c.what {
				t.Errorf("waits for %q, want %q", got.Waiting.For, c.what)
			}
			if until := got.Waiting.Until; c.until != nil && (until == nil || !until.Equal(*c.until)) || c.until == nil && until != nil && c.name != "nobody decided in time" {
				t.Errorf("until %v, want %v", until, c.until)
			}
			var codes []string
			said := c.says == ""
			for _, p := range got.Waiting.Problems {
				codes = append(codes, p.Code)
				said = said || strings.Contains(p.Message, c.says)
			}
			if !slices.Equal(codes, c.codes) || !said {
				t.Errorf("problems %+v, want %v with %q", got.Waiting.Problems, c.codes, c.says)
			}
			if strings.Contains(rec.Body.String(), "hunter2") {
				t.Errorf("a failure's own text is shown: %s", rec.Body)
			}
		})
	}
}

// Whatever shows an open call says why it is open, and nothing else does.
func TestWhereWaitingIsSaid(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.QueryBudget = time.Second })
	w.temporal.deserted["pawl"] = true
	w.temporal.onQuery = noAnswer
	w.request("open")
	w.request("over")
	w.temporal.complete("over", executed("over"))
	w.ended("over", approval.StatusExecuted)
	w.request("killed").close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil)
	w.temporal.onStart = func(f *fakeWorkflow) { f.task = task(0, 1) }
	for _, c := range []struct {
		name, method, path, body string
		want                     bool
	}{
		{"a call", "GET", "/api/calls/open", "", true},
		{"a request", "GET", "/api/requests/open", "", true},
		{"a decision nobody has judged", "POST", "/api/requests/open/approve", "", true},
		{"a withdrawal nobody has seen", "POST", "/api/calls/open/cancel", "", true},
		{"a call that was waited for", "POST", "/api/calls", `{"tool":"refund","wait":"20ms"}`, true},
		{"a call that was only started", "POST", "/api/calls", `{"tool":"refund"}`, false},
		{"an ended call", "GET", "/api/calls/over", "", false},
		{"an ended request", "GET", "/api/requests/over", "", false},
		{"a call that is lost", "GET", "/api/calls/killed", "", false},
		{"a request that is lost", "GET", "/api/requests/killed", "", false},
	} {
		rec := w.send(c.method, c.path, c.body, "X-Pawl-Reviewer", "ana")
		got := strings.Contains(rec.Body.String(), `"waiting":{"for":`) && strings.Contains(rec.Body.String(), rest.ObstacleNoWorker)
		if got != c.want || rec.Code >= 300 {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
}

// A request is shown, and its troubles are told, while Temporal is away.
func TestWhyWithoutTemporal(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Temporal = brokenTemporal{o.Temporal, serviceerror.NewUnavailable("hunter2")}
	})
	w.store.put(store.Record{View: view("pawl-1", approval.StatusPending), IsRequest: true})
	w.store.tools = []store.Tool{refundTool()}
	rec := w.get("/api/requests/pawl-1")
	expect(t, rec, 200, "")
	if body := rec.Body.String(); !strings.Contains(body, `"code":"temporal_unavailable"`) || strings.Contains(body, "hunter2") {
		t.Error(body)
	}
}
