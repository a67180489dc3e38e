package codec

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
)

// ring makes a keyring of keys that consist of one byte each; the last one is active.
func ring(t testing.TB, plain bool, keys ...byte) *Keyring {
	t.Helper()
	d := &document{Plain: plainWord(plain)}
	for _, b := range keys {
		key := bytes.Repeat([]byte{b}, keySize)
		d.Keys = append(d.Keys, documentKey{ID: idOf(key), Created: time.Unix(int64(b), 0), Key: key})
		d.Active = idOf(key)
	}
	r, err := d.keyring()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(s string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte("json/plain")}, Data: []byte(s)}
}

func sealed(t testing.TB, r *Keyring, p *commonpb.Payload) *commonpb.Payload {
	t.Helper()
	out, err := r.Encode([]*commonpb.Payload{p})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func TestRoundTrip(t *testing.T) {
	r := ring(t, false, 1)
	for _, p := range []*commonpb.Payload{
		text(`"hunter2"`), text(""), {}, {Metadata: map[string][]byte{"messageType": []byte("hunter2")}},
		sealed(t, r, text("again")), text(strings.Repeat("x", 3<<20)),
	} {
		s := sealed(t, r, p)
		if doc, _ := proto.Marshal(s); bytes.Contains(doc, []byte("hunter2")) || bytes.Contains(doc, []byte("json/plain")) {
			t.Errorf("readable: %q", doc)
		}
		if !Encrypted(s) || !r.Current(s) {
			t.Errorf("metadata %v", s.GetMetadata())
		}
		got, err := r.Decode([]*commonpb.Payload{s})
		if err != nil || !proto.Equal(got[0], p) {
			t.Errorf("got %v, %v", got, err)
		}
	}
	if a, b := sealed(t, r, text("1")), sealed(t, r, text("1")); bytes.Equal(a.Data, b.Data) {
		t.Error("two nonces are the same")
	}
}

// The format is a contract with workers in other languages, and with every history there is.
const golden = "XVZU1ZxPy5tUae07QO0eukK+N+BZgZuWvTAyN3uc1F6DVMsK1oOqhT5MbZdsJD+mWTLFIuDFMG5Lrxl4kw=="

func TestFormat(t *testing.T) {
	r := ring(t, false, 1)
	const id = "pk-vc3nbmixzhe4zqki"
	if r.Active().ID != id {
		t.Fatalf("the key's ID is %s", r.Active().ID)
	}
	data, err := base64.StdEncoding.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Decode([]*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte(id)}, Data: data}})
	if err != nil || string(got[0].GetData()) != `{"a":1}` {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRotation(t *testing.T) {
	before, both, after := ring(t, false, 1), ring(t, false, 1, 2), ring(t, false, 2)
	old, fresh := sealed(t, before, text("1")), sealed(t, both, text("2"))
	if both.Current(old) || !both.Current(fresh) {
		t.Error("the active key does not count as such")
	}
	if _, err := both.Decode([]*commonpb.Payload{old, fresh}); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		r *Keyring
		p *commonpb.Payload
	}{{before, fresh}, {after, old}} {
		out, err := c.r.Decode([]*commonpb.Payload{c.p})
		var key *KeyError
		if out != nil || !errors.As(err, &key) || key.ID != string(c.p.Metadata[MetadataKeyID]) || !strings.Contains(err.Error(), key.ID) || !errors.Is(err, converter.ErrUnableToDecode) {
			t.Errorf("%v, %v", out, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	r := ring(t, false, 1, 2)
	good := sealed(t, r, text(`"hunter2"`))
	changed := func(f func(*commonpb.Payload)) *commonpb.Payload {
		p := proto.Clone(good).(*commonpb.Payload)
		f(p)
		return p
	}
	for name, c := range map[string]struct {
		p    *commonpb.Payload
		want error
	}{
		"plain":        {text(`"hunter2"`), ErrPlain},
		"empty":        {&commonpb.Payload{}, ErrPlain},
		"changed":      {changed(func(p *commonpb.Payload) { p.Data[20] ^= 1 }), ErrNotAuthentic},
		"other nonce":  {changed(func(p *commonpb.Payload) { p.Data[0] ^= 1 }), ErrNotAuthentic},
		"cut":          {changed(func(p *commonpb.Payload) { p.Data = p.Data[:len(p.Data)-1] }), ErrNotAuthentic},
		"cut to 5":     {changed(func(p *commonpb.Payload) { p.Data = p.Data[:5] }), ErrNotAuthentic},
		"no data":      {changed(func(p *commonpb.Payload) { p.Data = nil }), ErrNotAuthentic},
		"too large":    {changed(func(p *commonpb.Payload) { p.Data = make([]byte, maxPayload+overhead+1) }), ErrTooLarge},
		"another key":  {changed(func(p *commonpb.Payload) { p.Metadata[MetadataKeyID] = []byte(r.keys[0].ID) }), ErrNotAuthentic},
		"unknown key":  {changed(func(p *commonpb.Payload) { p.Metadata[MetadataKeyID] = []byte("pk-aaaaaaaaaaaaaaaa") }), converter.ErrUnableToDecode},
		"no key":       {changed(func(p *commonpb.Payload) { delete(p.Metadata, MetadataKeyID) }), ErrNotAuthentic},
		"no key's ID":  {changed(func(p *commonpb.Payload) { p.Metadata[MetadataKeyID] = []byte("\x1b[31m") }), ErrNotAuthentic},
		"no associate": {withoutAAD(t, r), ErrNotAuthentic},
		"no protobuf":  {&commonpb.Payload{Metadata: good.Metadata, Data: r.aeads[r.active].Seal(nil, nil, []byte{0xff}, associated(r.active))}, ErrNotAuthentic},
	} {
		got, err := r.Decode([]*commonpb.Payload{good, c.p})
		if got != nil || !errors.Is(err, c.want) || !errors.Is(err, converter.ErrUnableToDecode) || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := ring(t, true, 1).Decode([]*commonpb.Payload{text("1")}); err != nil || string(got[0].Data) != "1" {
		t.Errorf("in transition: %v, %v", got, err)
	}
	if got, err := r.Encode([]*commonpb.Payload{text(strings.Repeat("x", maxPayload))}); got != nil || !errors.Is(err, converter.ErrUnableToEncode) {
		t.Errorf("too large: %d payloads, %v", len(got), err)
	}
	if got, err := r.Encode([]*commonpb.Payload{{Metadata: map[string][]byte{"\xff": nil}}}); got != nil || !errors.Is(err, converter.ErrUnableToEncode) {
		t.Errorf("no UTF-8: %v, %v", got, err)
	}
}

// withoutAAD is what the codecs of Temporal's samples write.
func withoutAAD(t *testing.T, r *Keyring) *commonpb.Payload {
	doc, err := proto.Marshal(text("1"))
	if err != nil {
		t.Fatal(err)
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(Encoding), MetadataKeyID: []byte(r.active)},
		Data:     r.aeads[r.active].Seal(nil, nil, doc, nil),
	}
}

func FuzzDecode(f *testing.F) {
	r := ring(f, false, 1)
	good, err := base64.StdEncoding.DecodeString(golden) // the same in every process that takes part
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(Encoding), []byte(r.active), good)
	f.Add([]byte("json/plain"), []byte(nil), []byte("{}"))
	f.Add([]byte(Encoding), []byte("pk-"), good[:28])
	f.Fuzz(func(t *testing.T, encoding, id, data []byte) {
		out, err := r.Decode([]*commonpb.Payload{{Metadata: map[string][]byte{converter.MetadataEncoding: encoding, MetadataKeyID: id}, Data: data}})
		if err == nil && !bytes.Equal(data, good) {
			t.Errorf("what nobody encrypted is read: %v", out)
		}
		if err != nil && (out != nil || !errors.Is(err, converter.ErrUnableToDecode) || len(err.Error()) > 1000) {
			t.Errorf("%v, %v", out, err)
		}
	})
}

func BenchmarkPayload(b *testing.B) {
	r := ring(b, false, 1)
	for _, size := range []int{200, 20_000} {
		p := []*commonpb.Payload{text(strings.Repeat("x", size))}
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				s, err := r.Encode(p)
				if err == nil {
					_, err = r.Decode(s)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
