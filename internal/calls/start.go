package calls

import (
	"encoding/json"
	"regexp"

	"github.com/pawlhq/pawl/approval"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// Start is a call that is ready to be started, once, under its ID.
type Start struct {
	ID          string
	Call        approval.Call // as the workflow will read it
	Fingerprint string        // approval.MemoFingerprint
}

// Prepare checks a call and gives it a nonce, if it has none, and an ID: a random one, or the one
// that its requester's idempotency key stands for. Errors have approval.CodeInvalid.
func Prepare(call approval.Call) (Start, error) {
	if call.Nonce == "" {
		call.Nonce = approval.NewNonce()
	}
	call, err := asSent(call)
	if err != nil {
		return Start{}, err
	}
	fingerprint, err := call.Fingerprint()
	if err != nil {
		return Start{}, err
	}
	id := approval.NewID()
	if call.IdempotencyKey != "" {
		id = approval.KeyedID(call.Requester, call.IdempotencyKey)
	}
	return Start{ID: id, Call: call, Fingerprint: fingerprint}, nil
}

// asSent checks the call and reads it as the workflow will: JSON for the wire has escapes that the
// caller may have done without, and limits are on what is sent.
func asSent(call approval.Call) (approval.Call, error) {
	call.Normalize()
	if err := call.Validate(); err != nil {
		return call, err
	}
	doc, err := json.Marshal(call)
	if err != nil {
		return call, approval.Errorf(approval.CodeInvalid, "the call can't be written as JSON")
	}
	return approval.ParseCall(doc)
}

// options start the call so that its ID never starts a second one: not while the first runs, and
// not after its end.
func (s Start) options(queue string, eager bool) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID: s.ID, TaskQueue: queue, EnableEagerStart: eager,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		Memo: map[string]any{
			approval.MemoFingerprint: s.Fingerprint, approval.MemoRequester: s.Call.Requester,
		},
		StaticSummary: summary(s.Call),
	}
}

var plainName = regexp.MustCompile(`^[\p{L}\p{N} ._@-]+$`)

// summary is the line under which Temporal's UI lists the call: Markdown of at most 400 bytes, so
// an agent's name that could be markup is left out.
func summary(call approval.Call) string {
	if !plainName.MatchString(call.Agent) {
		return call.Tool
	}
	return call.Tool + " for " + approval.Display(call.Agent, 40)
}
