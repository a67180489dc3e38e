package crosscheck

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// recorded plays a Temporal that has one workflow, and a store that has its call as an honest worker
// would have written it.
type recorded struct {
	store.Reader
	id      string
	events  []*historypb.HistoryEvent // none: it was deleted
	record  *store.Record
	entries []audit.Entry
}

type iterator struct{ left []*historypb.HistoryEvent }

func (i *iterator) HasNext() bool { return true }
func (i *iterator) Next() (*historypb.HistoryEvent, error) {
	if len(i.left) == 0 {
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	e := i.left[0]
	i.left = i.left[1:]
	return e, nil
}

type whole struct{ iterator }

func (w *whole) HasNext() bool { return len(w.left) > 0 }

func (r *recorded) GetWorkflowHistory(context.Context, string, string, bool, enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	if len(r.events) == 0 {
		return &iterator{}
	}
	return &whole{iterator{r.events}}
}

func (r *recorded) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	return &workflowservice.ListWorkflowExecutionsResponse{Executions: []*workflowpb.WorkflowExecutionInfo{{
		Execution: &commonpb.WorkflowExecution{WorkflowId: r.id}, Status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
	}}}, nil
}

func (r *recorded) Calls(context.Context, store.CallQuery) (page store.Page[approval.View], err error) {
	if r.record != nil {
		page.Items = []approval.View{r.record.View}
	}
	return page, nil
}

func (r *recorded) Call(context.Context, string) (store.Record, error) {
	if r.record == nil {
		return store.Record{}, store.ErrNotFound
	}
	return *r.record, nil
}

func (r *recorded) Entries(_ context.Context, q store.EntryQuery) (page store.Page[audit.Entry], err error) {
	for _, e := range r.entries {
		if e.Subject == q.Subject {
			page.Items = append(page.Items, e)
		}
	}
	return page, nil
}

func (r *recorded) run(t *testing.T) Report {
	t.Helper()
	report, err := Run(t.Context(), Options{
		Store: r, Temporal: r, Converter: converter.GetDefaultDataConverter(), TaskQueue: "pawl", Retention: 72 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// note adds an entry.
func (r *recorded) note(t *testing.T, step string, p audit.Payload) {
	t.Helper()
	e, err := audit.New(r.id, step, r.record.View.CreatedAt, p)
	if err != nil {
		t.Fatal(err)
	}
	r.entries = append(r.entries, e)
}

func load(t *testing.T, file string) *recorded {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorded{events: doc.Events, id: doc.Events[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowId()}
	h, err := reader{r, converter.GetDefaultDataConverter()}.read(t.Context(), r.id)
	if err != nil || h.admission == nil || h.outcome == nil {
		t.Fatalf("%+v, %v", h, err)
	}
	r.record = &store.Record{View: h.admission.View, Verdict: h.admission.Verdict, Revision: h.revision}
	v := &r.record.View
	if h.tightened != nil {
		v.Requirement = h.tightened
	}
	r.note(t, "admit", audit.Requested{Call: *v, Verdict: r.record.Verdict})
	hidden := (&comparison{record: *r.record, before: h}).hidden(*h.outcome)
	v.End(hidden, time.Now())
	if h.claim != nil {
		v.Votes = h.claim.Votes
	} else if d := hidden.Decision; d != nil && d.Kind == approval.FinalReject {
		for id, said := range h.signals {
			if said[0].kind == approval.Reject && said[0].reviewer == d.By {
				v.Votes = append(v.Votes, approval.Decision{ID: id, Kind: approval.Reject, Reviewer: d.By})
			}
		}
	}
	for _, d := range v.Votes {
		r.note(t, "decision/"+d.ID, audit.Decided{Decision: d})
	}
	if p, d, given := h.permit(); given {
		r.permit(t, h, p, d)
	}
	r.note(t, "end", audit.Ended{Outcome: v.Outcome()})
	return r
}

func (r *recorded) permit(t *testing.T, h history, p activities.Permit, d *approval.FinalDecision) {
	v := r.record.View
	r.record.Permit = &store.Permit{
		Run: p.Run, Queue: p.Queue, Void: v.Status.Denied(),
		GoodUntil: store.Micros(d.At.Add(r.record.Verdict.GoodFor(v.Execution))),
	}
	r.note(t, "claim", audit.Claimed{Run: p.Run, Queue: p.Queue})
	if v.Status.NeedsPermit() && p.Queue == "" {
		r.record.Permit.UsedAt = v.CreatedAt
		r.note(t, "start", audit.Started{})
	}
}

// TestRecordedHistories compares what every version so far has recorded with a store that is honest,
// and with one that lies.
func TestRecordedHistories(t *testing.T) {
	files, err := filepath.Glob("../../workflows/testdata/histories/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if r := load(t, file).run(t); !r.OK || r.Calls != 1 || r.Compared != 1 {
				t.Errorf("of an honest store: %+v", r)
			}
			for kind, lie := range map[Kind]func(r *recorded){
				Outcome: func(r *recorded) {
					status := approval.StatusExpired
					if r.record.View.Status == status {
						status = approval.StatusCancelled
					}
					r.record.View.Status = status
				},
				Decision: func(r *recorded) {
					r.record.View.Votes = append(r.record.View.Votes, approval.Decision{ID: "made-up", Kind: approval.Approve, Reviewer: "zoe"})
				},
				Permit: func(r *recorded) {
					if r.record.Permit == nil {
						r.record.Permit = &store.Permit{Run: "another"}
						return
					}
					p := *r.record.Permit
					p.Run = "another"
					r.record.Permit = &p
				},
				Call:    func(r *recorded) { r.record.View.Digest = "00" },
				Deleted: func(r *recorded) { r.events = nil },
				Unknown: func(r *recorded) { r.record = nil },
				Closed: func(r *recorded) {
					last := len(r.events) - 1
					r.events = append(slices.Clone(r.events[:last]), &historypb.HistoryEvent{
						EventId: r.events[last].EventId, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
					})
				},
				Unreadable: func(r *recorded) {
					last := len(r.events) - 1
					r.events = append(slices.Clone(r.events[:last]), &historypb.HistoryEvent{
						EventId: r.events[last].EventId, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
						Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
							WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{},
						},
					})
				},
			} {
				r := load(t, file)
				lie(r)
				report := r.run(t)
				named := slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Kind == kind && f.CallID == r.id })
				if !named || report.OK && kind != Closed { // its end was written down before
					doc, _ := json.Marshal(report)
					t.Errorf("%s: %s", kind, doc)
				}
			}
		})
	}
}

// What ended longer ago than Temporal keeps workflows is gone, and that is no disagreement.
func TestGone(t *testing.T) {
	for ago, gone := range map[time.Duration]bool{71 * time.Hour: false, 73 * time.Hour: true, 1000 * time.Hour: true} {
		r := load(t, "../../workflows/testdata/histories/executed.json")
		ended := time.Now().Add(-ago)
		r.record.View.EndedAt, r.events = &ended, nil
		if report := r.run(t); report.Gone != map[bool]int64{true: 1}[gone] {
			t.Errorf("ended %v ago: %+v", ago, report)
		}
	}
}

// Every activity that a worker offers is known for one that writes down, but those that run tools or
// belong to no call.
func TestStepsAreKnown(t *testing.T) {
	for m := range reflect.TypeFor[*activities.Activities]().Methods() {
		if known := slices.Contains(steps, m.Name); known == slices.Contains([]string{"Execute", "Publish"}, m.Name) {
			t.Errorf("%s is taken for a step: %v", m.Name, known)
		}
	}
}
