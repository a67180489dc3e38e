package activities_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// What a person writes is redacted as the call's result is, also where Temporal has forgotten the
// arguments; and the same again is the same.
func TestSettledIsRedacted(t *testing.T) {
	call := approval.Call{Tool: "pay", Args: json.RawMessage(`{"amount":1,"password":"hunter22"}`), Nonce: "n"}
	digest, err := call.Digest("c1")
	if err != nil {
		t.Fatal(err)
	}
	other := call
	other.Args = json.RawMessage(`{"amount":2,"password":"seen"}`)
	for name, c := range map[string]struct {
		given  approval.Call
		hidden []string // of "hunter22", "byname1"
		shown  string
	}{
		"with the arguments":    {call, []string{"hunter22", "byname1"}, "seen"},
		"without them":          {approval.Call{}, []string{"byname1"}, "seen"},
		"with those of another": {other, []string{"byname1"}, "seen"},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			now := time.Now().UTC()
			v := approval.View{
				ID: "c1", Tool: "pay", Args: json.RawMessage(`{"amount":1,"password":"[redacted]"}`), Digest: digest,
				Status: approval.StatusExecuting, CreatedAt: now,
			}
			_, _, err := b.store.Admit(t.Context(), store.AdmitParams{
				View: v, Verdict: approval.Verdict{Kind: approval.VerdictAllow, Redact: []string{"password"}},
				TakePermit: true, GoodUntil: now.Add(time.Hour), Policy: store.UnversionedPolicy,
			})
			if err != nil {
				t.Fatal(err)
			}
			end := store.FinishParams{At: now, Outcome: approval.Outcome{
				ID: "c1", Tool: "pay", Status: approval.StatusOutcomeUnknown, Digest: digest,
			}}
			if _, _, err := b.store.Finish(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			said := audit.Settled{Settled: approval.Settled{
				Ran: true, By: "bo", Notes: "paid, seen with hunter22",
				Result: json.RawMessage(`{ "id": 7, "password": "byname1", "log": "seen hunter22", "big": 12345678901234567890 }`),
			}}
			api := activities.CallerAPI{Steps: b.acts}
			r, err := api.Settle(t.Context(), "c1", c.given, said)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := b.store.Entries(t.Context(), store.EntryQuery{Subject: "c1", Kind: audit.KindSettled})
			if err != nil || len(entries.Items) != 1 {
				t.Fatalf("%d entries, %v", len(entries.Items), err)
			}
			text := r.View.Settled.Notes + string(r.View.Settled.Result)
			for _, kept := range []string{text, string(entries.Items[0].Payload)} {
				for _, secret := range c.hidden {
					if strings.Contains(kept, secret) {
						t.Errorf("%q is in %s", secret, kept)
					}
				}
				if !strings.Contains(kept, c.shown) {
					t.Errorf("%q is hidden in %s", c.shown, kept)
				}
			}
			if again, err := api.Settle(t.Context(), "c1", c.given, said); err != nil || !again.View.Settled.At.Equal(r.View.Settled.At) {
				t.Errorf("the same again: %+v, %v", again.View.Settled, err)
			}
			said.Settled.Ran, said.Settled.Result = false, nil
			if _, err := api.Settle(t.Context(), "c1", c.given, said); !errors.Is(err, store.ErrSettled) {
				t.Errorf("something else: %v", err)
			}
		})
	}
}
