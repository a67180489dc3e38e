package activities_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Whoever schedules Record by hand can't let a call end as if its tool had run by another call's
// arguments or name. A denial counts all the same, and is about the call that the store has.
func TestRecordComparesTheDigest(t *testing.T) {
	for name, change := range map[string]func(c *approval.Call){
		"other arguments": func(c *approval.Call) { c.Args = json.RawMessage(`{"amount":2}`) },
		"another tool":    func(c *approval.Call) { c.Tool = "refund" },
		"another nonce":   func(c *approval.Call) { c.Nonce = "m" },
		"no call at all":  func(c *approval.Call) { *c = approval.Call{} },
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.ready()
			in := activities.RecordInput{ID: "c1", Run: "r1", Call: b.call(), At: time.Now().UTC()}
			change(&in.Call)
			digest, err := in.Call.Digest("c1")
			if err != nil {
				t.Fatal(err)
			}
			record := func(status approval.Status) error {
				in.Outcome = approval.Outcome{ID: "c1", Status: status, Digest: digest, Error: &approval.CallError{Code: "x", Message: "m"}}
				_, err := b.ExecuteActivity(b.acts.Record, in)
				return err
			}
			if err := b.execute(nil); err != nil {
				t.Fatal(err)
			}
			for _, status := range []approval.Status{approval.StatusExecuted, approval.StatusFailed, approval.StatusOutcomeUnknown} {
				if err := record(status); code(err) != approval.CodeDigest || b.record().View.Status != approval.StatusExecuting {
					t.Errorf("%s: %v, and the call is %s", status, err, b.record().View.Status)
				}
			}

			b = setup(t)
			b.admit()
			if err := record(approval.StatusExpired); err != nil {
				t.Fatal(err)
			}
			page, err := b.store.Entries(t.Context(), store.EntryQuery{Subject: "c1", Kind: audit.KindEnded})
			if err != nil || len(page.Items) != 1 {
				t.Fatalf("%d entries, %v", len(page.Items), err)
			}
			said := string(page.Items[0].Payload)
			if b.record().View.Status != approval.StatusExpired || !strings.Contains(said, b.digest()) || !strings.Contains(said, `"tool":"pay"`) {
				t.Errorf("%s", said)
			}
		})
	}
}
