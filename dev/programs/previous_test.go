package programs

import "testing"

// make test asks by this test whether that of mixed fleets was skipped.
func TestThereIsAPreviousCommit(t *testing.T) { NeedPrevious(t) }
