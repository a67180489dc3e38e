package hook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/hook"
	"github.com/pawlhq/pawl/rest"
)

// fireInVain runs one whose time is up as soon as it waits for people.
func (w *world) fireInVain(event string, change ...func(*hook.ClaudeOptions)) hook.Answer {
	w.t.Helper()
	for len(w.held) > 0 { // of those that waited before
		<-w.held
	}
	ctx := timeUp{w.t.Context(), make(chan struct{})}
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-w.held:
			close(ctx.up)
		case <-done:
		}
	}()
	return w.fireCtx(ctx, event, change...)
}

// timeUp is a context whose deadline comes when the test says so.
type timeUp struct {
	context.Context
	up chan struct{}
}

func (c timeUp) Done() <-chan struct{} { return c.up }

func (c timeUp) Err() error {
	select {
	case <-c.up:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// leave makes a call that waits, of which the hook knows the name unless the answer gets lost that names it.
func (w *world) leave(lost bool, change func(*hook.ClaudeOptions)) {
	w.t.Helper()
	if !lost {
		w.fireInVain(before("ls", "u1"), change)
		return
	}
	ctx, kill := context.WithCancel(w.t.Context())
	defer kill()
	w.lose = func(http.ResponseWriter) {
		kill()
		panic(http.ErrAbortHandler)
	}
	w.fireCtx(ctx, before("ls", "u1"), change)
}

// A session that ends withdraws what waits, by its name where that is known.
func TestTheSessionEnds(t *testing.T) {
	end := event("SessionEnd", "", "")
	for name, tt := range map[string]struct {
		lose   bool // the answer that names the call
		change func(*hook.ClaudeOptions)
		want   string
	}{
		"waits":                    {false, headless, "pawl-a"},
		"nobody knows which":       {true, headless, "all"},
		"held back, in print mode": {false, inPrint, ""},
		"not known, in print mode": {true, inPrint, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.leave(tt.lose, tt.change)
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
}

func notNow(status int) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", rest.ProblemType)
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(rest.NewProblem(status, approval.CodeInternalError, "not now"))
	}
}

// An end that could not withdraw what waits says so, and a later one does it.
func TestAnEndThatWithdrawsNothing(t *testing.T) {
	end := event("SessionEnd", "", "")
	for name, tt := range map[string]struct {
		with http.HandlerFunc
		kept bool
	}{
		"Pawl is down":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		"an error":               {notNow(500), true},
		"not yet up":             {notNow(503), true},
		"asked too fast":         {notNow(429), true},
		"no longer who asked":    {notNow(403), true},
		"it has ended by itself": {notNow(409), false},
		"nobody knows of it":     {notNow(404), false},
	} {
		for _, lost := range []bool{false, true} { // whether the answer that names the call got lost
			t.Run(fmt.Sprintf("%s, its name lost %v", name, lost), func(t *testing.T) {
				w := newWorld(t)
				want := "pawl-a"
				if lost {
					want = "all"
				}
				w.leave(lost, headless)
				w.fail(tt.with)
				if !tt.kept {
					if w.want(w.fire(end), "none"); w.records() != 0 {
						t.Errorf("%d records are left", w.records())
					}
					return
				}
				w.want(w.fire(end), "noted", "could not be withdrawn")
				w.fail(nil)
				w.want(w.fire(end), "none")
				if got := strings.Join(w.withdrawn, " "); got != want || w.records() != 0 {
					t.Errorf("withdrawn %q, want %q; %d records are left", got, want, w.records())
				}
			})
		}
	}
}

// What Pawl refuses for one call keeps no other from being withdrawn or reported at the end. Where Pawl is down it
// is asked once, and everything is kept.
func TestAnEndGoesOn(t *testing.T) {
	end := event("SessionEnd", "", "")
	for name, tt := range map[string]struct {
		approved     bool
		status, asks int
	}{
		"withdrawals": {false, 403, 3}, "withdrawals, Pawl is not up": {false, 503, 1}, "reports": {true, 403, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tt.approved {
				w.set(approval.StatusApproved, byPolicy)
			}
			for _, command := range []string{"ls", "pwd", "id"} {
				if tt.approved {
					w.want(w.fire(before(command, command)), "none")
				} else {
					w.want(w.fireInVain(before(command, command)), "deny", "pending")
				}
			}
			refused, asked := "", 0
			w.fail(func(rw http.ResponseWriter, r *http.Request) {
				id := strings.Split(r.URL.Path, "/")[3]
				asked++
				if refused == "" {
					refused = id
				}
				if id == refused {
					notNow(tt.status)(rw, r)
					return
				}
				rw.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprintf(rw, `{"id":%q,"status":"cancelled"}`, id)
			})
			a := w.fire(end)
			w.want(a, "noted", refused, "not now")
			if kept := 4 - tt.asks; asked != tt.asks || w.records() != kept {
				t.Errorf("asked %d times, want %d; %d records are left, want %d", asked, tt.asks, w.records(), kept)
			}
			w.fail(nil)
			if w.want(w.fire(end), "none"); w.records() != 0 {
				t.Errorf("%d records are left", w.records())
			}
		})
	}
}

// A report that nobody takes is sent once with each tool call, however many wait behind it.
func TestReportsThatNobodyTakes(t *testing.T) {
	w := newWorld(t)
	w.set(approval.StatusApproved, byPolicy)
	sent := 0
	var taken http.HandlerFunc
	taken = func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/outcome") {
			sent++
			notNow(403)(rw, r)
			return
		}
		w.fail(nil)
		defer w.fail(taken)
		w.ServeHTTP(rw, r)
	}
	w.fail(taken)
	for _, command := range []string{"ls", "pwd", "id", "who"} {
		for _, e := range []string{before(command, command), event("PostToolUse", command, command)} {
			sent = 0
			w.fire(e)
			if sent > 1 {
				t.Errorf("%s: %d reports were sent", e, sent)
			}
		}
	}
	w.fail(nil)
	if w.want(w.fire(event("SessionEnd", "", "")), "none"); w.records() != 0 {
		t.Errorf("%d records are left", w.records())
	}
}
