package activities_test

import (
	"encoding/json"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

// An ID that comes again with another nonce is the same call, unless the two can't be compared:
// where a value was hidden, not where somebody wrote the word "redacted".
func TestTheSameCallAgain(t *testing.T) {
	for name, c := range map[string]struct {
		redact []string
		values approval.RedactValues
		change func(*approval.Call)
		same   bool
	}{
		"plain":              {nil, "none", func(*approval.Call) {}, true},
		"the word":           {nil, "none", func(c *approval.Call) { c.Reason = "send the redacted copy" }, true},
		"the word, redacts":  {[]string{"pin"}, "none", func(c *approval.Call) { c.Title = "the redacted copy" }, true},
		"the word, in a key": {[]string{"pin"}, "none", func(c *approval.Call) { c.Labels = map[string]string{"redacted": "no"} }, true},
		"the mark":           {nil, "none", func(c *approval.Call) { c.Reason = "why is it [redacted]?" }, true},
		"the mark, values":   {nil, "", func(c *approval.Call) { c.Reason = "why is it [redacted]?" }, false},
		"a hidden token":     {nil, "", func(c *approval.Call) { c.Reason = "by ghp_abcdefghijklmnop0123456789" }, false},
		"no token":           {nil, "", func(c *approval.Call) { c.Reason = "by ghp" }, true},
		"a hidden argument":  {[]string{"amount"}, "none", func(*approval.Call) {}, false},
		"a hidden label":     {[]string{"pin"}, "none", func(c *approval.Call) { c.Labels = map[string]string{"pin": "7351"} }, false},
		"a hidden repeat": {[]string{"pin"}, "none", func(c *approval.Call) {
			c.Labels, c.Reason = map[string]string{"pin": "7351"}, "the pin is 7351"
		}, false},
		"the mark, redacts": {[]string{"pin"}, "none", func(c *approval.Call) { c.Reason = "pin: [redacted]" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			policy := b.acts.Policy.(verdict)
			policy.Redact, policy.RedactValues = c.redact, c.values
			b.acts.Policy = policy
			call := b.call()
			c.change(&call)
			if first := b.admitCall("c1", call); first.View.Status.Ended() {
				t.Fatalf("%+v", first.View)
			}
			call.Nonce = "another"
			again := b.admitCall("c1", call)
			want := approval.CodeConflict
			if c.same { // the first one is gone, and is ended for good
				want = approval.CodeCancelled
			}
			if again.View.Error == nil || again.View.Error.Code != want {
				t.Errorf("%+v, want the code %s", again.View.Error, want)
			}
			call.Args = json.RawMessage(`{"amount":2}`)
			if other := b.admitCall("c1", call); other.View.Error == nil || other.View.Error.Code != approval.CodeConflict {
				t.Errorf("another amount: %+v", other.View.Error)
			}
		})
	}
}
