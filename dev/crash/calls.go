//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// call starts a call and returns as soon as that is acknowledged.
func (w *world) call(tool string, timeout time.Duration) client.View {
	w.t.Helper()
	v, _, err := w.api.Start(w.t.Context(), approval.Call{Tool: tool, Timeout: approval.Duration(timeout)}, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// pending starts a call and returns when it waits for people.
func (w *world) pending(tool string, timeout time.Duration) client.View {
	w.t.Helper()
	return w.waits(w.call(tool, timeout).ID)
}

func (w *world) waits(id string) (v client.View) {
	w.t.Helper()
	w.until("the call waits", func() bool {
		var err error
		v, err = w.api.Get(w.t.Context(), id, 0)
		return err == nil && v.Status == approval.StatusPending
	})
	return v
}

func (w *world) approve(v client.View) {
	w.t.Helper()
	a, err := w.api.Decide(w.t.Context(), v.ID, client.Decision{Kind: approval.Approve, Digest: v.Digest})
	if err != nil || a.Outcome != approval.AnswerResolved {
		w.t.Fatalf("approving: %+v, %v", a, err)
	}
}

// ends waits for a call's end, which must be one of statuses.
func (w *world) ends(id string, statuses ...approval.Status) client.View {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	v, err := w.api.Wait(ctx, id)
	if err != nil {
		w.t.Fatalf("call %s (last seen %s): %v", id, v.Status, err)
	}
	for _, status := range statuses {
		if v.Status == status {
			return v
		}
	}
	w.t.Errorf("call %s ended %s (%+v), want %v", id, v.Status, v.Error, statuses)
	return v
}

// post is one bare request, as an agent without our client would send it.
func (w *world) post(path, body string) (status int, answer map[string]any) {
	w.t.Helper()
	x, err := w.serving(w.t.Context(), w.apis...)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, x.at.API+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Pawl-Reviewer", "ana")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		w.t.Fatalf("%s answered %s: %v", path, resp.Status, err)
	}
	return resp.StatusCode, answer
}
