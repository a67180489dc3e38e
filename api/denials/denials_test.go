package denials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// record keeps what a Log writes.
type record struct {
	mu      sync.Mutex
	entries []audit.Entry
	err     error
}

func (r *record) append(_ context.Context, entries ...audit.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.entries = append(r.entries, entries...)
	}
	return r.err
}

// says is what the entries say, and empties the record.
func (r *record) says(t *testing.T) string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, e := range r.entries {
		if err := e.Check(); err != nil || e.Subject != audit.SubjectAccess {
			t.Errorf("entry of %s: %v", e.Subject, err)
		}
		p, err := audit.ReadPayload(e.Kind, e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		switch p := p.(type) {
		case audit.SignInFailed:
			all = append(all, fmt.Sprintf("%s by %s: %d", p.Code, p.Remote, p.Count))
		case audit.Forbidden:
			all = append(all, fmt.Sprintf("%s of %s: %d", p.Code, p.By, p.Count))
		}
	}
	r.entries = nil
	return strings.Join(all, ", ")
}

func TestFewEntriesTellOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		l := New(r.append, slog.New(slog.DiscardHandler))
		ctx := t.Context()
		expect := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := r.says(t); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		here := audit.SignInFailed{Code: "token_unknown", Remote: "192.0.2.1"}
		l.SignInFailed(ctx, here)
		expect("the first one", "token_unknown by 192.0.2.1: 1")
		for range 1000 {
			l.SignInFailed(ctx, here)
		}
		l.Forbidden(ctx, audit.Forbidden{By: "ana", Code: "not_permitted"})
		expect("more of it", "not_permitted of ana: 1")
		time.Sleep(Window)
		expect("when the window ends", "token_unknown by 192.0.2.1: 1000")
		time.Sleep(2 * Window)
		expect("later", "")
		l.SignInFailed(ctx, here)
		expect("in a new window", "token_unknown by 192.0.2.1: 1")
		time.Sleep(Window)
		synctest.Wait()

		for n := range 10 * Most {
			l.SignInFailed(ctx, audit.SignInFailed{Code: "token_unknown", Remote: fmt.Sprint("net ", n)})
		}
		synctest.Wait()
		if len(r.entries) != Most+1 {
			t.Errorf("%d entries about as many sources as anybody likes", len(r.entries))
		}
		r.says(t)
		l.Forbidden(ctx, audit.Forbidden{By: "ben", Code: "not_permitted"})
		l.Forbidden(ctx, audit.Forbidden{By: "cy", Code: "not_permitted"})
		expect("another kind then", "several of : 1")
		l.Close()
		got := r.says(t)
		for _, want := range []string{fmt.Sprintf("several by : %d", 10*Most-Most-1), "several of : 1"} {
			if !strings.Contains(got, want) {
				t.Errorf("at the end: %q, want %q in it", got, want)
			}
		}
		l.Close()
		time.Sleep(Window)
		expect("after the end", "")
	})
}

func TestNoRecordIsNoFault(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool // it is logged
	}{
		"reading only": {store.ErrReadOnly, false},
		"away":         {errors.New("away"), true},
	} {
		var out strings.Builder
		r := record{err: c.err}
		l := New(r.append, slog.New(slog.NewTextHandler(&out, nil)))
		l.SignInFailed(t.Context(), audit.SignInFailed{Code: "token_unknown"})
		l.Close()
		if got := strings.Contains(out.String(), "signin.failed"); got != c.want {
			t.Errorf("%s: the log says %q", name, out.String())
		}
	}
}
