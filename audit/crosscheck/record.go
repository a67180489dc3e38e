package crosscheck

import (
	"context"
	"encoding/json"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// logged is what the audit log says of one call.
type logged struct {
	verdict   *approval.Verdict
	decided   []approval.Decision
	sent      map[string]bool // rejections that were recorded before their workflow heard of them
	tightened bool
	claimed   *audit.Claimed
	started   bool
	ended     *approval.Outcome
	conflicts []string // digests of other calls that were asked for under its ID
	erased    bool     // what some entry said is gone
}

// log reads the entries of a call, and keeps what can be compared.
func (c *checker) log(ctx context.Context, id string) (l logged, err error) {
	l.sent = map[string]bool{}
	for q := (store.EntryQuery{Subject: id, Limit: store.MaxPage}); ; {
		page, err := c.o.Store.Entries(ctx, q)
		if err != nil {
			return l, err
		}
		for _, e := range page.Items {
			l.add(e)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return l, nil
		}
	}
}

// add takes note of an entry. One that can't be read, which 'pawl audit verify' names, is as if it
// were not there.
func (l *logged) add(e audit.Entry) {
	if e.Payload == nil {
		l.erased = true
		switch e.Kind {
		case audit.KindClaimed:
			l.claimed = &audit.Claimed{}
		case audit.KindStarted:
			l.started = true
		}
		return
	}
	payload, err := audit.ReadPayload(e.Kind, e.Payload)
	if err != nil {
		return
	}
	switch p := payload.(type) {
	case audit.Requested:
		l.verdict = &p.Verdict
	case audit.Blocked:
		if p.Call == nil {
			l.conflicts = append(l.conflicts, p.Digest)
			break
		}
		l.verdict = p.Verdict
		out := p.Call.Outcome()
		l.ended = &out
	case audit.Decided:
		l.decided = append(l.decided, p.Decision)
	case audit.Sent:
		l.sent[p.DecisionID] = p.Decides != approval.Approve
	case audit.Tightened:
		l.tightened = true
	case audit.Claimed:
		l.claimed = &p
	case audit.Started:
		l.started = true
	case audit.Ended:
		l.ended = &p.Outcome
	}
}

// text is a result as the audit log keeps one that has no canonical form.
func text(result json.RawMessage) json.RawMessage {
	quoted, _ := json.Marshal(string(result)) // text can always be marshalled
	return quoted
}
