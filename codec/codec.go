package codec

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

// Metadata of an encrypted payload.
const (
	Encoding      = "binary/encrypted"
	MetadataKeyID = "encryption-key-id"
)

const (
	// maxPayload bounds one payload, in bytes. Temporal takes 2 MiB unless it was told otherwise, and
	// no more than what fits into a gRPC message of 4 MiB. It must not be less: the SDK writes a memo
	// that its converter refuses in plain text.
	maxPayload = 16 << 20

	overhead = 12 + 16 // nonce and tag
)

// Errors of Decode, and of whatever reads by it. All of them are a converter.ErrUnableToDecode.
var (
	// ErrPlain: a payload is not encrypted, and the keyring refuses such.
	ErrPlain = fmt.Errorf("codec: %w the payload: "+
		"it is not encrypted, and the keyring says that such payloads are refused", converter.ErrUnableToDecode)
	// ErrNotAuthentic: a payload was changed, or nobody made it with the key that it names.
	ErrNotAuthentic = fmt.Errorf("codec: %w the payload: "+
		"it was changed, or not encrypted with the key that it names", converter.ErrUnableToDecode)
	// ErrTooLarge: a payload is beyond what Temporal takes.
	ErrTooLarge = fmt.Errorf("codec: %w the payload: it is larger than %d bytes",
		converter.ErrUnableToDecode, maxPayload)
)

// ErrNoKeyring is for those who meet an encrypted payload without any keyring.
var ErrNoKeyring = errors.New("codec: a payload is encrypted, " +
	"and this process has no keyring: give it the same keyring as the others")

// KeyMissing is the type of the error with which an activity fails whose input can't be read for
// want of a key: its function was not called. Workflows may hand it to another worker.
const KeyMissing = "PayloadKeyMissing"

// KeyError is returned for a payload that was encrypted with a key which the keyring does not have.
// With the key it can be read.
type KeyError struct {
	ID string // as the payload names it; always of a key ID's form
}

func (e *KeyError) Error() string {
	return "codec: the keyring has no key " + e.ID + ", with which a payload was encrypted: " +
		"give this process the same keyring as the others"
}

// Unwrap says that the payload can't be decoded.
func (e *KeyError) Unwrap() error { return converter.ErrUnableToDecode }

var _ converter.PayloadCodec = (*Keyring)(nil)

// Encode implements converter.PayloadCodec: it encrypts each payload with the active key. With an
// error it returns nothing, and never plain text.
func (r *Keyring) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, r.seal)
}

// Decode implements converter.PayloadCodec. Errors: ErrPlain, ErrNotAuthentic, ErrTooLarge,
// *KeyError.
func (r *Keyring) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, r.open)
}

func each(
	payloads []*commonpb.Payload, one func(*commonpb.Payload) (*commonpb.Payload, error),
) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		var err error
		if out[i], err = one(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *Keyring) seal(p *commonpb.Payload) (*commonpb.Payload, error) {
	if size := proto.Size(p); size > maxPayload {
		return nil, fmt.Errorf("codec: %w the payload: its %d bytes are more than the %d that are allowed",
			converter.ErrUnableToEncode, size, maxPayload)
	}
	text, err := proto.Marshal(p)
	if err != nil { // its text could quote what is to be hidden
		return nil, fmt.Errorf("codec: %w the payload: it can't be written as Protobuf",
			converter.ErrUnableToEncode)
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(Encoding), MetadataKeyID: []byte(r.active)},
		Data:     r.aeads[r.active].Seal(make([]byte, 0, len(text)+overhead), nil, text, associated(r.active)),
	}, nil
}

func (r *Keyring) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	switch {
	case !Encrypted(p) && r.plain:
		return p, nil
	case !Encrypted(p):
		return nil, ErrPlain
	case len(p.GetData()) > maxPayload+overhead:
		return nil, ErrTooLarge
	}
	id := string(p.GetMetadata()[MetadataKeyID])
	aead := r.aeads[id]
	switch {
	case aead == nil && keyID.MatchString(id):
		return nil, &KeyError{ID: id}
	case aead == nil: // no keyring has such a key
		return nil, ErrNotAuthentic
	}
	text, err := aead.Open(nil, nil, p.GetData(), associated(id))
	if err != nil {
		return nil, ErrNotAuthentic
	}
	out := &commonpb.Payload{}
	if err := proto.Unmarshal(text, out); err != nil { // made with the key, but not by a codec
		return nil, ErrNotAuthentic
	}
	return out, nil
}

var keyID = regexp.MustCompile(`^pk-[a-z2-7]{16}$`) // see idOf

func associated(id string) []byte { return []byte(Encoding + "\n" + id) }

// Encrypted reports whether a payload says that it is encrypted.
func Encrypted(p *commonpb.Payload) bool {
	return string(p.GetMetadata()[converter.MetadataEncoding]) == Encoding
}

// Current reports whether a payload says that it is encrypted with the active key.
func (r *Keyring) Current(p *commonpb.Payload) bool {
	return Encrypted(p) && string(p.GetMetadata()[MetadataKeyID]) == r.active
}

// missing reports whether only a key is missing.
func missing(err error) bool { return errors.As(err, new(*KeyError)) }

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
