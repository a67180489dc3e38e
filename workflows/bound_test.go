package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

// What a call takes: see maxSignals and maxSignalBytes.
const mostSignals, mostBytes = 1000, 4 << 20

// sized is a payload of so many bytes that says nothing.
func sized(bytes int) converter.RawValue {
	p := &commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingJSON)},
		Data:     []byte(strings.Repeat("x", bytes)),
	}
	p.Data = p.Data[proto.Size(p)-bytes:]
	return converter.NewRawValue(p)
}

// flood sends a call n signals of all names, which do nothing, after d. Temporal's test environment
// takes 1,000 at a time.
func (h *harness) flood(d time.Duration, n int) {
	for ; n > 0; n -= 500 {
		some := min(n, 500)
		h.after(d, func() { h.drops(some) })
		d += time.Millisecond
	}
}

func (h *harness) drops(n int) {
	for i := range n {
		name := []string{approval.SignalApprove, approval.SignalReject, approval.SignalCancel}[i%3]
		h.SignalWorkflow(name, map[string]any{"decision_id": fmt.Sprint("flood-", i), "notes": 7})
	}
}

// refused counts what is on record as refused, and returns the last text.
func (h *harness) refused() (n int, last string) {
	h.t.Helper()
	page, err := h.store.Entries(context.Background(), store.EntryQuery{Subject: "call-1", Kind: audit.KindRefused})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range page.Items {
		var p struct {
			Refused []approval.Answer
			More    int
		}
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			h.t.Fatal(err)
		}
		n, last = n+len(p.Refused)+p.More, p.Refused[len(p.Refused)-1].Message
	}
	return n, last
}

// A call reads so many signals and no more. Then only its deadline, or Temporal's own cancel, ends
// it.
func TestBoundOfSignals(t *testing.T) {
	yes := signal("yes", "ana")
	whole, err := converter.GetDefaultDataConverter().ToPayload(yes)
	if err != nil {
		t.Fatal(err)
	}
	size := proto.Size(whole)
	for name, tc := range map[string]struct {
		flood  int
		bytes  []int // sizes of further signals
		signal string
		old    bool // a call that began before there was a bound
		full   bool
		status approval.Status
	}{
		"one below":             {flood: mostSignals - 2, status: approval.StatusExecuted},
		"the last":              {flood: mostSignals - 1, status: approval.StatusExecuted},
		"one too many":          {flood: mostSignals, full: true, status: approval.StatusExpired},
		"far too many":          {flood: 2 * mostSignals, full: true, status: approval.StatusExpired},
		"a rejection":           {flood: mostSignals, signal: approval.SignalReject, full: true, status: approval.StatusExpired},
		"a withdrawal":          {flood: mostSignals, signal: approval.SignalCancel, full: true, status: approval.StatusExpired},
		"of a call of before":   {flood: mostSignals, old: true, status: approval.StatusExecuted},
		"one byte below":        {bytes: []int{1 << 20, 3<<20 - size - 1}, status: approval.StatusExecuted},
		"the last byte":         {bytes: []int{1 << 20, 3<<20 - size}, status: approval.StatusExecuted},
		"one byte too many":     {bytes: []int{1 << 20, 3<<20 - size + 1}, full: true, status: approval.StatusExpired},
		"one signal is as much": {bytes: []int{mostBytes + 1}, full: true, status: approval.StatusExpired},
	} {
		t.Run(name, func(t *testing.T) {
			h := setup(t)
			if tc.old {
				h.before("signals-are-bounded")
			}
			h.flood(time.Second, tc.flood)
			h.after(time.Second, func() {
				for _, n := range tc.bytes {
					h.SignalWorkflow(approval.SignalCancel, sized(n))
				}
			})
			h.after(2*time.Second, func() {
				if s := h.state(); s.Status != approval.StatusPending || len(s.Votes) > 0 {
					t.Errorf("after the flood it is %s with %d votes", s.Status, len(s.Votes))
				}
				name := approval.SignalApprove
				if tc.signal != "" {
					name = tc.signal
				}
				var payload any = yes
				if name == approval.SignalCancel {
					payload = approval.CancelSignal{DecisionID: "yes"}
				}
				h.SignalWorkflow(name, payload)
			})
			runs, code := int32(1), ""
			if tc.full {
				runs, code = 0, approval.CodeExpired
			}
			h.want(h.call(sendDoc), tc.status, code, runs)
			s := h.state()
			if _, known := s.Find("yes"); s.TooManySignals != tc.full || known == tc.full {
				t.Errorf("it says that it ignores signals: %v; the decision has an answer: %v", s.TooManySignals, known)
			}
			if n, last := h.refused(); tc.full && tc.flood > 0 && n != mostSignals+1 {
				t.Errorf("%d are on record", n)
			} else if tc.full != strings.Contains(last, "more than 1000 or 4 MiB") {
				t.Errorf("the last one on record: %q", last)
			}
		})
	}
}

// What was settled, counted or asked of Temporal before is as good as without a flood.
func TestFloodsChangeNothingElse(t *testing.T) {
	t.Run("withdrawn in Temporal", func(t *testing.T) {
		h := setup(t)
		h.flood(time.Second, 2*mostSignals)
		h.after(2*time.Second, h.CancelWorkflow)
		h.want(h.call(sendDoc), approval.StatusCancelled, approval.CodeCancelled, 0)
	})
	t.Run("one of two approvals", func(t *testing.T) {
		h := setup(t)
		h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("one", "ana")) })
		h.flood(2*time.Second, mostSignals)
		h.after(3*time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("two", "bob")) })
		h.want(h.call(twoDoc), approval.StatusExpired, approval.CodeExpired, 0)
		if s := h.state(); !s.TooManySignals || len(s.Votes) != 1 || s.Votes[0].ID != "one" {
			t.Errorf("%+v", s)
		}
	})
	t.Run("while its permit is taken", func(t *testing.T) {
		h := following(t)
		h.acts.Store = &meanwhile{Store: h.store, before: func() { h.drops(mostSignals + 1) }}
		h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("yes", "ana")) })
		h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
		h.answered("yes", approval.AnswerResolved)
	})
	t.Run("before the policy has answered", func(t *testing.T) {
		h := setup(t)
		h.flood(0, mostSignals)
		h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("yes", "ana")) })
		h.want(h.call(sendDoc), approval.StatusExpired, approval.CodeExpired, 0)
	})
}

// A rejection that was put on record in a flood, and never arrived, keeps the call from running.
func TestRejectionInAFlood(t *testing.T) {
	for name, tc := range map[string]struct {
		flood  int // before the approval
		status approval.Status
		code   string
	}{
		"the approval is read":    {mostSignals - 1, approval.StatusRejected, approval.CodeRejected},
		"the approval is ignored": {mostSignals, approval.StatusExpired, approval.CodeExpired},
	} {
		t.Run(name, func(t *testing.T) {
			h := following(t)
			h.flood(time.Second, tc.flood)
			h.after(time.Second, func() {
				at := time.Now().UTC().Truncate(time.Microsecond)
				e, err := audit.New("call-1", "sent/no", at, audit.Sent{DecisionID: "no", Reviewer: "bob", Channel: "api", Digest: "d", At: at})
				if err == nil {
					err = h.store.Append(t.Context(), e)
				}
				if err != nil {
					t.Error(err)
				}
			})
			h.after(2*time.Second, func() {
				h.SignalWorkflow(approval.SignalApprove, signal("yes", "ana"))
				h.drops(1)
				h.SignalWorkflow(approval.SignalReject, signal("no", "bob"))
			})
			h.want(h.call(sendDoc), tc.status, tc.code, 0)
		})
	}
}
