package workflows_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

// A worker without a keyring lets its task fail over what is encrypted; it neither blocks the call
// nor refuses the answer.
func TestEncryptedPayloadsWithoutKeyring(t *testing.T) {
	sealed := converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(codec.Encoding), codec.MetadataKeyID: []byte("pk-aaaaaaaaaaaaaaaa")},
		Data:     make([]byte, 40),
	})
	for name, c := range map[string]struct {
		input any
		want  approval.Status // of the store's record; none: the call was not admitted
	}{"input": {sealed, ""}, "signal": {json.RawMessage(sendDoc), approval.StatusPending}} {
		t.Run(name, func(t *testing.T) {
			h := setup(t)
			h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, sealed) })
			h.ExecuteWorkflow(approval.WorkflowType, c.input)
			if err := h.GetWorkflowError(); err == nil || !strings.Contains(err.Error(), "no keyring") {
				t.Errorf("the task ended with %v", err)
			}
			if r, _ := h.store.Call(t.Context(), "call-1"); r.View.Status != c.want {
				t.Errorf("the store has it as %q", r.View.Status)
			}
		})
	}
}
