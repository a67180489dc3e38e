package mcp

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/client"
)

func TestProgressComesOftenEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last, n := time.Now(), 0
		api, err := client.New(client.Options{URL: "http://pawl"})
		if err != nil {
			t.Fatal(err)
		}
		s := &session{api: api, out: func(m message) {
			if gap := time.Since(last); gap > 20*time.Second {
				t.Errorf("%v passed without progress", gap)
			}
			last = time.Now()
			n++
			if text := string(m.raw); !strings.Contains(text, `"progressToken":"t1"`) ||
				!strings.Contains(text, `"Waiting for approval of pawl-1 at http://pawl/requests/pawl-1"`) {
				t.Errorf("sent %s", m.raw)
			}
		}}
		ctx, cancel := context.WithTimeout(t.Context(), extendedWait)
		defer cancel()
		var v client.View
		v.ID, v.Status = "pawl-1", "pending"
		<-s.tell(ctx, request{progress: []byte(`"t1"`)}, v)
		if n < 10 || time.Since(last) > 20*time.Second {
			t.Errorf("progress came %d times, last %v ago", n, time.Since(last))
		}
		// One that wants none gets none.
		s.out = func(m message) { t.Errorf("sent %s", m.raw) }
		<-s.tell(ctx, request{}, v)
	})
}

func TestPatience(t *testing.T) {
	g := &Gateway{}
	for _, c := range []struct {
		name     string
		progress bool
		want     time.Duration
	}{
		{"claude-code", true, extendedWait},
		{"claude-code", false, defaultWait},
		{"opencode", true, extendedWait},
		{"opencode", false, defaultWait}, // older ones, which give up after a minute, ask for no progress
		{"claude-ai", true, defaultWait},
		{"cursor-vscode", true, defaultWait},
		{"Visual Studio Code", true, defaultWait},
		{"", true, defaultWait},
	} {
		if got := g.waitFor(c.name, c.progress); got != c.want {
			t.Errorf("%s waits %v, want %v", c.name, got, c.want)
		}
	}
	if g.o.Wait = time.Second; g.waitFor("claude-code", true) != time.Second {
		t.Error("the setting does not hold")
	}
}
