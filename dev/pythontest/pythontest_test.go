package pythontest

import "testing"

// make test asks by this test whether those with programs in Python were skipped.
func TestThereIsAPython(t *testing.T) { Install(t) }
