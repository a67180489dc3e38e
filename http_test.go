package pawl

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

// reports is an API that allows every call at once and answers reports with these statuses, one after
// the other, and then takes them.
func reports(t *testing.T, statuses ...int) (url string, asked *int) {
	asked = new(int)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in approval.ReportSignal
		_ = json.NewDecoder(r.Body).Decode(&in)
		status, answer := http.StatusOK, any(map[string]any{"tools": []any{}})
		switch {
		case r.URL.Path == "/api/version":
			answer = map[string]any{"version": "devel", "features": []string{"caller"}}
		case r.URL.Path == "/api/calls":
			answer = map[string]any{"id": "pawl-1", "status": "executing", "digest": "d", "args": map[string]any{}, "report_by": time.Now()}
		case strings.HasSuffix(r.URL.Path, "/outcome"):
			*asked++
			o, _ := in.Outcome()
			o.ID, o.Tool = "pawl-1", "job"
			if answer = o; *asked <= len(statuses) {
				status, answer = statuses[*asked-1], map[string]any{"code": "unauthenticated", "status": statuses[*asked-1]}
				w.Header().Set("Content-Type", "application/problem+json")
			}
		}
		if status == http.StatusOK {
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(api.Close)
	return api.URL, asked
}

// A tool that has run has run, whatever becomes of its report: its caller gets the result. A report
// that was not taken is kept, and sent by whoever asks for the same call again.
func TestReportsThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		statuses []int
	}{
		"taken":               {nil},
		"after an outage":     {[]int{503}},
		"the token has ended": {[]int{401}},
		"forbidden, twice":    {[]int{403, 403}},
	} {
		t.Run(name, func(t *testing.T) {
			url, asked := reports(t, tc.statuses...)
			dir, ran := t.TempDir(), 0
			a, err := ConnectHTTP(t.Context(), HTTPOptions{Agent: "bot", URL: url, Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			job, err := GuardHTTP(a, "job", func(context.Context, struct{}) (string, error) {
				ran++
				return "done", nil
			}, Tool{})
			if err != nil {
				t.Fatal(err)
			}
			ctx := With(t.Context(), About{Key: "k"})
			for range 1 + len(tc.statuses) {
				if out, err := job(ctx, struct{}{}); out != "done" || err != nil {
					t.Fatalf("%q, %v", out, err)
				}
				if *asked > len(tc.statuses) {
					break
				}
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 0 {
				t.Errorf("%d journals are left when all is reported, %v", len(left), err)
			}
			if ran != 1 || *asked != len(tc.statuses)+1 {
				t.Errorf("it ran %d times, and was reported %d times", ran, *asked)
			}
		})
	}
}

// What is kept of a call is told to no other one that has its key, and not thrown away for it. The fake API
// lets every call run at once, so only the journal can tell them apart.
func TestKeysOfOtherCalls(t *testing.T) {
	for name, tc := range map[string]struct {
		before, report, idempotent bool // before: of a version that kept no digest
		ran                        int
		want                       error // of the same call
	}{
		"a report":                       {report: true},
		"cut short":                      {want: ErrOutcomeUnknown},
		"cut short, idempotent":          {idempotent: true, ran: 1},
		"a report of an earlier version": {before: true, report: true},
	} {
		t.Run(name, func(t *testing.T) {
			url, reported := reports(t)
			a, err := ConnectHTTP(t.Context(), HTTPOptions{Agent: "bot", URL: url, Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			ran := 0
			job, err := GuardHTTP(a, "job", func(context.Context, map[string]any) (string, error) {
				ran++
				return "done", nil
			}, Tool{Idempotent: tc.idempotent})
			if err != nil {
				t.Fatal(err)
			}
			kept := journal{Start: rand.Text(), Call: "pawl-1", Running: true}
			if !tc.before {
				kept.Asked, err = approval.Call{Tool: "job", Args: json.RawMessage(`{"n":1}`)}.Fingerprint()
				if err != nil {
					t.Fatal(err)
				}
			}
			if tc.report {
				kept.Report = &approval.ReportSignal{
					StartID: kept.Start, Status: approval.ReportExecuted, Result: json.RawMessage(`"done"`),
				}
			}
			j, err := openJournal(a.o.Dir, "k")
			if err != nil {
				t.Fatal(err)
			}
			kept.file = j.file
			if err := errors.Join(kept.write(), j.file.Close()); err != nil {
				t.Fatal(err)
			}
			ctx := With(t.Context(), About{Key: "k"})
			if !tc.before {
				out, err := job(ctx, map[string]any{"n": 2})
				if !errors.Is(err, ErrConflict) || out != "" || ran != 0 || *reported != 0 {
					t.Errorf("another call: %q, %v; %d runs, %d reports", out, err, ran, *reported)
				}
			}
			if out, err := job(ctx, map[string]any{"n": 1}); !errors.Is(err, tc.want) || tc.want == nil && out != "done" {
				t.Errorf("the same call: %q, %v", out, err)
			}
			if ran != tc.ran || *reported != 1 {
				t.Errorf("%d runs, %d reports", ran, *reported)
			}
		})
	}
}

// A disk that is full when a run is to be kept is no reason to say that it failed, once Pawl knows.
func TestResultsSurviveAFullDisk(t *testing.T) {
	url, asked := reports(t)
	a, err := ConnectHTTP(t.Context(), HTTPOptions{Agent: "bot", URL: url, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	j, err := openJournal(a.o.Dir, "k")
	if err != nil {
		t.Fatal(err)
	}
	job, err := tool.New("job", func(context.Context, struct{}) (string, error) { return "", nil }, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	j.Call = "pawl-1"
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
	o, err := a.finish(t.Context(), job, j, said(json.RawMessage(`"done"`), nil))
	if err != nil || string(o.Result) != `"done"` || *asked != 1 {
		t.Errorf("%+v, %v after %d reports", o, err, *asked)
	}
}

// A call that another process starts at the same moment, or that ends then, is followed: it was neither
// denied nor is it unknown what became of it.
func TestAskedAtTheMomentOfAnothersStart(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		ends   approval.Status
		want   error
	}{
		"started":          {http.StatusConflict, approval.StatusExecuted, nil},
		"ended":            {http.StatusConflict, approval.StatusBlocked, ErrBlocked},
		"approval_expired": {http.StatusGone, approval.StatusExpired, ErrExpired},
		"not_approved":     {http.StatusConflict, approval.StatusRejected, ErrRejected},
	} {
		t.Run(code, func(t *testing.T) {
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := map[string]any{"tools": []any{}}
				w.Header().Set("Content-Type", "application/json")
				switch r.URL.Path {
				case "/api/version":
					answer = map[string]any{"version": "devel", "features": []string{"caller"}}
				case "/api/calls":
					w.Header().Set("Content-Type", "application/problem+json")
					w.WriteHeader(c.status)
					answer = map[string]any{"code": code, "status": c.status, "id": "pawl-1"}
				case "/api/calls/wait":
					o := approval.Outcome{ID: "pawl-1", Tool: "job", Status: c.ends, Result: json.RawMessage(`"by another"`)}
					answer = map[string]any{"calls": []any{map[string]any{"id": "pawl-1", "outcome": o}}}
				}
				_ = json.NewEncoder(w).Encode(answer)
			}))
			defer api.Close()
			job := waitingJob(t, HTTPOptions{URL: api.URL, Dir: t.TempDir()})
			out, err := job(With(t.Context(), About{Key: "k"}), struct{}{})
			if !errors.Is(err, c.want) || c.want == nil && out != "by another" {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}
