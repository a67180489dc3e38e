package store

import (
	"time"

	"github.com/pawlhq/pawl/approval"
)

// The rules by which a call changes, after it was admitted. They are pure: a backend locks a call,
// reads it, applies one of them and writes what comes back, all in one transaction.

// Now is what a claim depends on beside its call.
type Now struct {
	Policy int64 // the version that is active
	Sent   int   // how many decisions about the call are on record as sent
}

// ApplyClaim takes the permit of a call. If the call has ended or its permit was taken before, it
// comes back as it is, with changed false. Errors: ErrDigest, ErrRevised, ErrPolicyChanged.
func ApplyClaim(r Record, now Now, c ClaimParams) (next Record, changed bool, err error) {
	switch {
	case r.View.Digest != c.Digest:
		return r, false, ErrDigest
	case r.View.Status.Ended() || r.Permit != nil:
		return r, false, nil
	case r.Revision != c.Revision, now.Sent != c.Sent:
		return r, false, ErrRevised
	case c.Policy != now.Policy && c.Policy != UnversionedPolicy:
		return r, false, ErrPolicyChanged
	}
	r.Permit = &Permit{
		Run: c.Run, At: Micros(c.At), GoodUntil: Micros(c.GoodUntil), Queue: c.Queue, Evidence: c.Evidence,
		Executor: r.View.Execution,
	}
	r.View.Status, r.View.Votes, r.View.Decision = permitted(r.View), c.Votes, c.Decision
	return r, true, nil
}

// permitted is the status of a call whose permit is taken and not used: a caller's tool has not
// started then, while a worker's may at any time.
func permitted(v approval.View) approval.Status {
	if v.Execution == approval.ExecutionCaller {
		return approval.StatusApproved
	}
	return approval.StatusExecuting
}

// ApplyTighten asks more of a call. One that does not wait any more, is claimed, or was changed
// since it was judged comes back as it is, with changed false. Error: ErrDigest.
func ApplyTighten(r Record, t TightenParams) (next Record, changed bool, err error) {
	switch {
	case r.View.Digest != t.Digest:
		return r, false, ErrDigest
	case r.View.Status != approval.StatusPending || r.Permit != nil || r.Revision != t.Revision:
		return r, false, nil
	}
	r.View.Requirement = &t.Requirement
	r.Revision++
	return r, true, nil
}

// PermitState is what decides whether a call's permit may be used, and is read without the large
// parts of a call.
type PermitState struct {
	IsRequest bool               // see Record
	Policy    approval.PolicyRef // that admitted a call which is no request
	Digest    string             // of the call
	Ended     bool               // the call has
	Claimed   bool               // there is a permit; else nothing of what follows is set
	Void      bool               // see Permit
	Remote    bool               // it is with another queue; see Permit.Queue
	Signed    bool               // it rests on signed decisions; see Permit.Evidence
	Caller    bool               // it is for the call's caller; see Permit.Executor
	GoodUntil time.Time          // after that it can't be used
	Used      bool               // and then by whom:

	Run, Activity, Token string
}

// ApplyUse decides whether a permit is used now, for the first and only time. With nil and fresh
// false it was used before, by the very one that asks. Errors: ErrNoPermit, ErrDigest, ErrStarted,
// ErrRunOut, ErrUnverified.
func ApplyUse(s PermitState, u UseParams) (fresh bool, err error) {
	switch {
	case !s.Claimed || s.Void || s.Remote || s.Caller || s.Ended:
		return false, ErrNoPermit
	case s.Digest != u.Digest:
		return false, ErrDigest
	case s.Used && u.Token != "" && u.Token == s.Token:
		return false, nil
	case s.Used && u.Retry && u.Activity != "" && u.Run == s.Run && u.Activity == s.Activity:
		return false, nil
	case s.Used:
		return false, ErrStarted
	case Micros(u.At).After(s.GoodUntil):
		return false, ErrRunOut
	case s.Signed && !u.Verified:
		return false, ErrUnverified
	}
	return true, nil
}

// ApplyStart lets a caller use its permit. A call that has ended, or that the same start used
// before, comes back as it is, with changed false. Errors: ErrDigest, ErrNoPermit, ErrStarted,
// ErrRunOut, ErrUnverified.
func ApplyStart(r Record, now time.Time, p StartParams) (next Record, changed bool, err error) {
	switch {
	case r.View.Digest != p.Digest:
		return r, false, ErrDigest
	case r.View.Status.Ended():
		return r, false, nil
	case r.Permit == nil || r.Permit.Executor != approval.ExecutionCaller || r.Permit.Void:
		return r, false, ErrNoPermit
	case !r.Permit.UsedAt.IsZero() && r.Permit.Start == p.Start:
		return r, false, nil
	case !r.Permit.UsedAt.IsZero():
		return r, false, ErrStarted
	case now.After(r.Permit.GoodUntil):
		return r, false, ErrRunOut
	case r.Permit.Evidence != "" && !p.Verified:
		return r, false, ErrUnverified
	}
	now = Micros(now)
	used := *r.Permit
	used.UsedAt, used.Start = now, p.Start
	r.Permit = &used
	r.View.Status, r.View.StartedAt = approval.StatusExecuting, &now
	return r, true, nil
}

// ApplyReport ends a call as its caller reports. What was reported before comes back with changed
// false; late means that the call had ended otherwise. Errors: ErrDigest, ErrNoPermit, ErrStarted.
func ApplyReport(r Record, p ReportParams) (next Record, changed, late bool, err error) {
	report := p.Report
	report.At = Micros(p.At)
	switch {
	case r.View.Digest != p.Outcome.Digest:
		return r, false, false, ErrDigest
	case r.Permit == nil || r.Permit.Executor != approval.ExecutionCaller || r.Permit.UsedAt.IsZero():
		return r, false, false, ErrNoPermit
	case r.Permit.Start != p.Start:
		return r, false, false, ErrStarted
	case !r.View.Status.Ended():
		r.View.End(p.Outcome, report.At)
		r.View.Report = &report
		return r, true, false, nil
	case r.View.Report != nil && r.View.Report.Same(report):
		return r, false, false, nil
	case r.View.LateReport != nil || r.View.ErasedAt != nil:
		return r, false, true, nil
	}
	r.View.LateReport = &report
	return r, true, true, nil
}

// ApplyFinish ends a call, and voids its permit where the tool can't have run. A call that ended
// before comes back as it is, with changed false. Errors: ErrNoPermit, ErrStarted.
func ApplyFinish(r Record, f FinishParams) (next Record, changed bool, err error) {
	if r.View.Status.Ended() {
		return r, false, nil
	}
	switch needs := f.Outcome.Status.NeedsPermit(); {
	case f.Lost && f.Outcome.Status == approval.StatusOutcomeUnknown:
	case needs && r.Permit == nil, f.Outcome.Status == approval.StatusExecuted && !r.Permit.ToolMayHaveRun():
		return r, false, ErrNoPermit
	case needs && r.Permit.Executor == approval.ExecutionCaller && !unreported(*r.Permit, f.Outcome):
		return r, false, ErrNoPermit
	case !needs && !r.Permit.CanVoid(f.Run):
		return r, false, ErrStarted
	case !needs && r.Permit != nil:
		void := *r.Permit
		void.Void = true
		r.Permit = &void
	}
	r.View.End(f.Outcome, Micros(f.At))
	if f.Votes != nil {
		r.View.Votes = f.Votes
	}
	return r, true, nil
}

// ApplySettle keeps what a person says became of a call. The same as before comes back with changed
// false. Errors: ErrNotUnknown, ErrSettled.
func ApplySettle(r Record, p SettleParams) (next Record, changed bool, err error) {
	said := p.Settled
	said.At = Micros(said.At)
	switch known := r.View.Settled; {
	case r.View.Status != approval.StatusOutcomeUnknown || r.View.ErasedAt != nil:
		return r, false, ErrNotUnknown
	case known != nil && known.Same(said):
		return r, false, nil
	case known != nil:
		return r, false, ErrSettled
	}
	r.View.Settled = &said
	return r, true, nil
}

// unreported is the one end of a call that its caller started which needs no report.
func unreported(p Permit, o approval.Outcome) bool {
	return !p.UsedAt.IsZero() && o.Status == approval.StatusOutcomeUnknown && o.Error != nil &&
		(o.Error.Code == approval.CodeNotReported || o.Error.Code == approval.CodeTerminated)
}

// Micros is a time as stores keep it: in UTC, cut to whole microseconds.
func Micros(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }
