package workflows_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// votesOnRecord are the IDs of the decisions that are on record as counted.
func (h *harness) votesOnRecord() string {
	h.t.Helper()
	page, err := h.store.Entries(h.t.Context(), store.EntryQuery{Subject: "call-1", Kind: audit.KindDecided})
	if err != nil {
		h.t.Fatal(err)
	}
	var ids []string
	for _, e := range page.Items {
		p, err := audit.ReadPayload(e.Kind, e.Payload)
		if err != nil {
			h.t.Fatal(err)
		}
		ids = append(ids, p.(audit.Decided).Decision.ID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// A vote that leaves the call waiting is on record at once, and once, whatever comes after it.
func TestVotesAreOnRecordWhileTheCallWaits(t *testing.T) {
	const approve, reject = approval.SignalApprove, approval.SignalReject
	type vote struct{ kind, id, by string }
	for name, tc := range map[string]struct {
		policy      string
		old         bool
		votes       []vote
		while, then string // what is on record after the votes, and after bob's, too
		want        approval.Status
	}{
		"an approval":            {"approvals: 2", false, []vote{{approve, "d1", "ann"}}, "d1", "d1 d9", approval.StatusExecuted},
		"the requester's own":    {"approvals: 2, self_approval: true", false, []vote{{approve, "d1", "olga"}}, "d1", "d1 d9", approval.StatusExecuted},
		"a repeat":               {"approvals: 2", false, []vote{{approve, "d1", "ann"}, {approve, "d2", "ann"}}, "d1", "d1 d9", approval.StatusExecuted},
		"a rejection of two":     {"approvals: 1, deny_count: 2", false, []vote{{reject, "d1", "ann"}}, "d1", "d1 d9", approval.StatusExecuted},
		"turned into a No":       {"approvals: 2, deny_count: 2", false, []vote{{approve, "d1", "ann"}, {reject, "d2", "ann"}}, "d1 d2", "d1 d2 d9", approval.StatusExpired},
		"refused":                {"approvals: 2, require_reason: true", false, []vote{{approve, "d1", "ann"}}, "", "", approval.StatusExpired},
		"in a call of before it": {"approvals: 2", true, []vote{{approve, "d1", "ann"}}, "", "d1 d9", approval.StatusExecuted},
	} {
		t.Run(name, func(t *testing.T) {
			h := followingFrom(t, "rules: [{tool: send, "+tc.policy+", timeout: 60s}]")
			if tc.old {
				h.before("votes-on-record")
			}
			for i, v := range tc.votes {
				h.after(time.Duration(i+1)*time.Second, func() { h.SignalWorkflow(v.kind, signal(v.id, v.by)) })
			}
			h.after(10*time.Second, func() {
				if got := h.votesOnRecord(); got != tc.while {
					t.Errorf("while it waits, %q are on record, want %q", got, tc.while)
				}
				h.SignalWorkflow(approve, signal("d9", "bob"))
			})
			if out := h.call(`{"tool":"send","args":{"to":"ann"},"requester":"bot","owner":"olga"}`); out.Status != tc.want {
				t.Errorf("it ended %s, want %s", out.Status, tc.want)
			}
			if got := h.votesOnRecord(); got != tc.then {
				t.Errorf("at the end, %q are on record, want %q", got, tc.then)
			}
		})
	}
}

// appendsLater is a store in which entries alone can't be written at first.
type appendsLater struct {
	store.Store
	fails int
}

func (s *appendsLater) Append(ctx context.Context, entries ...audit.Entry) error {
	if s.fails > 0 {
		s.fails--
		return errors.New("the store is away")
	}
	return s.Store.Append(ctx, entries...)
}

// A store that is away holds no call up, and no vote is lost for it.
func TestVotesWaitForTheStore(t *testing.T) {
	h := followingFrom(t, "rules: [{tool: send, approvals: 3, timeout: 60s}]")
	h.acts.Store = &appendsLater{Store: h.store, fails: 5}
	for i, by := range []string{"ann", "bob", "cy"} {
		h.after(time.Duration(i+1)*100*time.Millisecond, func() {
			h.SignalWorkflow(approval.SignalApprove, signal("d"+by, by))
		})
	}
	h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
	if got := h.votesOnRecord(); got != "dann dbob dcy" {
		t.Errorf("on record are %q", got)
	}
}
