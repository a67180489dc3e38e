package activities_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// found are the entries of a kind about c1, and checks that no step tells by an unsalted hash what its
// payload says.
func (b *bench) found(kind audit.Kind) (payloads []string) {
	b.t.Helper()
	page, err := b.store.Entries(b.t.Context(), store.EntryQuery{Subject: "c1", Kind: kind, Limit: store.MaxPage})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range page.Items {
		sum := sha256.Sum256(e.Payload)
		if strings.Contains(e.Step, hex.EncodeToString(sum[:8])) {
			b.t.Errorf("the step %s can be guessed", e.Step)
		}
		payloads = append(payloads, string(e.Payload))
	}
	return payloads
}

// Whoever may schedule activities can write an entry before the true one is. Both are kept then, and a
// repeat is written once.
func TestForgedEntriesTakeNoPlace(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Microsecond)
	vote := func(notes string) []approval.Decision {
		return []approval.Decision{{ID: "d1", Kind: approval.Approve, Reviewer: "ana", Notes: notes, At: at}}
	}
	run := func(b *bench, step, in any) {
		b.t.Helper()
		if _, err := b.ExecuteActivity(step, in); err != nil {
			b.t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		kind  audit.Kind
		ready func(b *bench)
		write func(b *bench, says string)
	}{
		"decision": {audit.KindDecided, func(b *bench) { b.admit() }, func(b *bench, says string) {
			if b.record().Permit == nil {
				run(b, b.acts.Claim, activities.ClaimInput{
					ID: "c1", Run: "r1", Digest: b.digest(), Call: b.call(), Now: at, Votes: vote(says),
				})
				return
			}
			if b.record().Permit.UsedAt.IsZero() {
				if err := b.execute(nil); err != nil {
					b.t.Fatal(err)
				}
			}
			run(b, b.acts.Record, activities.RecordInput{
				ID: "c1", Run: "r1", Call: b.call(), At: at, Votes: vote(says),
				Outcome: approval.Outcome{Status: approval.StatusExecuted, Result: json.RawMessage(`1`)},
			})
		}},
		"refusals": {audit.KindRefused, func(*bench) {}, func(b *bench, says string) {
			run(b, b.acts.Refuse, activities.RefuseInput{ID: "c1", Run: "r1", Batch: 1, At: at, Nonce: "n",
				Refusals: []activities.Refusal{{Signal: "approve", Reviewer: says}}})
		}},
		"refusals without a nonce": {audit.KindRefused, func(*bench) {}, func(b *bench, says string) {
			run(b, b.acts.Refuse, activities.RefuseInput{ID: "c1", Run: "r1", Batch: 1, At: at,
				Refusals: []activities.Refusal{{Signal: "approve", Reviewer: says}}})
		}},
		"conflict": {audit.KindBlocked, func(b *bench) { b.admit() }, func(b *bench, says string) {
			call := b.call()
			call.Args = json.RawMessage(`{"amount":2}`)
			call.Reason = says
			b.admitCall("c1", call)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, c2 := range []struct {
				then string
				want int
			}{{"true", 2}, {"forged", 1}} {
				b := setup(t)
				c.ready(b)
				c.write(b, "forged")
				c.write(b, c2.then)
				c.write(b, c2.then)
				got := b.found(c.kind)
				if len(got) != c2.want {
					t.Errorf("after forged, %s, %s on record are %d: %s", c2.then, c2.then, len(got), got)
				}
			}
		})
	}
}

// The same words of two calls have different steps: a step tells nobody what was said.
func TestStepsAreKeyed(t *testing.T) {
	steps := map[string]bool{}
	for _, nonce := range []string{"n", "m", ""} {
		b := setup(t)
		_, err := b.ExecuteActivity(b.acts.Refuse, activities.RefuseInput{ID: "c1", Run: "r", Batch: 1, At: time.Now(), Nonce: nonce})
		if err != nil {
			t.Fatal(err)
		}
		page, err := b.store.Entries(t.Context(), store.EntryQuery{Subject: "c1"})
		if err != nil || len(page.Items) != 1 {
			t.Fatal(page, err)
		}
		steps[page.Items[0].Step] = true
	}
	if len(steps) != 3 {
		t.Errorf("three nonces give the steps %v", steps)
	}
}
