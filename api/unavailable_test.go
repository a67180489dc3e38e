package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
)

func TestUnavailable(t *testing.T) {
	routes := []struct{ method, path string }{
		{"POST", "/api/calls"}, {"GET", "/api/calls/pawl-1"}, {"POST", "/api/calls/pawl-1/cancel"},
		{"POST", "/api/requests/pawl-1/approve"}, {"GET", "/api/requests"}, {"GET", "/api/requests/pawl-1"},
		{"GET", "/api/requests/pawl-1/decisions/d"}, {"GET", "/api/audit"}, {"GET", "/api/audit/checkpoint"}, {"GET", "/api/audit/proof/pawl-1"}, {"GET", "/api/tools"},
	}
	send := func(w *world, method, path string) *httptest.ResponseRecorder {
		if path == "/api/calls" {
			return w.send(method, path, `{"tool":"t"}`)
		}
		return w.send(method, path, "", "X-Pawl-Reviewer", "ana")
	}
	secret := errors.New("dial postgres://user:hunter2@db")
	t.Run("store", func(t *testing.T) {
		w := newWorld(t)
		w.store.err = secret
		for _, r := range routes[3:] {
			rec := send(w, r.method, r.path)
			expect(t, rec, 503, rest.CodeStoreUnavailable)
			if rec.Header().Get("Retry-After") == "" || strings.Contains(rec.Body.String(), "hunter2") {
				t.Errorf("%s: %v %s", r.path, rec.Header(), rec.Body)
			}
		}
	})
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"temporal down":             {serviceerror.NewUnavailable("hunter2"), 503, rest.CodeTemporalUnavailable},
		"temporal too slow":         {serviceerror.NewDeadlineExceeded("hunter2"), 503, rest.CodeTemporalUnavailable},
		"temporal busy":             {serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "hunter2"), 503, rest.CodeTemporalUnavailable},
		"temporal not ours":         {serviceerror.NewNamespaceNotFound("hunter2"), 503, rest.CodeTemporalUnavailable},
		"time is up":                {context.DeadlineExceeded, 503, rest.CodeTemporalUnavailable},
		"our own fault":             {serviceerror.NewInvalidArgument("hunter2"), 500, approval.CodeInternalError},
		"something else altogether": {errors.New("hunter2"), 500, approval.CodeInternalError},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Temporal = brokenTemporal{o.Temporal, c.err} })
			w.store.put(store.Record{View: view("pawl-1", approval.StatusPending), IsRequest: true})
			for _, r := range routes[:4] {
				rec := send(w, r.method, r.path)
				body := expect(t, rec, c.status, c.code)
				if (rec.Header().Get("Retry-After") == "") == (c.status == 503) || strings.Contains(rec.Body.String(), "hunter2") {
					t.Errorf("%s: %v %s", r.path, rec.Header(), rec.Body)
				}
				if r.path == "/api/calls" && (body["id"] == nil || rec.Header().Get("Location") == "") {
					t.Errorf("the caller can't look for its call: %s", rec.Body)
				}
			}
			// What the store knows is shown all the same.
			for _, r := range routes[4:6] {
				if rec := send(w, r.method, r.path); rec.Code != 200 {
					t.Errorf("%s: %d %s", r.path, rec.Code, rec.Body)
				}
			}
		})
	}
}

// A fault that lasts is named where it is looked for, and does not fill the log.
func TestFullDisk(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	})
	w.store.appendErr = errors.New("the disk is full")
	for range 20 {
		rec := w.get("/readyz")
		if rec.Code != 503 || !strings.Contains(rec.Body.String(), "neither full nor") {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	w.store.err = errors.New("the disk is full")
	for range 20 {
		expect(t, w.get("/api/requests"), 503, rest.CodeStoreUnavailable)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 { // one of each kind
		t.Errorf("%d lines:\n%s", lines, log.String())
	}
	w.store.err, w.store.appendErr = nil, store.ErrReadOnly
	if rec := w.get("/readyz"); rec.Code != 200 {
		t.Errorf("an API that may only read: %d %s", rec.Code, rec.Body)
	}
}

// IDs that no call can have are unknown, without a question to Temporal, a false 503 or a warning.
func TestImpossibleIDs(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(o *Options) {
		o.Temporal = brokenTemporal{o.Temporal, serviceerror.NewInternal("header value with non-printable ASCII")}
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	})
	for _, r := range w.server.routes() {
		if !strings.Contains(r.path, "{id}") || strings.Contains(r.path, "/tokens/") || strings.Contains(r.path, "/keys/") {
			continue
		}
		for _, id := range []string{"%C3%A9", "pawl-%E2%80%8B1", "%E9", "%00", "%1f", "%7F", "%0A", strings.Repeat("x", maxParam+1)} {
			path := strings.NewReplacer("{id}", id, "{decision_id}", "d").Replace(r.path)
			expect(t, w.send(r.method, path, "", rest.HeaderReviewer, "ana"), 404, approval.CodeNotFound)
		}
	}
	if log.Len() > 0 {
		t.Errorf("the log says %s", log.String())
	}
}

// brokenTemporal fails at once, without the SDK's patience.
type brokenTemporal struct {
	Temporal
	err error
}

func (b brokenTemporal) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, b.err
}
func (b brokenTemporal) SignalWorkflow(context.Context, string, string, string, any) error {
	return b.err
}
func (b brokenTemporal) DescribeWorkflow(context.Context, string, string) (*client.WorkflowExecutionDescription, error) {
	return nil, b.err
}
func (b brokenTemporal) QueryWorkflow(context.Context, string, string, string, ...any) (converter.EncodedValue, error) {
	return nil, b.err
}
func (b brokenTemporal) CheckHealth(context.Context, *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
	return nil, b.err
}
func (b brokenTemporal) WorkflowService() workflowservice.WorkflowServiceClient {
	return brokenService{err: b.err}
}

type brokenService struct {
	workflowservice.WorkflowServiceClient
	err error
}

func (b brokenService) DescribeWorkflowExecution(context.Context, *workflowservice.DescribeWorkflowExecutionRequest, ...grpc.CallOption) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return nil, b.err
}
func (b brokenService) GetWorkflowExecutionHistory(context.Context, *workflowservice.GetWorkflowExecutionHistoryRequest, ...grpc.CallOption) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	return nil, b.err
}
func (b brokenService) DescribeTaskQueue(context.Context, *workflowservice.DescribeTaskQueueRequest, ...grpc.CallOption) (*workflowservice.DescribeTaskQueueResponse, error) {
	return nil, b.err
}

// Nor do an outage, or how long the answer takes, tell others' calls from none:
// both are looked for in Temporal.
func TestOutagesTellNothingOfOthersCalls(t *testing.T) {
	w := guardedWorld(t, func(o *Options) { o.Temporal = brokenTemporal{o.Temporal, serviceerror.NewUnavailable("away")} })
	v := view("pawl-1", approval.StatusPending)
	v.Requester, v.Owner = "agent:billing", "ana"
	w.store.put(store.Record{View: v, IsRequest: true})
	other := w.token("agent:hr", rest.RoleAgent)
	there, absent := w.with(other, "GET", "/api/requests/pawl-1", ""), w.with(other, "GET", "/api/requests/pawl-2", "")
	if there.Code != absent.Code || there.Body.String() != absent.Body.String() {
		t.Errorf("somebody else's: %d %s\nan absent one: %d %s", there.Code, there.Body, absent.Code, absent.Body)
	}
	expect(t, w.with(w.token("agent:billing", rest.RoleAgent), "GET", "/api/requests/pawl-1", ""), 200, "")
}
