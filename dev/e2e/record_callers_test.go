package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/dev/stack"
)

const recordPolicy = `
rules:
  - {tool: ls, auto_approve: true}
  - {tool: brief, auto_approve: true, valid_for: 2s}
  - {tool: rm, require_approval: true}
  - {tool: deploy, stages: [{name: team, approvals: 1}, {name: owners, approvals: 2}], decisions: any}
  - {tool: send, stages: [{name: team, approvals: 1}, {name: owners, approvals: 1}], require_reason: true, decisions: any}
  - {tool: read, approvals: 2, deny_count: 2, decisions: any}
  - {tool: hasty, approvals: 2, decisions: any, timeout: 20s}
`

// recordCallers records calls whose callers run the tool.
func recordCallers(w *world, prefix string) {
	const coder = `,"execution":"caller","agent":"coder","report_within":"3s"}`
	record := func(name string, scenario func() string) { w.record(prefix+name, scenario) }
	post := func(id, what, body string) {
		w.t.Helper()
		if a := w.post("/api/calls/"+id+"/"+what, body); a.code != http.StatusOK {
			w.t.Fatalf("%s: %d %v", what, a.code, a.doc)
		}
	}
	approved := func(tool string, people ...string) (id string) {
		w.t.Helper()
		id = w.call(fmt.Sprintf(`{"tool":%q,"args":{"path":"/tmp"}`, tool) + coder)
		for _, who := range people {
			w.until("the call is pending", func() bool { return w.status(id) == approval.StatusPending })
			w.decide(id, "approve", who, `{"notes":"ok"}`)
		}
		w.until("the call is approved", func() bool { return w.status(id) == approval.StatusApproved })
		return id
	}
	started := func(tool string, people ...string) (id string) {
		w.t.Helper()
		id = approved(tool, people...)
		post(id, "start", "{"+startOne+"}")
		return id
	}

	record("executed-by-caller-allowed", func() string {
		id := started("ls")
		post(id, "outcome", `{"status":"executed","result":["a"],`+startOne+"}")
		w.ends(id, approval.StatusExecuted, 0)
		return id
	})
	record("executed-by-caller-approved", func() string {
		id := started("rm", "ana")
		w.signal(id, approval.SignalReport, approval.ReportSignal{StartID: "start-of-somebody-else", Status: approval.ReportFailed})
		w.signal(id, approval.SignalCancel, nil)
		post(id, "outcome", `{"status":"executed",`+startOne+"}")
		w.ends(id, approval.StatusExecuted, 0)
		return id
	})
	record("executed-by-caller-in-stages", func() string {
		id := started("deploy", "ana", "bo", "cy")
		post(id, "outcome", `{"status":"executed",`+startOne+"}")
		w.ends(id, approval.StatusExecuted, 0)
		return id
	})
	record("failed-by-caller-not-run", func() string {
		id := started("rm", "ana")
		post(id, "outcome", `{"status":"not_run",`+startOne+"}")
		w.ends(id, approval.StatusFailed, 0)
		return id
	})
	record("outcome-unknown-by-caller-not-reported", func() string {
		id := started("rm", "ana")
		w.ends(id, approval.StatusOutcomeUnknown, 0)
		return id
	})
	record("executed-by-caller-reported-in-time-seen-late", func() string {
		id := started("ls")
		w.until("the workflow knows", func() bool { return w.live(id).Status == approval.StatusExecuting })
		due := w.live(id).StartedAt.Add(4 * time.Second)
		w.StopWorker()
		w.signal(id, approval.SignalReport, approval.ReportSignal{StartID: "e2e-start-number-1", Status: approval.ReportExecuted})
		w.until("the report is due", func() bool { return time.Now().After(due) })
		w.startWorker()
		w.ends(id, approval.StatusExecuted, 0)
		return id
	})
	record("cancelled-by-caller", func() string {
		id := approved("rm", "ana")
		post(id, "cancel", `{}`)
		w.ends(id, approval.StatusCancelled, 0)
		return id
	})
	record("cancelled-by-temporal-before-the-caller-started", func() string {
		id := approved("ls")
		if err := w.Client.CancelWorkflow(w.t.Context(), id, ""); err != nil {
			w.t.Fatal(err)
		}
		w.ends(id, approval.StatusCancelled, 0)
		return id
	})
	record("expired-by-caller-never-started", func() string {
		id := approved("brief")
		w.ends(id, approval.StatusExpired, 0)
		return id
	})
	record("blocked-at-the-callers-start", func() string {
		id := approved("rm", "ana")
		applyPolicy(w.t, w, w.API, "rules: [{tool: rm, deny: true}]")
		if a := w.post("/api/calls/"+id+"/start", "{"+startOne+"}"); a.code != http.StatusConflict {
			w.t.Fatalf("%d %v", a.code, a.doc)
		}
		w.ends(id, approval.StatusBlocked, 0)
		recordedPolicy(w)
		return id
	})
}

// recordedPolicy puts recordPolicy in force again.
func recordedPolicy(w *world) {
	w.t.Helper()
	applyPolicy(w.t, w, w.API, recordPolicy)
	w.until("the policy is in force", func() bool {
		id := w.call(hastyDoc)
		w.until("the call is judged", func() bool { return w.status(id) != "" })
		v := w.view(id)
		return v.Deadline != nil && time.Until(*v.Deadline) < time.Minute
	})
}

const hastyDoc = `{"tool":"hasty","args":{"to":"x"}}`

// recordVotes records calls that take several people, who change their minds, and policies that change.
func recordVotes(w *world, prefix string) {
	const send, read = `{"tool":"send","args":{"to":"x"}}`, `{"tool":"read","args":{"to":"x"}}`
	record := func(name string, scenario func() string) { w.record(prefix+name, scenario) }
	yes := func(id, who string) { w.decide(id, "approve", who, `{"notes":"ok"}`) }
	no := func(id, who string) { w.decide(id, "reject", who, `{}`) }

	record("executed-in-stages", func() string {
		id := w.pending(send)
		w.decide(id, "approve", "ana", `{}`) // without a reason
		yes(id, "ana")
		yes(id, "ana")
		yes(id, "bo")
		w.ends(id, approval.StatusExecuted, 1)
		return id
	})
	record("executed-despite-one-rejection", func() string {
		id := w.pending(read)
		yes(id, "ana")
		no(id, "cy")
		yes(id, "bo")
		w.ends(id, approval.StatusExecuted, 1)
		return id
	})
	record("rejected-by-two", func() string {
		id := w.pending(read)
		yes(id, "ana")
		no(id, "ana") // changed her mind
		yes(id, "ana")
		no(id, "bo")
		w.ends(id, approval.StatusRejected, 0)
		return id
	})
	record("executed-with-votes-on-record", func() string {
		id := w.pending(hastyDoc)
		yes(id, "ana")
		w.until("the vote is on record", func() bool { return slices.Contains(w.checkEntries(id), audit.KindDecided) })
		yes(id, "bo")
		w.ends(id, approval.StatusExecuted, 1)
		return id
	})
	record("rejected-by-a-changed-vote", func() string {
		id := w.pending(hastyDoc)
		yes(id, "ana")
		no(id, "ana")
		w.ends(id, approval.StatusRejected, 0)
		return id
	})
	record("executed-after-the-policy-took-more", func() string {
		id := w.pending(hastyDoc)
		yes(id, "ana")
		applyPolicy(w.t, w, w.API, "rules: [{tool: hasty, approvals: 2, require_reason: true, decisions: any}]")
		w.decide(id, "approve", "bo", `{}`) // does not count any more
		yes(id, "cy")
		w.ends(id, approval.StatusExecuted, 1)
		recordedPolicy(w)
		return id
	})
	record("expired-after-the-policy-dropped-a-vote", func() string {
		id := w.pending(hastyDoc)
		w.decide(id, "approve", "ana", `{}`)
		applyPolicy(w.t, w, w.API, "rules: [{tool: hasty, approvals: 2, require_reason: true, decisions: any}]")
		yes(id, "bo")
		w.ends(id, approval.StatusExpired, 0)
		recordedPolicy(w)
		return id
	})
	record("blocked-at-the-claim", func() string {
		id := w.pending(hastyDoc)
		yes(id, "ana")
		applyPolicy(w.t, w, w.API, "rules: [{tool: hasty, deny: true}]")
		yes(id, "bo")
		w.ends(id, approval.StatusBlocked, 0)
		recordedPolicy(w)
		return id
	})
}

func recordDecisions(t *testing.T, prefix string, change func(*stack.Config)) {
	policy := write(t, t.TempDir(), "policy.yaml", recordPolicy)
	w := newWorld(t, change, func(c *stack.Config) { c.Policy = []string{policy} })
	recordCallers(w, prefix)
	recordVotes(w, prefix)
}
