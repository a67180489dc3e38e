package sealed

import (
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/cli"
)

// Somebody who waits at a terminal sees every two seconds how far it is; files and pipes get nothing of it.
func TestProgress(t *testing.T) {
	var said strings.Builder
	now, terminal := time.Unix(0, 0), true
	v := &verifyCommand{log: log{App: &cli.App{Env: cli.Env{
		Stderr: &said, Now: func() time.Time { return now }, IsTerminal: func(stream any) bool { return terminal && stream == &said },
	}}}}
	tell := v.progress("checked so far: %d")
	for n := range int64(5) {
		now = now.Add(time.Second)
		tell((n + 1) * 10_000)
	}
	if got, want := said.String(), "checked so far: 20000\nchecked so far: 40000\n"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	if terminal = false; v.progress("%d") != nil {
		t.Error("it tells a file, too")
	}
}
