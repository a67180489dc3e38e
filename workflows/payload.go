package workflows

import (
	"github.com/pawlhq/pawl/codec"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

// payload is what a workflow was given. If it is encrypted still, this worker has no keyring,
// perhaps because it is older than the keyring. It must not refuse what it can't read: its task
// fails, and a worker that can gets it.
func payload(raw converter.RawValue) *commonpb.Payload {
	p := raw.Payload()
	if codec.Encrypted(p) {
		panic(codec.ErrNoKeyring)
	}
	return p
}
