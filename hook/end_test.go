package hook_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/hook"
)

// A session that ends withdraws what waits, by its name where that is known.
func TestTheSessionEnds(t *testing.T) {
	end := event("SessionEnd", "", "")
	for name, tt := range map[string]struct {
		lose   bool // the answer that names the call
		change func(*hook.ClaudeOptions)
		want   string
	}{
		"waits":                    {false, hasty, "pawl-a"},
		"nobody knows which":       {true, hasty, "all"},
		"held back, in print mode": {false, func(o *hook.ClaudeOptions) { inPrint(o); hasty(o) }, ""},
		"not known, in print mode": {true, func(o *hook.ClaudeOptions) { inPrint(o); hasty(o) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			if tt.lose {
				w.lose = func(http.ResponseWriter) {
					kill()
					panic(http.ErrAbortHandler)
				}
			}
			w.fireCtx(ctx, before("ls", "u1"), tt.change)
			w.want(w.fire(end, tt.change), "none")
			kept := 0
			if tt.want == "" {
				kept = 1
			}
			if got := strings.Join(w.withdrawn, " "); got != tt.want || w.records() != kept {
				t.Errorf("withdrawn %q, want %q; %d records are left", got, tt.want, w.records())
			}
		})
	}
	// Where Pawl is down, a later end does it.
	w := newWorld(t)
	w.want(w.fire(before("ls", "u1"), hasty), "deny", "pending")
	w.fail(func(rw http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	w.want(w.fire(end), "noted", "could not be withdrawn")
	w.fail(nil)
	if w.want(w.fire(end), "none"); strings.Join(w.withdrawn, " ") != "pawl-a" {
		t.Errorf("withdrawn %q", w.withdrawn)
	}
}
