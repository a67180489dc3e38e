package policies

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policydiff"
	"github.com/pawlhq/pawl/rest"
)

// effectTime bounds how long recorded calls are compared. Compiling both policies comes on top:
// seconds, for the largest.
const effectTime = 5 * time.Second

// policyEffect is what a new policy does to the calls that were recorded lately.
type policyEffect struct {
	old, new *policy.Set
	report   policydiff.Report
	cut      bool  // there are more calls than were compared in time
	err      error // why that is unknown: the calls, or this Pawl can't read one of the policies
}

func (a *app) effectOf(
	ctx context.Context, from lister, was rest.ActivePolicy, will []rest.PolicyLayer,
) (e policyEffect) {
	if e.old, e.err = compileLayers(was.Layers, was.Digest); e.err != nil {
		return e
	}
	if e.new, e.err = policy.Inspect(admin.Files(will)...); e.err != nil {
		return e
	}
	limited, cancel := context.WithTimeout(ctx, effectTime)
	defer cancel()
	recent := entriesSince(from, a.Now().Add(-recordedFor))
	e.report, e.err = policydiff.Diff(e.old, e.new, policydiff.Recorded(limited, recent))
	if e.err != nil && limited.Err() != nil && ctx.Err() == nil {
		e.cut, e.err = true, nil
	}
	return e
}

// clear reports whether calls were compared, and none of them is judged less strictly than before.
func (e policyEffect) clear() bool { return e.err == nil && e.report.Clear() }

func (e policyEffect) json() any {
	if e.err != nil {
		return struct {
			Error string `json:"error"`
		}{e.err.Error()}
	}
	return struct {
		diffDoc
		Cut bool `json:"cut,omitempty"`
	}{diffJSON(e.old, e.new, e.report), e.cut}
}

// printEffect says what the new policy does to recorded calls, or why that is unknown.
func (a *app) printEffect(e policyEffect) error {
	if e.err != nil {
		a.Note("warning: Pawl can't say which calls are judged less strictly: %v", e.err)
		return nil
	}
	if e.report.Calls == 0 {
		a.Note("warning: nothing was compared: no call was recorded in the last %d days; "+
			"'pawl policy diff --calls' compares over suites", recordedDays)
	} else {
		heading := fmt.Sprintf("\nOver the calls recorded in the last %d days:\n", recordedDays)
		if err := a.Print(heading + a.differences(e.report)); err != nil {
			return err
		}
	}
	a.noteRedacted(e.report)
	if e.cut {
		a.Note("warning: the comparison stopped after %v; 'pawl policy diff --recorded' compares over all "+
			"recorded calls", effectTime)
	}
	return nil
}
