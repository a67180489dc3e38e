package hook_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/hook"
)

// What a denial tells people to do: one of these, and none where Pawl has answered about the call.
const (
	startIt  = "Start Pawl."
	getToken = "Get a token."
	undoIt   = "Remove the guard."
)

func wantHelp(t *testing.T, a hook.Answer, want string) {
	t.Helper()
	for _, help := range []string{startIt, getToken, undoIt} {
		if strings.Contains(a.Out+a.Err, help) != (help == want) {
			t.Errorf("the only help is to be %q: %s%s", want, a.Out, a.Err)
		}
	}
}
