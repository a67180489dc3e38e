package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

func configured(t *testing.T, r *Keyring) client.Options {
	t.Helper()
	var o client.Options
	if err := r.Configure(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

// inWorkflow is how the SDK makes the converter that a workflow gets.
func inWorkflow(o client.Options) converter.DataConverter {
	dc := converter.WithDataConverterSerializationContext(converter.MakeTransferAware(o.DataConverter), converter.WorkflowSerializationContext{WorkflowID: "w"})
	return dc.(converter.ContextAware).WithWorkflowContext(nil)
}

// panicked returns what f panics with.
func panicked(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func TestConverter(t *testing.T) {
	o := configured(t, ring(t, false, 1))
	for name, dc := range map[string]converter.DataConverter{"plain": o.DataConverter, "workflow": inWorkflow(o)} {
		ps, err := dc.ToPayloads("hunter2", map[string]int{"a": 1}, nil)
		if err != nil || len(ps.Payloads) != 3 {
			t.Fatal(err)
		}
		for _, p := range ps.Payloads {
			if !Encrypted(p) || strings.Contains(string(p.Data), "hunter2") {
				t.Errorf("%s: %v", name, p)
			}
		}
		var s string
		var m map[string]int
		if err := dc.FromPayloads(ps, &s, &m); err != nil || s != "hunter2" || m["a"] != 1 {
			t.Errorf("%s: %q %v %v", name, s, m, err)
		}
		if got := dc.ToStrings(ps); !reflect.DeepEqual(got, []string{`"hunter2"`, `{"a":1}`, "nil"}) {
			t.Errorf("%s: %q", name, got)
		}
		if err := dc.FromPayloads(nil, &s); err != nil {
			t.Error(err)
		}
		if p, err := dc.ToPayload(make(chan int)); p != nil || err == nil {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestConfigureRefusesAnotherFailureConverter(t *testing.T) {
	o := client.Options{FailureConverter: temporal.GetDefaultFailureConverter()}
	if err := ring(t, false, 1).Configure(&o); err == nil || o.DataConverter != nil {
		t.Error(err)
	}
}

// Outside of workflows what can't be read is an error.
func TestUnreadable(t *testing.T) {
	dc := configured(t, ring(t, false, 1)).DataConverter
	var s string
	var raw converter.RawValue
	for _, into := range []any{&s, &raw} {
		if err := dc.FromPayload(sealed(t, ring(t, false, 2), text("1")), into); !errors.As(err, new(*KeyError)) {
			t.Error(err)
		}
		if err := dc.FromPayload(text("1"), into); !errors.Is(err, ErrPlain) {
			t.Error(err)
		}
	}
	if got := dc.ToString(text(`"hunter2"`)); strings.Contains(got, "hunter2") {
		t.Error(got)
	}
}

func TestUnreadableInWorkflow(t *testing.T) {
	r := ring(t, false, 1)
	dc := inWorkflow(configured(t, r))
	forged := sealed(t, r, text("1"))
	forged.Data[20] ^= 1
	other := sealed(t, ring(t, false, 2), text("1"))

	// Nothing that a workflow would go on without knowing better.
	var s string
	for _, p := range []*commonpb.Payload{text("1"), forged, other} {
		if got := panicked(func() { _ = dc.FromPayload(p, &s) }); got == nil {
			t.Errorf("%v was let through", p)
		}
	}
	// A key may come yet, so nothing is refused for want of one.
	var raw converter.RawValue
	if err, _ := panicked(func() { _ = dc.FromPayload(other, &raw) }).(error); !errors.As(err, new(*KeyError)) {
		t.Errorf("panicked with %v", err)
	}
	// What no key mends is the workflow's to refuse.
	for want, p := range map[string]*commonpb.Payload{"not encrypted": text(""), "not authentic": forged} {
		raw = converter.RawValue{}
		if err := dc.FromPayloads(&commonpb.Payloads{Payloads: []*commonpb.Payload{p}}, &raw); err != nil {
			t.Error(err)
		}
		if got := raw.Payload(); string(got.GetMetadata()[converter.MetadataEncoding]) != want || len(got.GetData()) == 0 {
			t.Errorf("%v, want %s", got, want)
		}
	}
	// What nobody asks for holds nobody up.
	if err := dc.FromPayloads(&commonpb.Payloads{Payloads: []*commonpb.Payload{other}}); err != nil {
		t.Error(err)
	}
}

func TestFailures(t *testing.T) {
	r := ring(t, false, 1)
	fc := configured(t, r).FailureConverter
	f := fc.ErrorToFailure(temporal.NewApplicationErrorWithCause("hunter2", "Type", errors.New("hunter2 below"), "hunter2 in detail"))
	if f.Message != "Encoded failure" || f.StackTrace != "" || f.GetApplicationFailureInfo().Type != "Type" || strings.Contains(f.String(), "hunter2") {
		t.Errorf("%v", f)
	}
	clone := func() *failurepb.Failure { return fc.ErrorToFailure(errors.New("hunter2")) }
	var app *temporal.ApplicationError
	var detail string
	if err := fc.FailureToError(f); !errors.As(err, &app) || app.Message() != "hunter2" || app.Details(&detail) != nil || detail != "hunter2 in detail" ||
		!strings.Contains(errors.Unwrap(err).Error(), "hunter2 below") {
		t.Errorf("%v", err)
	}

	if f.Message != "Encoded failure" {
		t.Errorf("reading it has decoded it in place: %v", f)
	}
	if err := fc.FailureToError(nil); err != nil {
		t.Error(err)
	}

	// An activity whose input can't be read says so in a way that workflows know.
	lost := fmt.Errorf("unable to decode the input: %w", &KeyError{ID: "pk-aaaaaaaaaaaaaaaa"})
	if err := fc.FailureToError(fc.ErrorToFailure(lost)); !errors.As(err, &app) || app.Type() != KeyMissing || app.NonRetryable() {
		t.Errorf("%v", err)
	}

	// In a workflow the words "Encoded failure" must not become the truth.
	activity := converter.ActivitySerializationContext{WorkflowID: "w"}
	without := configured(t, ring(t, false, 2)).FailureConverter
	if err := without.FailureToError(clone()); err == nil || err.Error() != "Encoded failure" {
		t.Errorf("a client: %v", err)
	}
	reading := converter.WithFailureConverterSerializationContext(without, activity)
	wrapped := &failurepb.Failure{Message: "activity error", Cause: clone()}
	if err, _ := panicked(func() { _ = reading.FailureToError(wrapped) }).(error); !errors.As(err, new(*KeyError)) {
		t.Errorf("panicked with %v", err)
	}
	// Temporal's own failures are plain.
	if err := reading.FailureToError(&failurepb.Failure{Message: "timed out"}); err == nil || err.Error() != "timed out" {
		t.Error(err)
	}
}
