package codec

import (
	"cmp"
	"context"
	"errors"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

// Configure lets a client, and the workers that run on it, encrypt what they write and read what
// was encrypted: payloads, and with them the texts and stack traces of errors. A data converter
// that is set stays, below the encryption; a failure converter is refused, since it could write
// plain text.
//
// A workflow that can't be read for want of a key does not fail: its tasks do, and Temporal gives
// them to a worker again, with growing pauses, until one has the key.
func (r *Keyring) Configure(o *client.Options) error {
	if o.FailureConverter != nil {
		return errors.New("codec: the client has a failure converter of its own, " +
			"which would write errors in plain text")
	}
	parent := cmp.Or(o.DataConverter, converter.GetDefaultDataConverter())
	dc := newDataConverter(r, parent, false)
	o.DataConverter = dc
	o.FailureConverter = &failureConverter{ring: r, inner: temporal.NewDefaultFailureConverter(
		temporal.DefaultFailureConverterOptions{DataConverter: dc, EncodeCommonAttributes: true})}
	return nil
}

// dataConverter is the SDK's converter for codecs, but for what happens in workflows to payloads
// that can't be read.
type dataConverter struct {
	converter.DataConverter // the SDK's
	ring                    *Keyring
	parent                  converter.DataConverter // below the encryption
	inWorkflow              bool
}

var (
	_ converter.ContextAware                          = (*dataConverter)(nil)
	_ converter.DataConverterWithSerializationContext = (*dataConverter)(nil)
)

func newDataConverter(r *Keyring, parent converter.DataConverter, inWorkflow bool) *dataConverter {
	return &dataConverter{converter.NewCodecDataConverter(parent, r), r, parent, inWorkflow}
}

// ToPayload returns no plain text beside an error, as the SDK's does.
func (d *dataConverter) ToPayload(value any) (*commonpb.Payload, error) {
	p, err := d.DataConverter.ToPayload(value)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (d *dataConverter) FromPayload(p *commonpb.Payload, into any) error {
	if p == nil {
		return nil
	}
	opened, err := d.ring.open(p)
	if err != nil {
		return d.unreadable(err, into)
	}
	return d.parent.FromPayload(opened, into)
}

// FromPayloads reads no more payloads than are asked for: what a stranger adds to a signal or a
// query must not keep it from being read.
func (d *dataConverter) FromPayloads(ps *commonpb.Payloads, into ...any) error {
	for i, p := range ps.GetPayloads() {
		if i == len(into) {
			break
		}
		if err := d.FromPayload(p, into[i]); err != nil {
			return err
		}
	}
	return nil
}

// unreadable deals with a payload that can't be read. Outside of workflows that is an error. In a
// workflow, the SDK would let an error fail it, or drop a signal in silence. So there the task is
// made to fail, to be done again where the key is; only what no key mends is handed on, where the
// workflow looks at payloads itself, as one that says what is wrong and is neither empty nor of any
// known encoding.
func (d *dataConverter) unreadable(err error, into any) error {
	if !d.inWorkflow {
		return err
	}
	raw, ok := into.(*converter.RawValue)
	if !ok || missing(err) {
		panic(err)
	}
	why := "not authentic"
	if errors.Is(err, ErrPlain) {
		why = "not encrypted"
	}
	*raw = converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(why)}, Data: []byte(why),
	})
	return nil
}

func (d *dataConverter) WithWorkflowContext(ctx converter.WorkflowContext) converter.DataConverter {
	parent := d.parent
	if p, ok := parent.(converter.ContextAware); ok {
		parent = p.WithWorkflowContext(ctx)
	}
	return newDataConverter(d.ring, parent, true)
}

func (d *dataConverter) WithContext(ctx context.Context) converter.DataConverter {
	parent := d.parent
	if p, ok := parent.(converter.ContextAware); ok {
		parent = p.WithContext(ctx)
	}
	return newDataConverter(d.ring, parent, false)
}

func (d *dataConverter) WithSerializationContext(ctx converter.SerializationContext) converter.DataConverter {
	parent := converter.WithDataConverterSerializationContext(d.parent, ctx)
	return newDataConverter(d.ring, parent, d.inWorkflow)
}

// failureConverter is the SDK's, but for a workflow that reads an activity's error: the SDK would
// go on with the words "Encoded failure".
type failureConverter struct {
	ring       *Keyring
	inner      converter.FailureConverter
	inWorkflow bool
}

func (f *failureConverter) ErrorToFailure(err error) *failurepb.Failure {
	failure := f.inner.ErrorToFailure(err)
	if app := failure.GetApplicationFailureInfo(); app != nil && missing(err) {
		app.Type = KeyMissing
	}
	return failure
}

func (f *failureConverter) FailureToError(failure *failurepb.Failure) error {
	if f.inWorkflow {
		for e := failure; e != nil; e = e.GetCause() {
			p := e.GetEncodedAttributes() // details were written with the same key
			if p == nil {
				continue
			}
			if _, err := f.ring.open(p); missing(err) {
				panic(err)
			}
		}
	}
	// The SDK decodes in place, and a local activity's failure goes into history after it was read.
	failure, _ = proto.Clone(failure).(*failurepb.Failure)
	return f.inner.FailureToError(failure)
}

// WithSerializationContext knows a workflow by the activity whose error it reads: activities
// themselves read none.
func (f *failureConverter) WithSerializationContext(
	ctx converter.SerializationContext,
) converter.FailureConverter {
	a, ok := ctx.(converter.ActivitySerializationContext)
	return &failureConverter{ring: f.ring, inWorkflow: ok && a.WorkflowID != "",
		inner: converter.WithFailureConverterSerializationContext(f.inner, ctx)}
}
