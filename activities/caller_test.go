package activities_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
)

// However a claim ends a call whose caller runs the tool, its outcome says so: by that the API knows
// that the end was told, and nobody attaches to the call any more.
func TestClaimSaysWhoWouldRunTheTool(t *testing.T) {
	call := approval.Call{
		Tool: "bash", Args: json.RawMessage(`{"command":"ls"}`), Nonce: "n", Execution: approval.ExecutionCaller,
	}
	for name, c := range map[string]struct {
		before func(b *bench)
		change func(in *activities.ClaimInput)
		code   string
	}{
		"forbidden by now": {func(b *bench) { b.apply("rules: [{tool: bash, deny: true}]") }, nil, approval.CodePolicyChanged},
		"too old": {nil, func(in *activities.ClaimInput) {
			in.Votes[0].At = in.Now.Add(-approval.ExecutionCaller.ValidFor().Std() - time.Hour)
		}, approval.CodeExpired},
		"approved by nobody": {nil, func(in *activities.ClaimInput) { in.Votes = nil }, approval.CodeUntrusted},
		"for a worker":       {nil, func(in *activities.ClaimInput) { in.Queue = "q" }, approval.CodeUnknownTool},
		"rejected on record": {func(b *bench) { b.sent("no", "bob") }, nil, approval.CodeRejected},
		"of another digest":  {nil, func(in *activities.ClaimInput) { in.Digest = "d" }, approval.CodeDigest},
		"of another call":    {nil, func(in *activities.ClaimInput) { in.Call.Nonce = "m" }, approval.CodeDigest},
		"by a word of its own": {func(b *bench) { b.apply("rules: [{tool: bash, deny: true}]") },
			func(in *activities.ClaimInput) { in.Call.Execution = "" }, approval.CodeDigest},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.follow("rules: [{tool: bash, require_approval: true}]")
			digest := b.admitCall("c1", call).View.Digest
			if c.before != nil {
				c.before(b)
			}
			res, err := b.judgeAndClaim(func(in *activities.ClaimInput) {
				if in.Call, in.Digest = call, digest; c.change != nil {
					c.change(in)
				}
			})
			if o := res.Outcome; err != nil || o == nil || o.Error == nil || o.Error.Code != c.code || o.Execution != approval.ExecutionCaller {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
}
