package main

import (
	"iter"
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

func (a *app) effectOf(was client.ActivePolicy, will []client.PolicyLayer) (e policyEffect) {
	if e.old, e.err = compileLayers(was.Layers, was.Digest); e.err != nil {
		return e
	}
	if e.new, e.err = policy.Inspect(filesOf(will)...); e.err != nil {
		return e
	}
	e.report = policydiff.Diff(e.old, e.new, endingAfter(effectTime, policydiff.Probes(e.old, e.new), &e.cut))
	return e
}

// endingAfter ends a sequence after some time, and then sets cut.
func endingAfter[T any](d time.Duration, all iter.Seq[T], cut *bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		end := time.Now().Add(d)
		for v := range all {
			if *cut = time.Now().After(end); *cut || !yield(v) {
				return
			}
		}
	}
}

// laxer reports whether calls may be judged less strictly than before.
func (e policyEffect) laxer() bool { return e.err != nil || len(e.report.Laxer()) > 0 }

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
		a.note("warning: it can't be told which calls are judged less strictly: %v", e.err)
		return nil
	}
	if err := a.print("\nOver calls derived from the rules:\n" + a.differences(e.report)); err != nil {
		return err
	}
	if e.cut {
		a.note("the rules suggest more calls than were looked at in %v; 'pawl policy diff' takes its time for all of them", effectTime)
	}
	return nil
}
