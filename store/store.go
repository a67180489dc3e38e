// Package store says what Pawl keeps and what every backend must promise. The promises are checked
// by storetest, which runs against each backend.
//
// A store holds redacted values only. Every method is one transaction: it happens whole or not at
// all, and is durable when it returns nil. After any other answer it may still have happened, if
// the commit's own answer was lost: every write may be repeated. Methods are safe for concurrent
// use, from several processes where the backend allows it. Input that breaks a rule given here is
// an approval.Error with CodeInvalid. Times keep whole microseconds.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
)

var (
	// ErrNotFound: no call (decision, …) has this ID.
	ErrNotFound = errors.New("not found in the store")
	// ErrAmbiguous: the ID prefix fits several calls.
	ErrAmbiguous = errors.New("the ID prefix fits several calls")
	// ErrNoPermit: the step needs the call's permit, and there is none to use.
	ErrNoPermit = errors.New("the call has no permit, or its permit can't be used any more")
	// ErrStarted: the permit was used before, so the tool may have run.
	ErrStarted = errors.New("the call's tool was started before")
	// ErrRunOut: the permit was not used while the approval was good.
	ErrRunOut = errors.New("the call's permit ran out before it was used")
	// ErrDigest: the call was admitted with another digest.
	ErrDigest = errors.New("the call's digest is not the one it was admitted with")
	// ErrUnverified: the permit rests on signed decisions, and they were not verified for this use.
	ErrUnverified = errors.New("the signed decisions that the permit rests on were not verified")
	// ErrSchema: the store was made by a newer Pawl, or must be upgraded before this one can use it.
	ErrSchema = errors.New("the store's schema is not the one this Pawl knows")
	// ErrNewer is the ErrSchema of a store that a newer Pawl made: no waiting and no upgrade of the
	// store helps.
	ErrNewer = fmt.Errorf("%w: a newer Pawl made it", ErrSchema)
	// ErrDamaged: the stored data can't be read.
	ErrDamaged = errors.New("the store is damaged")
	// ErrDamagedRow is the ErrDamaged of one row that can't be read, where the others may be.
	ErrDamagedRow = fmt.Errorf("%w", ErrDamaged)
	// ErrRefused: what was to be written contradicts what the store has.
	ErrRefused = errors.New("the store refuses what contradicts it")
	// ErrClosed: the handle was used after Close.
	ErrClosed = errors.New("the store is closed")
	// ErrReadOnly: this handle may read only.
	ErrReadOnly = errors.New("the store is open for reading only")
	// ErrRevised: since the call was judged, what it requires was changed, or a decision about it was
	// sent.
	ErrRevised = errors.New("the call was changed, or a decision about it sent, in the meantime")
	// ErrNotUnknown: only of a call that ended as outcome_unknown a person may say what became of it.
	ErrNotUnknown = errors.New("the call's outcome is not unknown")
	// ErrSettled: somebody has said something else of what became of the call.
	ErrSettled = errors.New("somebody has said before what became of the call")
	// ErrPolicyChanged: another version of the policy is active than the one that was to be replaced.
	ErrPolicyChanged = errors.New("another policy was applied in the meantime")
)

// DuplicateError: a call was not admitted, since another one with its DuplicateKey is pending.
type DuplicateError struct{ ID string } // of the other one

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("the identical call %s is pending", approval.Display(e.ID, 80))
}

// Store is everything. Consumers ask for the narrow parts.
type Store interface {
	Calls
	Catalogue
	Callers
	Notices
	Policies
	Tokens
	Keys
	Sessions
	Retention
	Log
	Reader
	// ID names this store among all: it is random, given when the store was laid, and the same in its
	// copies and backups.
	ID(ctx context.Context) (string, error)
	// Ping fails when the store can't be used now; it is for readiness.
	Ping(ctx context.Context) error
	Close() error
}

// Calls writes the life of calls. Entries given to a method are written in its transaction, and
// only if the method takes effect ("first write wins"): a repeat changes nothing and returns what
// is stored.
type Calls interface {
	// Admit writes a new call. If the ID is there already nothing is written, and the stored record
	// comes back with fresh false. If another call with the same DuplicateKey is pending, nothing is
	// written either: *DuplicateError.
	Admit(ctx context.Context, a AdmitParams) (r Record, fresh bool, err error)

	// Claim takes the call's one permit. Repeats, by any run, return the record as it is: look at
	// Record.Permit and Record.View.Status. Errors: ErrNotFound; ErrDigest when digest is not the
	// admitted one; ErrRevised when the call was changed or a decision about it was sent since it was
	// judged; ErrPolicyChanged when another version of the policy is active than it was judged by. A
	// call that has ended is returned as it is, and no permit is taken.
	Claim(ctx context.Context, c ClaimParams) (Record, error)

	// Tighten replaces what a call requires by something stricter, and raises its revision. A call
	// that does not wait, is claimed, or has another revision than the one that was judged comes back
	// as it is. Errors: ErrNotFound, ErrDigest.
	Tighten(ctx context.Context, t TightenParams) (Record, error)

	// Use consumes the permit, once. A second use is ErrStarted, except for a repeat with the Token of
	// the first, which finds its own mark, and for a Retry by the same Run and Activity. Errors:
	// ErrNotFound, ErrNoPermit (none was claimed, it is void, or the call has ended), ErrDigest,
	// ErrStarted, ErrRunOut for a first use after the permit's GoodUntil, ErrUnverified for a first
	// use without Verified of a permit with Evidence.
	Use(ctx context.Context, u UseParams) error

	// Start is Use for a call whose caller runs the tool, by the store's clock. A repeat with the same
	// Start finds its own mark and comes back with fresh false; so does a call that has ended. Errors:
	// ErrNotFound, ErrNoPermit (none was claimed, or a worker's), ErrDigest, ErrStarted by another
	// Start, ErrRunOut, ErrUnverified.
	Start(ctx context.Context, p StartParams) (r Record, fresh bool, err error)

	// Report ends a call that its caller started, and keeps what was reported. The same report again
	// changes nothing: it is Record.View.Report. Of a call that has ended otherwise, the first one is
	// kept as Record.View.LateReport. Errors: ErrNotFound, ErrDigest, ErrNoPermit of a call that no
	// caller started, ErrStarted by another Start.
	Report(ctx context.Context, p ReportParams) (r Record, fresh bool, err error)

	// Finish ends the call. If it has ended before, nothing is written, and the record comes back with
	// fresh false. Errors: ErrNotFound; ErrNoPermit for an ending that needs a permit
	// (Status.NeedsPermit) without one, or as executed before the permit was used
	// (Permit.ToolMayHaveRun); ErrStarted for any other ending when the permit was used, or was handed
	// to another queue by another run. Any other ending voids an unused permit, so the tool can never
	// run afterwards. A call that its caller started ends here only as outcome_unknown with
	// approval.CodeNotReported or CodeTerminated, else it is ErrNoPermit: its end is for Report to say.
	// With Lost it may end as outcome_unknown without any of that.
	Finish(ctx context.Context, f FinishParams) (r Record, fresh bool, err error)

	// Settle keeps what a person says became of a call that ended as outcome_unknown, once. The same
	// again changes nothing. Errors: ErrNotFound; ErrNotUnknown; ErrSettled, with the record.
	Settle(ctx context.Context, p SettleParams) (r Record, fresh bool, err error)

	// Append writes entries; those whose call and step are there already are skipped.
	Append(ctx context.Context, entries ...audit.Entry) error

	// Call returns one call's record, by its whole ID, or ErrNotFound.
	Call(ctx context.Context, id string) (Record, error)
}

// Catalogue keeps the tools that workers offer.
type Catalogue interface {
	// PublishTools puts tools into the catalogue, where a name belongs to one publisher. It returns
	// the names that belong to others and were left as they are; an operator's publication takes them
	// over instead.
	PublishTools(ctx context.Context, p Publication) (refused []string, err error)
	// ForgetTools takes tools out of the catalogue, whoever published them, so that anybody may
	// publish their names. It returns those that were there, sorted.
	ForgetTools(ctx context.Context, names ...string) (forgotten []string, err error)
	// Tool returns one tool, or ErrNotFound.
	Tool(ctx context.Context, name string) (Tool, error)
}

// Callers serves those who run tools themselves.
type Callers interface {
	// Attach returns the oldest call with this AdmitParams.Alike that nobody uses: it waits, or is
	// approved and not started, or ended so and was delivered to nobody; and it is under no lease. It
	// takes the lease, which a call that waits or is approved has from its admission on. Else
	// ErrNotFound.
	Attach(ctx context.Context, alike string) (id string, err error)
	// Renew keeps the lease of a call that may be attached to, and Release gives it back.
	Renew(ctx context.Context, id string) error
	Release(ctx context.Context, id string) error
	// Deliver notes that a call's end is about to be in an answer.
	Deliver(ctx context.Context, id string) error
	// AlikeKey is the key of AdmitParams.Alike and Identical. It is random, and the store's own.
	AlikeKey(ctx context.Context) ([]byte, error)
	// PublishOwn replaces one list of tools that an agent runs itself, that of a source; the agent's
	// other lists lose only the names that are in this one. Where a worker offers one of them, it returns
	// their names and changes nothing.
	PublishOwn(ctx context.Context, agent, source string, tools []OwnTool) (taken []string, err error)
	// OwnTool returns a tool that an agent runs itself, or ErrNotFound.
	OwnTool(ctx context.Context, agent, name string) (OwnTool, error)
}

// Lease is how long a call is one caller's, before another one may attach to it.
const Lease = 30 * time.Second

// MaxPrevious is how many calls Reader.Previous returns.
const MaxPrevious = 5

// Reader serves lists.
type Reader interface {
	ChangeReader
	// Call returns one call's record, by its whole ID, or ErrNotFound.
	Call(ctx context.Context, id string) (Record, error)
	// Resolve returns the whole ID that begins with a prefix, or that is it. Errors: ErrNotFound, also
	// for an empty prefix; ErrAmbiguous.
	Resolve(ctx context.Context, prefix string) (string, error)
	// Previous returns the calls with the AdmitParams.Identical of this one that were admitted before
	// it, at most MaxPrevious, the one admitted last first. None if there is no such call.
	Previous(ctx context.Context, id string) ([]approval.View, error)
	// Calls returns one page, the one admitted last first. With ErrDamagedRow the page has no items, and
	// Next as if it had them.
	Calls(ctx context.Context, q CallQuery) (Page[approval.View], error)
	// Entries returns one page of the audit log, in the order written.
	Entries(ctx context.Context, q EntryQuery) (Page[audit.Entry], error)
	// Tools returns the catalogue, by name.
	Tools(ctx context.Context) ([]Tool, error)
}

// AdmitParams is a call as its policy activity admits it.
type AdmitParams struct {
	// View's Status is pending; with TakePermit executing, or approved where its caller runs the tool;
	// or an ending (then EndedAt is set).
	View       approval.View
	Verdict    approval.Verdict
	Run        string    // Temporal run that admits
	TakePermit bool      // take the permit in the same transaction, as of View.CreatedAt: allowed calls
	GoodUntil  time.Time // of the permit; required with TakePermit
	Queue      string    // see Permit.Queue
	Policy     int64     // the version that the call was judged by; see UnversionedPolicy
	IsRequest  bool      // a request: reviewers list it
	// DuplicateKey is the same in calls of which one at a time may be pending, and needs IsRequest.
	// Empty: the call has no duplicates.
	DuplicateKey string
	// Alike is the same in calls to which the same caller may attach, by Callers.AlikeKey. Empty: none.
	Alike string
	// Identical is the same in calls of one agent that ask for the same, by Identical. Empty: Previous
	// does not tell of the call.
	Identical string
	Entries   []audit.Entry
}

// Record is a call as it is stored.
type Record struct {
	View      approval.View
	Verdict   approval.Verdict
	Run       string // the run that admitted
	IsRequest bool
	Revision  int64   // how often what the call requires was changed
	Permit    *Permit // nil: not claimed yet
}

// Permit is the one right to run a call's tool.
type Permit struct {
	Run       string    // the run that claimed
	At        time.Time // when
	GoodUntil time.Time // after that it can't be used
	UsedAt    time.Time // zero: the tool was not started
	Void      bool      // the call ended before the permit was used; it never can be
	// Queue is where other workers run the tool. They have no store to use the permit up in: it is
	// handed to the run that claims, which alone knows whether they started the tool.
	Queue string
	// Evidence is the signed decisions that it was given for: a JSON list of envelopes, which the
	// store does not read. Empty: it rests on none.
	Evidence string
	// Executor is who uses the permit: approval.ExecutionCaller by Start, or empty, a worker by Use.
	Executor approval.Execution
	Start    string // approval.HashStartID of the caller's who used it
}

// CanVoid reports whether a run may end the call as one whose tool never ran.
func (c *Permit) CanVoid(run string) bool {
	return c == nil || c.UsedAt.IsZero() && (c.Queue == "" || c.Run == run)
}

// ToolMayHaveRun reports whether the tool can have given a result: the permit was used, or is with
// other workers.
func (c *Permit) ToolMayHaveRun() bool {
	return c != nil && (!c.UsedAt.IsZero() || c.Queue != "")
}

// ClaimParams asks for a permit.
type ClaimParams struct {
	ID, Run, Digest string
	At, GoodUntil   time.Time // GoodUntil is required
	Queue           string    // see Permit.Queue
	Evidence        string    // see Permit.Evidence
	Votes           []approval.Decision
	Decision        *approval.FinalDecision
	Revision        int64 // Record.Revision of the call that was judged
	Sent            int   // how many entries of audit.KindSent it had then
	Policy          int64 // the version it was judged by; see UnversionedPolicy
	Entries         []audit.Entry
}

// UnversionedPolicy is the version of a policy that is not in the store.
const UnversionedPolicy = -1

// TightenParams asks more of a call that waits.
type TightenParams struct {
	ID, Digest  string
	Revision    int64 // Record.Revision of the call that was judged
	Requirement approval.Requirement
	At          time.Time
	Entries     []audit.Entry
}

// UseParams consumes a permit.
type UseParams struct {
	ID, Digest    string
	Run, Activity string // who uses it
	Token         string // random, the same in all tries of one execution, which are one use
	Retry         bool   // the tool is declared idempotent: the same activity may come again
	Verified      bool   // the permit's Evidence was verified for this use
	At            time.Time
	Entries       []audit.Entry
	// Unchanged goes on record instead of Entries where nobody was asked about the call, and its admission
	// was by the same Policy: that keeps most calls small. Nil: Entries always do.
	Unchanged []audit.Entry
	Policy    approval.PolicyRef // that judged the call last
}

// StartParams uses the permit of a caller.
type StartParams struct {
	ID, Digest string
	Start      string // approval.HashStartID
	Verified   bool   // see UseParams
	By         approval.Actor
	Policy     approval.PolicyRef // see UseParams
}

// ReportParams ends a call as its caller says. Outcome is redacted.
type ReportParams struct {
	Outcome approval.Outcome // ID and Digest, too
	Start   string           // approval.HashStartID
	Report  approval.Report  // At is left out
	At      time.Time
	Entries []audit.Entry // of a report that ends the call
	Late    []audit.Entry // of one that comes when the call has ended otherwise
}

// FinishParams ends a call. Outcome is redacted.
type FinishParams struct {
	Outcome approval.Outcome
	Run     string              // the run that says so
	Votes   []approval.Decision // nil keeps the stored ones
	At      time.Time
	Entries []audit.Entry
	// Lost says that the call's workflow ran the tool by a permit that this store, restored from a backup,
	// does not know of: the call may end as outcome_unknown whatever the store has of its permit. No
	// workflow's word is enough to say so.
	Lost bool
}

// SettleParams is what a person says became of a call. It is redacted.
type SettleParams struct {
	ID      string
	Settled approval.Settled
	Entries []audit.Entry
}

// Paging selects one page of a list.
type Paging struct {
	Cursor string // Page.Next of the page before
	Limit  int    // 1 to MaxPage; 0 means DefaultPage
}

// Page sizes.
const (
	DefaultPage = 50
	MaxPage     = 500
	// ExactTotal is how far totals are counted.
	ExactTotal = 1000
	// PageBytes ends a page early: calls and entries may be a megabyte each.
	PageBytes = 8 << 20
)

// These are kept as the API shows them. A page may hold fewer items than the limit and still have a
// next one: about PageBytes end it, too.
type (
	Page[T any]   = rest.Page[T]
	Tool          = rest.CatalogueTool
	OwnTool       = rest.OwnTool
	SigningKey    = rest.SigningKey
	PolicySet     = rest.PolicySet
	PolicyLayer   = rest.PolicyLayer
	PolicyVersion = rest.PolicyVersion
)

// Publication is what one publisher offers.
type Publication struct {
	// Publisher is the task queue of the worker that publishes, and every tool's Publisher.
	Publisher string
	// Operator says that it is a worker of Pawl's own: it offers these tools and no others, and names
	// that it offers are its. Otherwise it is an agent, whose tools that are not named here stay.
	Operator bool
	Tools    []Tool // every name different
}
