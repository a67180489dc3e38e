package workflows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"pgregory.net/rapid"
)

// Random lives of one call, on a real store, with the real steps and workflow. What happens is drawn
// as a plan, and two things are checked: each write to the store by the invariants of check, and,
// where a plan holds nothing that breaks in between, the end by a model that is a page long (expect).
//
// More of them: go test ./workflows -run TestModel -rapid.checks 5000. A failure prints its seed, for
// -rapid.seed, and the smallest plan that fails.
func TestModel(t *testing.T) {
	for name, caller := range map[string]bool{"worker": false, "caller": true} {
		for mood, calm := range map[string]bool{"calm": true, "stormy": false} {
			t.Run(name+"/"+mood, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				ends := map[approval.Status]int{}
				rapid.Check(t, func(t *rapid.T) {
					p := anyPlan(caller, calm).Draw(t, "plan")
					w := f.world(p)
					out := w.live()
					w.checkEnd(out)
					if status, code, sure := p.expect(); calm && sure {
						w.must(out.Status == status && codeOf(out) == code, "it ended %s %q, want %s %q", out.Status, codeOf(out), status, code)
					}
					if len(w.wrong) > 0 {
						t.Fatalf("%s\n%s\n%s", strings.Join(w.wrong, "\n"), p, strings.Join(w.story, "\n"))
					}
					ends[out.Status]++
				})
				t.Logf("how they ended: %v", ends)
			})
		}
	}
}

func codeOf(out approval.Outcome) string {
	if out.Error == nil {
		return ""
	}
	return out.Error.Code
}

// A plan is what happens to one call.
type plan struct {
	caller   bool // who runs the tool: its caller, or a worker
	policy   int  // of policies, at first
	ordinary bool // workers run every step as an ordinary activity
	before   bool // the call's first run began on a version whose claims did not judge again
	old      []bool
	events   []event
}

func (p plan) String() string {
	text := fmt.Sprintf("plan: caller %v, policy %s, ordinary %v, before %v, old workers %v", p.caller, policies[p.policy].name, p.ordinary, p.before, p.old)
	for _, e := range p.events {
		text += "\n  " + e.String()
	}
	return text
}

// An event comes so many seconds after the start, or just before or after the n-th write to the store,
// wherever the call is then.
type event struct {
	at    int
	write int // 0: at counts
	after bool

	do     action
	by     string // who decides; or the process that starts or reports
	signed bool   // the decision is signed, and on record before it is sent, as an API does it
	notes  bool
	stale  bool // it is about another digest
	lost   bool // what follows from it: the signal, or the answer; of a write that fails: it was done
	policy int
	report approval.ReportStatus
}

func (e event) String() string {
	when := fmt.Sprintf("at %2ds", e.at)
	if e.write > 0 {
		when = fmt.Sprintf("before write %d", e.write)
		if e.after {
			when = fmt.Sprintf("after write %d", e.write)
		}
	}
	text := fmt.Sprintf("%s: %s", when, e.do)
	switch e.do {
	case approves, rejects:
		text += fmt.Sprintf(" by %s, signed %v, notes %v, stale %v", e.by, e.signed, e.notes, e.stale)
	case applies:
		text += " " + policies[e.policy].name
	case starts:
		text += " " + e.by
	case reports:
		text += fmt.Sprintf(" %s %s", e.by, e.report)
	}
	if e.lost {
		text += ", lost"
	}
	return text
}

type action string

const (
	approves   action = "approve"
	rejects    action = "reject"
	withdraws  action = "withdraw"
	cancels    action = "cancel in Temporal"
	applies    action = "apply policy"
	starts     action = "start"
	reports    action = "report"
	resets     action = "reset" // or terminate and start again; lost: without the signals so far
	failsStore action = "the next write fails"
)

// Bounds of a plan's calls, in seconds. They are close to each other, so that things meet.
const (
	deadline, goodFor, reportDue = 6, 5, 4

	lastSecond, lastWrite = 15, 8
)

func anyPlan(caller, calm bool) *rapid.Generator[plan] {
	return rapid.Custom(func(t *rapid.T) plan {
		p := plan{
			caller:   caller,
			policy:   rapid.IntRange(0, len(policies)-1).Draw(t, "policy"),
			ordinary: rapid.Bool().Draw(t, "ordinary"),
			events:   opening(t, caller),
		}
		more := rapid.SliceOfN(anyEvent(caller, calm), 0, 10).Draw(t, "events")
		if calm { // one thing at a time, so that the model can tell what comes of it
			busy := func(e event) bool {
				return slices.ContainsFunc(p.events, func(o event) bool { return e.at == o.at })
			}
			for _, e := range slices.DeleteFunc(more, busy) {
				if !busy(e) {
					p.events = append(p.events, e)
				}
			}
		} else {
			p.events = append(p.events, more...)
			p.old = rapid.SliceOfN(rapid.Bool(), 0, 6).Draw(t, "old")
			p.before = !caller && rapid.IntRange(0, 3).Draw(t, "before") == 3
		}
		slices.SortStableFunc(p.events, func(a, b event) int { return a.at - b.at })
		return p
	})
}

// opening is how a call goes well, as far as it does: else few would come to their tool.
func opening(t *rapid.T, caller bool) (list []event) {
	for i, who := range []string{"ana", "bo", "cy"}[:rapid.IntRange(0, 3).Draw(t, "opening")] {
		list = append(list, event{do: approves, by: who, at: i + 1, signed: rapid.Bool().Draw(t, "signed"), notes: true})
	}
	if caller && rapid.Bool().Draw(t, "started") {
		list = append(list, event{do: starts, by: firstStart, at: len(list) + 1})
		if rapid.Bool().Draw(t, "reported") {
			list = append(list, event{do: reports, by: firstStart, at: len(list) + 2, report: approval.ReportExecuted})
		}
	}
	return list
}

func anyEvent(caller, calm bool) *rapid.Generator[event] {
	actions := []action{approves, approves, approves, rejects, rejects, withdraws, cancels, applies, applies}
	if caller {
		actions = append(actions, starts, starts, starts, reports, reports, reports)
	}
	if !calm {
		actions = append(actions, resets, failsStore, failsStore)
	}
	return rapid.Custom(func(t *rapid.T) event {
		e := event{
			do: rapid.SampledFrom(actions).Draw(t, "do"),
			at: rapid.IntRange(1, lastSecond).Draw(t, "at"),
		}
		if !calm && rapid.Bool().Draw(t, "amid a write") {
			e.write, e.after = rapid.IntRange(1, lastWrite).Draw(t, "write"), rapid.Bool().Draw(t, "after")
		}
		seldom := func(label string) bool { return rapid.IntRange(0, 4).Draw(t, label) == 4 }
		switch e.do {
		case approves, rejects:
			e.at = min(e.at, rapid.IntRange(1, deadline+1).Draw(t, "soon"))
			e.by = rapid.SampledFrom([]string{"ana", "bo", "cy", "olga"}).Draw(t, "by")
			e.signed, e.notes = rapid.Bool().Draw(t, "signed"), !seldom("without notes")
			e.stale, e.lost = seldom("stale"), seldom("lost")
		case applies:
			e.policy = rapid.IntRange(0, len(policies)-1).Draw(t, "policy")
		case starts, reports:
			e.by = rapid.SampledFrom([]string{firstStart, firstStart, otherStart}).Draw(t, "process")
			e.lost = e.do == starts && seldom("lost")
			e.report = rapid.SampledFrom([]approval.ReportStatus{
				approval.ReportExecuted, approval.ReportFailed, approval.ReportNotRun, approval.ReportUnknown,
			}).Draw(t, "report")
		case resets, failsStore:
			e.lost = rapid.Bool().Draw(t, "lost")
		}
		return e
	})
}

// recorded reports whether a rejection is on record before it is sent.
func (e event) recorded() bool { return e.do == rejects && e.signed && !e.stale }

// needs is what a call takes, as far as the model knows of it.
type needs struct {
	people, deny         int
	signed, reason, self bool
}

// and is what takes as much as both.
func (n needs) and(o needs) needs {
	return needs{max(n.people, o.people), min(n.deny, o.deny), n.signed || o.signed, n.reason || o.reason, n.self && o.self}
}

// takes reports whether somebody's decision counts, whoever else has decided.
func (n needs) takes(e event) bool {
	switch {
	case e.stale, n.signed && !e.signed:
		return false
	case e.do == rejects:
		return true
	}
	return (n.self || e.by != "olga") && (!n.reason || e.notes)
}

func needsOf(r approval.Requirement) needs {
	n := needs{deny: max(1, r.DenyCount), signed: r.Decisions == approval.DecisionsSigned, reason: r.RequireReason, self: r.SelfApproval}
	for _, a := range r.Approvals {
		n.people += a.Count
	}
	for _, s := range r.Stages {
		n.people += s.Approvals[0].Count
	}
	return n
}

// policies are what may be in force. Olga owns the agent that asks.
var policies = []struct {
	name, rule string
	verdict    approval.VerdictKind
	needs      needs
}{
	{"one", "approvals: 1", approval.VerdictRequire, needs{people: 1, deny: 1}},
	{"two", "approvals: 2", approval.VerdictRequire, needs{people: 2, deny: 1}},
	{"stages", "stages: [{name: first, approvals: 1}, {name: second, approvals: 2}]", approval.VerdictRequire, needs{people: 3, deny: 1}},
	{"two to deny", "approvals: 1, deny_count: 2", approval.VerdictRequire, needs{people: 1, deny: 2}},
	{"signed", "decisions: signed", approval.VerdictRequire, needs{people: 1, deny: 1, signed: true}},
	{"reason", "require_reason: true", approval.VerdictRequire, needs{people: 1, deny: 1, reason: true}},
	{"own", "self_approval: true", approval.VerdictRequire, needs{people: 1, deny: 1, self: true}},
	{"allow", "auto_approve: true", approval.VerdictAllow, needs{}},
	{"deny", "deny: true", approval.VerdictDeny, needs{}},
}

func policyText(i int) string {
	const rule = "rules: [{tool: '*', %s, timeout: %ds, valid_for: %ds}]"
	if policies[i].verdict == approval.VerdictDeny {
		return "deny: ['*']"
	}
	return fmt.Sprintf(rule, policies[i].rule, deadline, goodFor)
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
