package activities

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
)

// duplicateKey is the same for calls of one requester and agent that collapse to one request: equal
// in what would be done, for whom, and in what the policy says of it, so that nothing ever hides
// behind a request that was judged otherwise. How the agent words it (title, description, reason)
// and the idempotency key make no difference. It is empty for a call that never collapses: the
// policy does not say so, nobody is known to ask, or a value is redacted, of which no hash may be
// kept either.
func duplicateKey(in AdmitInput, view approval.View, verdict approval.Verdict) string {
	call := in.Call
	if !verdict.Collapse || call.Requester == "" && call.Agent == "" ||
		!sameJSON(view.Args, call.Args) || !maps.Equal(view.Labels, call.Labels) {
		return ""
	}
	parts := map[string]any{
		"v": 1, "tool": call.Tool, "args": call.Args, "labels": call.Labels, "agent": call.Agent, "team": call.Team,
		"session": call.Session, "requester": call.Requester, "owner": call.Owner, "verdict": verdict,
	}
	if view.Execution != "" {
		parts["execution"] = view.Execution
	}
	doc, err := strictjson.Canonical(parts)
	if err != nil { // without a canonical form nothing can be compared
		return ""
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:])
}

// endedDuplicate is the admission of a call that is identical to one that waits: it ends at once.
func endedDuplicate(
	in AdmitInput, held *store.DuplicateError, a store.AdmitParams, now time.Time,
) (store.AdmitParams, error) {
	view := a.View
	view.Deadline, view.Requirement = nil, nil
	end := blocked(approval.CodeDuplicate, fmt.Sprintf("the identical call %s already waits for people; "+
		"this one does not run: use that one's outcome", approval.Display(held.ID, 200)), now)
	end.DuplicateOf = held.ID
	view.End(end, now)
	e, err := admitted(in, view, a.Verdict, now)
	return store.AdmitParams{View: view, Verdict: a.Verdict, Run: in.Run, Entries: []audit.Entry{e}}, err
}
