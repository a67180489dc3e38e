package pawl

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
)

// waitingAPI has one call, which waits for people until released is closed, and is rejected then.
func waitingAPI(t *testing.T, released <-chan struct{}) (url string) {
	t.Helper()
	deadline := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	pending := map[string]any{"id": "pawl-1", "tool": "job", "status": "pending", "deadline": deadline, "revision": "1"}
	over := approval.Outcome{ID: "pawl-1", Tool: "job", Status: approval.StatusRejected}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any = map[string]any{"tools": []any{}}
		w.Header().Set("Content-Type", "application/json")
		ended := false
		if r.URL.Query().Has("wait") || r.URL.Path == "/api/calls/wait" {
			select {
			case <-released:
				ended = true
			case <-r.Context().Done():
			}
		}
		switch r.URL.Path {
		case "/api/version":
			answer = map[string]any{"version": "devel", "features": []string{"caller"}}
		case "/api/calls":
			w.WriteHeader(http.StatusAccepted)
			answer = pending
		case "/api/calls/pawl-1":
			if answer = pending; ended {
				answer = over
			}
		case "/api/calls/wait":
			answer = map[string]any{"calls": []any{map[string]any{"id": "pawl-1", "outcome": over}}}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(api.Close)
	return api.URL
}

func waitingJob(t *testing.T, o HTTPOptions) func(context.Context, struct{}) (string, error) {
	t.Helper()
	o.Agent = "bot"
	a, err := ConnectHTTP(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	job, err := GuardHTTP(a, "job", func(context.Context, struct{}) (string, error) {
		t.Error("it ran")
		return "", nil
	}, Tool{})
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestHTTPAgentSaysThatItWaits(t *testing.T) {
	released := make(chan struct{})
	var told []Waiting
	job := waitingJob(t, HTTPOptions{URL: waitingAPI(t, released), Dir: t.TempDir(), OnWait: func(w Waiting) {
		told = append(told, w)
		close(released)
	}})
	if _, err := job(t.Context(), struct{}{}); !errors.Is(err, ErrRejected) {
		t.Error(err)
	}
	if len(told) != 1 || told[0].ID != "pawl-1" || told[0].Tool != "job" || told[0].Deadline == nil {
		t.Errorf("told %+v", told)
	}
}

// Whoever follows a call takes it up when the process that had it has let it go.
func TestFollowedCallIsTakenUp(t *testing.T) {
	released, dir := make(chan struct{}), t.TempDir()
	other, err := openJournal(dir, "k")
	if err != nil {
		t.Fatal(err)
	}
	job := waitingJob(t, HTTPOptions{URL: waitingAPI(t, released), Dir: dir, OnWait: func(Waiting) {
		close(released) // only whoever has the journal says so
	}})
	time.AfterFunc(look/10, func() { _ = other.file.Close() }) // its process dies
	if _, err := job(With(t.Context(), About{Key: "k"}), struct{}{}); !errors.Is(err, ErrRejected) {
		t.Error(err)
	}
	select {
	case <-released:
	default:
		t.Error("it was followed to its end, and not taken up")
	}
}
