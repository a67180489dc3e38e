// Package crosscheck compares what the store and its audit log say of calls with what Temporal's
// histories say of them. Whoever changes the one, and computes every hash anew, would have to
// change the other, too.
package crosscheck

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// Kind says what a finding is about.
type Kind string

const (
	Call       Kind = "call"       // its digest, verdict or requirement
	Outcome    Kind = "outcome"    // how it ended
	Decision   Kind = "decision"   // what people said
	Permit     Kind = "permit"     // the right to run its tool, or its use
	Open       Kind = "open"       // it has ended in the store, and its workflow goes on
	Closed     Kind = "closed"     // its workflow was terminated, failed or ran into a time limit
	Deleted    Kind = "deleted"    // its workflow is gone, before Temporal's retention was over
	Reset      Kind = "reset"      // somebody reset its workflow
	Unknown    Kind = "unknown"    // its workflow is there, and it is not in the store
	Unreadable Kind = "unreadable" // its history can't be read here
)

// Finding is something that Temporal and the store do not agree on, or that a person did to a
// workflow.
type Finding struct {
	CallID  string `json:"call_id"`
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	// Known is set where the store's own record tells of it: that is no disagreement.
	Known bool `json:"known,omitempty"`
}

// Report is what was compared and what was found.
type Report struct {
	OK            bool      `json:"ok"`
	Calls         int64     `json:"calls"`         // in the store
	Compared      int64     `json:"compared"`      // those with a history that has ended
	Open          int64     `json:"open"`          // those under way, compared as far as they have got
	Gone          int64     `json:"gone"`          // ended so long ago that Temporal has no history any more
	Erased        int64     `json:"erased"`        // of those compared: only status and permit are left
	Workflows     int64     `json:"workflows"`     // in Temporal, that were looked for in the store
	NotAdmitted   int64     `json:"not_admitted"`  // of those: no worker has taken them up, or none ever did
	Disagreements int64     `json:"disagreements"` // findings that are not known
	Findings      []Finding `json:"findings"`      // the first MaxFindings
}

// MaxFindings bounds Report.Findings. Options.Found is told all.
const MaxFindings = 1000

// Temporal is what a comparison needs of a client.Client.
type Temporal interface {
	GetWorkflowHistory(
		ctx context.Context, id, run string, wait bool, filter enumspb.HistoryEventFilterType,
	) client.HistoryEventIterator
	ListWorkflow(
		ctx context.Context, r *workflowservice.ListWorkflowExecutionsRequest,
	) (*workflowservice.ListWorkflowExecutionsResponse, error)
}

// Options say what is compared. All but Found and Progress are required.
type Options struct {
	Store     store.Reader
	Temporal  Temporal
	Converter converter.DataConverter // of the Temporal client, which reads what is encrypted
	TaskQueue string                  // of the calls
	Retention time.Duration           // of the namespace: workflows that ended longer ago may be gone
	Found     func(Finding)           // is told of each finding
	Progress  func(calls int64)       // is told now and then how many were compared
}

type checker struct {
	o      Options
	reader reader
	now    time.Time
	report Report

	restored bool // somebody said that the store was restored from a backup
}

// result is what came of one call.
type result struct {
	findings           []Finding
	open, gone, erased bool
	err                error
}

// atOnce is how many histories are read at the same time.
const atOnce = 8

// Run compares every call of the store with its history, and looks for every workflow in the store.
// It holds a page of calls at a time, and at most atOnce histories. It returns an error only if the
// one or the other can't be read.
func Run(ctx context.Context, o Options) (Report, error) {
	c := &checker{o: o, reader: reader{o.Temporal, o.Converter}, now: time.Now()}
	c.report.Findings = []Finding{}
	said, err := o.Store.Entries(ctx, store.EntryQuery{Kind: audit.KindRestored, Limit: 1})
	c.restored = len(said.Items) > 0
	if err == nil {
		err = c.calls(ctx)
	}
	if err == nil {
		err = c.workflows(ctx)
	}
	c.report.OK = err == nil && c.report.Disagreements == 0
	return c.report, err
}

func (c *checker) found(f Finding) {
	if !f.Known {
		c.report.Disagreements++
	}
	if len(c.report.Findings) < MaxFindings {
		c.report.Findings = append(c.report.Findings, f)
	}
	if c.o.Found != nil {
		c.o.Found(f)
	}
}

// calls compares the calls of the store.
func (c *checker) calls(ctx context.Context) error {
	for q := (store.CallQuery{Limit: store.MaxPage}); ; {
		page, err := c.o.Store.Calls(ctx, q)
		if err != nil {
			return err
		}
		for i, r := range c.page(ctx, page.Items) {
			if r.err != nil {
				return fmt.Errorf("comparing call %s: %w", page.Items[i].ID, r.err)
			}
			c.count(r)
		}
		if c.o.Progress != nil {
			c.o.Progress(c.report.Calls)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}

func (c *checker) count(r result) {
	c.report.Calls++
	switch {
	case r.gone:
		c.report.Gone++
	case r.open:
		c.report.Open++
	case r.erased:
		c.report.Erased++
		c.report.Compared++
	default:
		c.report.Compared++
	}
	for _, f := range r.findings {
		c.found(f)
	}
}

// page compares the calls of a page side by side.
func (c *checker) page(ctx context.Context, items []approval.View) []result {
	results := make([]result, len(items))
	var all sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for i, v := range items {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			results[i] = c.compare(ctx, v.ID)
		})
	}
	all.Wait()
	return results
}

// workflows looks for every workflow of the task queue in the store. One that has completed was
// admitted there. Temporal's list may lag: what is missing from it was compared by its call.
func (c *checker) workflows(ctx context.Context) error {
	query := fmt.Sprintf("WorkflowType = '%s' AND TaskQueue = '%s'", approval.WorkflowType, c.o.TaskQueue)
	for page := []byte(nil); ; {
		listed, err := c.o.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: query, PageSize: store.MaxPage, NextPageToken: page,
		})
		if err != nil {
			return fmt.Errorf("listing Temporal's workflows: %w", err)
		}
		for _, w := range listed.GetExecutions() {
			if err := c.workflow(ctx, w.GetExecution().GetWorkflowId(), w.GetStatus()); err != nil {
				return err
			}
		}
		if page = listed.GetNextPageToken(); len(page) == 0 {
			return nil
		}
	}
}

func (c *checker) workflow(ctx context.Context, id string, status enumspb.WorkflowExecutionStatus) error {
	c.report.Workflows++
	if approval.CheckID(id) != nil {
		id = approval.EscapeID(id)
	}
	_, err := c.o.Store.Call(ctx, id)
	switch {
	case !errors.Is(err, store.ErrNotFound):
		return err
	case status != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		c.report.NotAdmitted++
		return nil
	}
	c.found(Finding{CallID: id, Kind: Unknown, Message: "its workflow has completed in Temporal, and the " +
		"store does not have the call: it was removed, or the store was restored from a backup of before it"})
	return nil
}
