package codec

import (
	"errors"
	"fmt"
	"regexp"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
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
