package workflows_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// How the starter asked is on record. What is no such note is left out, and harms nothing.
func TestHowTheCallWasAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		input []any
		want  approval.Via
	}{
		"by the API":   {[]any{approval.Via{Channel: "cli", Method: "token"}}, approval.Via{Channel: "cli", Method: "token"}},
		"not said":     {nil, approval.Via{}},
		"a number":     {[]any{7}, approval.Via{}},
		"too long":     {[]any{approval.Via{Channel: strings.Repeat("x", 1000)}}, approval.Via{}},
		"nothing":      {[]any{nil}, approval.Via{}},
		"another form": {[]any{map[string]any{"channel": 1}, "more"}, approval.Via{}},
	} {
		h := setup(t)
		h.ExecuteWorkflow(approval.WorkflowType, append([]any{json.RawMessage(`{"tool":"read","args":{"to":"ann"}}`)}, c.input...)...)
		h.want(h.outcome(), approval.StatusExecuted, "", 1)
		page, err := h.store.Entries(t.Context(), store.EntryQuery{Subject: "call-1", Kind: audit.KindRequested})
		if err != nil || len(page.Items) != 1 {
			t.Fatal(name, page, err)
		}
		p, err := audit.ReadPayload(audit.KindRequested, page.Items[0].Payload)
		if err != nil || p.(audit.Requested).Via != c.want {
			t.Errorf("%s: on record is %+v, %v", name, p, err)
		}
	}
}
