package policies

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policydiff"
)

// effectTime bounds how long is looked for what a new policy changes. Compiling
// both policies comes on top: seconds, for the largest.
const effectTime = 5 * time.Second

// policyEffect is what a new policy does to calls that are derived from its
// rules and the old one's.
type policyEffect struct {
	old, new *policy.Set
	report   policydiff.Report
	cut      bool  // there are more calls than were looked at in time
	err      error // why it can't be told: this Pawl does not know one of the policies
}

func (a *app) effectOf(ctx context.Context, was client.ActivePolicy, will []client.PolicyLayer) (e policyEffect) {
	if e.old, e.err = compileLayers(was.Layers, was.Digest); e.err != nil {
		return e
	}
	if e.new, e.err = policy.Inspect(filesOf(will)...); e.err != nil {
		return e
	}
	ctx, cancel := context.WithTimeout(ctx, effectTime)
	defer cancel()
	e.report = policydiff.Diff(e.old, e.new, policydiff.Within(ctx, policydiff.Probes(e.old, e.new), &e.cut))
	return e
}

// laxer reports whether calls are judged less strictly than before, or whether
// that can't be told.
func (e policyEffect) laxer() bool { return e.err != nil || !e.report.Clear() }

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

func (a *app) tellEffect(e policyEffect) error {
	if e.err != nil {
		a.Note("warning: it can't be told which calls are judged less strictly: %v", e.err)
		return nil
	}
	if err := a.Print("\nOver calls derived from the rules:\n" + a.differences(e.report)); err != nil {
		return err
	}
	if e.cut {
		a.Note("warning: this was cut off after %v: the rules suggest more calls, and what becomes of those is unknown; 'pawl policy diff' looks at all of them", effectTime)
	}
	return nil
}
