package workflows_test

import (
	"maps"

	"github.com/pawlhq/pawl/approval"
)

// expect is the model: how the call of a plan ends in which nothing breaks. It is not sure where two
// things come at one time of which either may be first.
func (p plan) expect() (status approval.Status, code string, sure bool) {
	m := model{caller: p.caller, policy: p.policy, sure: true, status: approval.StatusPending, until: deadline,
		yes: map[string]event{}, no: map[string]event{}, onRecord: map[string]event{}}
	switch first := policies[p.policy]; first.verdict {
	case approval.VerdictDeny:
		m.end(approval.StatusBlocked, approval.CodePolicyDenied)
	case approval.VerdictAllow:
		m.allowed = true
		m.permit(0)
	default:
		m.needs = first.needs
	}
	for _, e := range p.events {
		m.pass(e.at)
		m.happens(e)
	}
	m.pass(lastSecond * 3)
	return m.status, m.code, m.sure
}

// model is a call as people see it.
type model struct {
	caller, allowed bool
	policy          int
	needs           needs
	// The decisions that count, by person, and the rejections on record, whose signals may be lost.
	yes, no, onRecord map[string]event

	status approval.Status
	code   string
	until  int    // when what it waits for must have come
	by     string // the process that started the tool
	due    int    // when its report is
	told   bool   // the workflow knows of the start
	sure   bool
}

func (m *model) end(status approval.Status, code string) { m.status, m.code, m.until = status, code, 0 }

// pass lets time pass: what has not come by then ends the call.
func (m *model) pass(now int) {
	for !m.status.Ended() && now >= m.until {
		m.sure = m.sure && now > m.until
		switch {
		case m.status == approval.StatusExecuting && !m.told:
			m.tell(m.until)
		case m.status == approval.StatusExecuting:
			m.end(approval.StatusOutcomeUnknown, approval.CodeNotReported)
		default:
			m.end(approval.StatusExpired, approval.CodeExpired)
		}
	}
}

func (m *model) happens(e event) {
	if e.recorded() {
		m.onRecord[e.by] = e
	}
	switch waits := m.status == approval.StatusPending; {
	case e.do == applies:
		m.policy = e.policy
	case m.status.Ended():
	case e.do == withdraws || e.do == cancels:
		if m.status != approval.StatusExecuting {
			m.end(approval.StatusCancelled, approval.CodeCancelled)
		}
		m.tell(e.at)
	case e.do == approves && waits && !e.lost && m.needs.takes(e):
		if _, rejected := m.no[e.by]; !rejected && !stays(m.yes[e.by], e) {
			m.yes[e.by] = e
		}
		m.settle(e.at)
	case e.do == rejects && waits && !e.lost && m.needs.takes(e):
		if !stays(m.no[e.by], e) {
			m.no[e.by] = e
		}
		m.settle(e.at)
	case e.do == starts && m.status == approval.StatusApproved:
		m.start(e)
	case e.do == starts && e.by == m.by && !e.lost:
		m.tell(e.at)
	case e.do == reports && m.status == approval.StatusExecuting && e.by == m.by:
		m.report(e.report)
	}
}

// stays reports whether somebody's decision of before is the one that counts, although they say the same
// again.
func stays(before, again event) bool { return before.do != "" && !again.signed }

// settle ends the waiting if the decisions do.
func (m *model) settle(now int) {
	if len(m.no) >= m.needs.deny {
		m.end(approval.StatusRejected, approval.CodeRejected)
		return
	}
	if !m.met(m.no) {
		return
	}
	// It is claimed: what is on record counts, too, and the policy of now.
	no := maps.Clone(m.no)
	maps.Copy(no, m.onRecord)
	active := policies[m.policy]
	switch stricter := m.needs.and(active.needs); {
	case len(no) >= m.needs.deny:
		m.end(approval.StatusRejected, approval.CodeRejected)
	case !m.met(no):
		m.no = no
	case active.verdict == approval.VerdictDeny:
		m.end(approval.StatusBlocked, approval.CodePolicyChanged)
	case active.verdict == approval.VerdictRequire && stricter != m.needs:
		m.needs = stricter
		for _, decisions := range []map[string]event{m.yes, m.no} {
			maps.DeleteFunc(decisions, func(_ string, e event) bool { return !m.needs.takes(e) })
		}
		m.settle(now)
	default:
		m.permit(now)
	}
}

// met reports whether enough people have approved, beside those who rejected: that outweighs it.
func (m *model) met(no map[string]event) bool {
	n := 0
	for who := range m.yes {
		if _, rejected := no[who]; !rejected {
			n++
		}
	}
	return n >= m.needs.people
}

func (m *model) permit(now int) {
	if m.caller {
		m.status, m.until = approval.StatusApproved, now+goodFor
		return
	}
	m.end(approval.StatusExecuted, "")
}

func (m *model) start(e event) {
	active := policies[m.policy]
	if active.verdict == approval.VerdictDeny || m.allowed && active.verdict == approval.VerdictRequire {
		m.end(approval.StatusBlocked, approval.CodePolicyChanged)
		return
	}
	m.status, m.by, m.due = approval.StatusExecuting, e.by, e.at+reportDue
	if !e.lost {
		m.tell(e.at)
	}
}

// tell is where the call's workflow learns that the tool was started: else at its next timer.
func (m *model) tell(now int) {
	if m.status == approval.StatusExecuting && !m.told {
		m.told, m.until = true, max(now, m.due)
	}
}

func (m *model) report(status approval.ReportStatus) {
	switch status {
	case approval.ReportExecuted:
		m.end(approval.StatusExecuted, "")
	case approval.ReportFailed:
		m.end(approval.StatusFailed, approval.CodeToolFailed)
	case approval.ReportNotRun:
		m.end(approval.StatusFailed, approval.CodeNotRun)
	default:
		m.end(approval.StatusOutcomeUnknown, approval.CodeUnknown)
	}
}
