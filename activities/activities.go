// Package activities holds the steps of a guarded call that touch the world: Admit (always first),
// Claim, Execute, Record, and two small ones. They are methods of one struct whose fields are what
// they need.
//
// Every step may be retried and may have happened already: the store's first write wins, and a step
// answers with what the store holds.
package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// Policy evaluates calls. now is Temporal's clock: conditions may ask for it. It must be safe for
// concurrent use.
type Policy interface {
	Evaluate(call approval.Call, now time.Time) approval.Verdict
}

// Activities carries the dependencies of the steps. All fields are set before the worker starts and
// never change. Methods are safe for concurrent use.
type Activities struct {
	Store interface {
		store.Calls
		store.Catalogue
		store.Callers
		store.KeyReader
		Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error)
	}
	// StoreID is the Store's ID. Only decisions that were signed for it count as signed.
	StoreID string

	Policy Policy
	Tools  *tool.Registry
	Logger *slog.Logger

	// Ordinary makes every step an ordinary activity, so that each shows in Temporal's UI. The default
	// runs Admit, Claim and Record as local activities, which costs a call nothing.
	Ordinary bool

	// Decisions says which decisions count for every call; what a policy says can only be stricter.
	// Empty: any where one approval is enough, and signed ones where several people are asked.
	Decisions approval.Decisions

	// SearchAttributes says that the namespace has the Pawl* attributes. Workflows learn it from
	// Admit, so that a worker with another answer can still replay them.
	SearchAttributes bool

	// PublicURL is where people reach the page that shows requests; see approval.RequestURL. Empty:
	// Temporal's UI shows no link to it.
	PublicURL string

	published published
	key       atomic.Pointer[[]byte] // see alikeKey
}

// errOrdinary makes the workflow run the step as an ordinary activity, as it does when the store is
// briefly away.
var errOrdinary = errors.New("this worker runs every step as an ordinary activity")

// mustBeOrdinary refuses a local attempt where every step is to be an ordinary activity.
func (a *Activities) mustBeOrdinary(ctx context.Context) error {
	if a.Ordinary && activity.GetInfo(ctx).IsLocalActivity {
		return errOrdinary
	}
	return nil
}

// refuse makes an error that Temporal does not retry.
func refuse(code, message string, cause error) error {
	return temporal.NewNonRetryableApplicationError(message, code, cause)
}

// serverNow is Temporal's clock, as nearly as an activity knows it, and never the host's, which may
// be wrong. An ordinary activity takes the time at which the server started this attempt, and not
// its input's, because anybody may schedule one. A local activity belongs to Pawl's own workflow
// and is short, so it takes the workflow's time.
func serverNow(ctx context.Context, workflowNow time.Time) time.Time {
	if info := activity.GetInfo(ctx); !info.IsLocalActivity {
		return info.StartedTime.UTC().Truncate(time.Microsecond)
	}
	return workflowNow
}

// logEnd tells of a call that has ended just now.
func (a *Activities) logEnd(ctx context.Context, v approval.View) {
	code := ""
	if v.Error != nil {
		code = v.Error.Code
	}
	a.Logger.InfoContext(ctx, "call ended",
		"call", v.ID, "tool", v.Tool, "status", v.Status, "code", code, "digest", v.Digest)
}

// RefuseInput is a batch of decisions that did not count.
type RefuseInput struct {
	ID, Run  string
	Batch    int // numbers the batches of one run
	Refusals []Refusal
	More     int // further ones that are not kept singly
	At       time.Time
	Nonce    string `json:",omitempty"` // the call's; workflows of before do not say it
}

// Refusal is one decision that did not count.
type Refusal = audit.Refusal

// Refuse puts refused decisions on record, many in one entry. The entry's step holds a hash of its
// contents; see contentStep.
func (a *Activities) Refuse(ctx context.Context, in RefuseInput) error {
	refused := audit.Refused{Refused: in.Refusals, More: in.More, Run: in.Run}
	step, err := contentStep(fmt.Sprintf("refused/%s/%d", in.Run, in.Batch), in.Nonce, refused)
	if err != nil {
		return err
	}
	e, err := entry(in.ID, step, in.At, refused)
	if err != nil {
		return err
	}
	return a.Store.Append(ctx, e)
}
