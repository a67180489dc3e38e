package api

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/codec"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const uiOrigin = "http://127.0.0.1:8233"

func keyring(t *testing.T) *codec.Keyring {
	t.Helper()
	r, err := codec.Create(filepath.Join(t.TempDir(), "keys.json"), false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Only Temporal's UI may ask from a page, only here, and only to decode.
func TestCodecEndpoint(t *testing.T) {
	keys := keyring(t)
	var o client.Options
	if err := keys.Configure(&o); err != nil {
		t.Fatal(err)
	}
	ps, err := o.DataConverter.ToPayloads("hunter2")
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(proto.Message(ps))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Codec = &CodecOptions{Keyring: keys, Origins: []string{uiOrigin}} })
	for _, c := range []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{"the UI", "POST", "/codec/decode", []string{"Origin", uiOrigin}, 200},
		{"a command line", "POST", "/codec/decode", nil, 200},
		{"preflight", "OPTIONS", "/codec/decode", []string{"Origin", uiOrigin}, 204},
		{"another page", "POST", "/codec/decode", []string{"Origin", "http://evil.example"}, 403},
		{"a rebound name", "POST", "/codec/decode", []string{"Host", "evil.example", "Origin", uiOrigin}, 421},
		{"encode", "POST", "/codec/encode", []string{"Origin", uiOrigin}, 403},
		{"another route, by the UI", "POST", "/api/calls", []string{"Origin", uiOrigin, "Sec-Fetch-Site", "same-site"}, 403},
	} {
		rec := w.send(c.method, c.path, string(body), c.header...)
		if rec.Code != c.status {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
		if shown := strings.Contains(rec.Body.String(), "Imh1bnRlcjIi"); shown != (c.status == 200) { // "hunter2" in JSON, in base64
			t.Errorf("%s: shown %t", c.name, shown)
		}
	}
	if !strings.Contains(w.get("/").Body.String(), "/codec/decode") {
		t.Error("the index does not list it")
	}
	if rec := newWorld(t).send("POST", "/codec/decode", string(body)); rec.Code != 404 {
		t.Errorf("it is there without being asked for: %d", rec.Code)
	}
	if _, err := New(Options{Temporal: w.server.o.Temporal, Store: w.store, Codec: &CodecOptions{}}); err == nil {
		t.Error("served without a keyring")
	}
}

func TestMissingKeyIsNobodysFault(t *testing.T) {
	p := problemOf(&codec.KeyError{ID: "pk-aaaaaaaaaaaaaaaa"})
	if p.Status != 503 || p.Code != codeKeyMissing || strings.Contains(p.Detail, "pk-") {
		t.Errorf("%+v", p)
	}
}
