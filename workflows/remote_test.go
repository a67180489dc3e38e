package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/workflows"
	"github.com/stretchr/testify/mock"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

const remoteDoc = `{"tool":"translate","args":{"to":"x"},"nonce":"n"}`

// remote offers the tools translate and, idempotent, index on a queue of other workers, of which fn
// is one.
func remote(t *testing.T, fn any) *harness {
	t.Helper()
	h := setup(t)
	row := func(name string, idempotent bool) store.Tool {
		return store.Tool{
			Name: name, Schema: json.RawMessage(`{"type":"object","properties":{"to":{"type":"string"}},"additionalProperties":false}`),
			Queue: "tools-python", Kind: "activity", Timeout: approval.Duration(time.Minute), Heartbeat: approval.Duration(10 * time.Second),
			Idempotent: idempotent, Publisher: "tools-python",
		}
	}
	refused, err := h.store.PublishTools(t.Context(), store.Publication{
		Publisher: "tools-python", Tools: []store.Tool{row("translate", false), row("index", true)},
	})
	if err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	h.serve(fn)
	return h
}

func (h *harness) serve(fn any) {
	for _, name := range []string{"translate", "index"} {
		h.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}

func (h *harness) approveSoon() {
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, nil) })
}

func TestRemote(t *testing.T) {
	type header struct{ id, digest, queue, args string }
	var got header
	h := remote(t, func(ctx context.Context, args json.RawMessage) (map[string]string, error) {
		got.queue, got.args = activity.GetInfo(ctx).TaskQueue, string(args)
		return map[string]string{"text": "hallo"}, nil
	})
	h.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{workflows.CallHeader(), &readHeader{
		read: func(fields map[string]*commonpb.Payload) {
			dc := converter.GetDefaultDataConverter()
			if err := errors.Join(dc.FromPayload(fields[approval.HeaderCallID], &got.id), dc.FromPayload(fields[approval.HeaderDigest], &got.digest)); err != nil {
				t.Error(err)
			}
		},
	}}})
	h.approveSoon()
	out := h.call(remoteDoc)
	h.want(out, approval.StatusExecuted, "", 0)
	if want := (header{"call-1", out.Digest, "tools-python", `{"to":"x"}`}); got != want || string(out.Result) != `{"text":"hallo"}` {
		t.Errorf("the worker saw %+v, want %+v; the caller %s", got, want, out.Result)
	}
	equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindDecided, audit.KindClaimed, audit.KindEnded})
}

// readHeader shows an activity its header, which only interceptors see.
type readHeader struct {
	interceptor.WorkerInterceptorBase
	read func(map[string]*commonpb.Payload)
}

func (r *readHeader) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &headerReader{read: r.read}
	in.Next = next
	return in
}

type headerReader struct {
	interceptor.ActivityInboundInterceptorBase
	read func(map[string]*commonpb.Payload)
}

func (in *headerReader) ExecuteActivity(ctx context.Context, args *interceptor.ExecuteActivityInput) (any, error) {
	if activity.GetInfo(ctx).TaskQueue == "tools-python" {
		in.read(interceptor.Header(ctx))
	} else if h := interceptor.Header(ctx); len(h) > 0 {
		panic("another activity has a header")
	}
	return in.Next.ExecuteActivity(ctx, args)
}

func TestRemoteChecksArguments(t *testing.T) {
	h := remote(t, func(context.Context, json.RawMessage) error { t.Error("it ran"); return nil })
	h.want(h.call(`{"tool":"translate","args":{"to":7}}`), approval.StatusBlocked, approval.CodeBadArguments, 0)
}

func TestRemoteEnds(t *testing.T) {
	raw := func(encoding, data string) converter.RawValue {
		return converter.NewRawValue(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding)}, Data: []byte(data)})
	}
	for name, tc := range map[string]struct {
		result any
		err    error
		status approval.Status
		code   string
		says   string
	}{
		"null":             {nil, nil, approval.StatusExecuted, "", "null"},
		"odd JSON":         {raw("json/plain", `{"a":1,"a":2}`), nil, approval.StatusExecuted, "", `{"a":1,"a":2}`},
		"no JSON":          {raw("json/plain", `{"a":`), nil, approval.StatusOutcomeUnknown, approval.CodeUnknown, "not valid JSON"},
		"bytes":            {[]byte("x"), nil, approval.StatusOutcomeUnknown, approval.CodeUnknown, "binary/plain"},
		"too large":        {strings.Repeat("x", approval.MaxResult), nil, approval.StatusOutcomeUnknown, approval.CodeUnknown, "bytes of JSON"},
		"an error":         {nil, errors.New("no such language"), approval.StatusFailed, approval.CodeToolFailed, "no such language"},
		"a long error":     {nil, errors.New(strings.Repeat("x", 10<<10)), approval.StatusFailed, approval.CodeToolFailed, "(cut)"},
		"says unknown":     {nil, temporal.NewApplicationError("sent, no answer", approval.CodeUnknown), approval.StatusOutcomeUnknown, approval.CodeUnknown, "sent, no answer"},
		"says blocked":     {nil, temporal.NewApplicationError("ha", approval.CodeNoPermit), approval.StatusFailed, approval.CodeToolFailed, "ha"},
		"says expired":     {nil, temporal.NewApplicationError("ha", approval.CodeExpired), approval.StatusFailed, approval.CodeToolFailed, "ha"},
		"never started":    {nil, temporal.NewTimeoutError(workflows.ScheduleToStart, nil), approval.StatusExpired, approval.CodeExpired, "nothing ran"},
		"worker lost":      {nil, temporal.NewHeartbeatTimeoutError(), approval.StatusOutcomeUnknown, approval.CodeUnknown, "worker was lost"},
		"too slow":         {nil, temporal.NewTimeoutError(workflows.StartToClose, nil), approval.StatusOutcomeUnknown, approval.CodeUnknown, "worker was lost"},
		"its worker stops": {nil, fmt.Errorf("calling: %w", context.Canceled), approval.StatusOutcomeUnknown, approval.CodeUnknown, "worker was lost"},
		"it ran too long":  {nil, context.DeadlineExceeded, approval.StatusOutcomeUnknown, approval.CodeUnknown, "worker was lost"},
		"its worker stops (TypeScript, Python, .NET)": {nil, temporal.NewApplicationError("Worker is shutting down and this activity did not complete in time", "WorkerShutdown"),
			approval.StatusOutcomeUnknown, approval.CodeUnknown, "worker was lost"},
		"its worker stops (Java)": {nil, temporal.NewApplicationErrorWithCause("sending", "com.example.Broken", temporal.NewApplicationError("", "io.temporal.client.ActivityWorkerShutdownException")),
			approval.StatusOutcomeUnknown, approval.CodeUnknown, "worker was lost"},
		"its event loop stops (Python)": {nil, temporal.NewApplicationError("", "CancelledError"), approval.StatusOutcomeUnknown, approval.CodeUnknown, "worker was lost"},
		"cancelled itself":              {nil, temporal.NewCanceledError(), approval.StatusOutcomeUnknown, approval.CodeUnknown, "worker was lost"},
	} {
		t.Run(name, func(t *testing.T) {
			h := remote(t, func(context.Context, json.RawMessage) (any, error) { return nil, nil })
			h.OnActivity("translate", mock.Anything, mock.Anything).Return(tc.result, tc.err)
			h.approveSoon()
			out := h.call(remoteDoc)
			h.want(out, tc.status, tc.code, 0)
			says := string(out.Result)
			if out.Error != nil {
				says = out.Error.Message
			}
			if !strings.Contains(says, tc.says) || len(says) > 5<<10 {
				t.Errorf("it says %.200q, want %q", says, tc.says)
			}
		})
	}
}

// An idempotent tool is tried again after an end that is unknown, and a later attempt that failed
// says nothing about an earlier one.
func TestRemoteAgain(t *testing.T) {
	lost, no := temporal.NewHeartbeatTimeoutError(), errors.New("no")
	never := temporal.NewTimeoutError(workflows.ScheduleToStart, nil)
	for name, tc := range map[string]struct {
		tool   string
		errs   []error
		status approval.Status
	}{
		"found again":          {"index", []error{lost, lost, nil}, approval.StatusExecuted},
		"lost three times":     {"index", []error{lost, lost, lost}, approval.StatusOutcomeUnknown},
		"failed at once":       {"index", []error{no}, approval.StatusFailed},
		"lost, then failed":    {"index", []error{lost, no}, approval.StatusOutcomeUnknown},
		"lost, then not taken": {"index", []error{lost, never}, approval.StatusOutcomeUnknown},
		"not idempotent":       {"translate", []error{lost}, approval.StatusOutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			h := remote(t, func(context.Context, json.RawMessage) (any, error) { return nil, nil })
			for _, err := range tc.errs {
				h.OnActivity(tc.tool, mock.Anything, mock.Anything).Return(nil, err).Once()
			}
			h.approveSoon()
			if out := h.call(`{"tool":"` + tc.tool + `","args":{"to":"x"}}`); out.Status != tc.status {
				t.Errorf("it ended %s, %+v; want %s", out.Status, out.Error, tc.status)
			}
			h.AssertExpectations(t)
		})
	}
}

// A run that did not take the permit, as after a reset, never hands the tool out again, and can't
// say that nothing ran.
func TestRemoteAfterAReset(t *testing.T) {
	for _, doc := range []string{remoteDoc, `{"tool":"translate","args":{"to":"x"},"nonce":"other"}`} {
		ran := 0
		fn := func(context.Context, json.RawMessage) (any, error) { ran++; return nil, nil }
		h := remote(t, fn)
		h.approveSoon()
		call, err := approval.ParseCall([]byte(remoteDoc))
		if err != nil {
			t.Fatal(err)
		}
		digest, err := call.Digest("call-1")
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		_, _, err = h.store.Admit(t.Context(), store.AdmitParams{
			View:    approval.View{ID: "call-1", Tool: "translate", Args: call.Args, Digest: digest, Status: approval.StatusExecuting, CreatedAt: at},
			Verdict: approval.Verdict{Kind: approval.VerdictAllow},
			Run:     "first run", TakePermit: true, GoodUntil: at.Add(time.Hour), Queue: "tools-python",
		})
		if err != nil {
			t.Fatal(err)
		}
		h.want(h.call(doc), approval.StatusOutcomeUnknown, approval.CodeAlreadyRan, 0)
		if ran > 0 {
			t.Errorf("the tool ran %d times", ran)
		}
	}
}
