package api

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/rest"
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
	if p.Status != 503 || p.Code != rest.CodeKeyMissing || strings.Contains(p.Detail, "pk-") {
		t.Errorf("%+v", p)
	}
}

// Where callers are known, only administrators may have payloads decoded.
func TestCodecIsForAdmins(t *testing.T) {
	w := guardedWorld(t, func(o *Options) {
		o.Codec = &CodecOptions{Keyring: keyring(t), Origins: []string{uiOrigin}, Encode: true}
	})
	for who, c := range map[string]struct {
		token  string
		status int
	}{
		"nobody":                        {"", 403},
		"a made-up":                     {"pawl_person_made-up", 403},
		"an agent":                      {w.token("agent:a", rest.RoleAgent), 403},
		"a reviewer, auditor and agent": {w.token("rita", rest.RoleReviewer, rest.RoleAuditor, rest.RoleAgent), 403},
		"an admin":                      {w.token("root", rest.RoleAdmin), 200},
	} {
		for _, path := range []string{"/codec/decode", "/codec/encode", "/codec/default/decode"} {
			header := []string{"Origin", uiOrigin}
			if c.token != "" {
				header = append(header, "Authorization", "Bearer "+c.token)
			}
			if rec := w.send("POST", path, `{"payloads":[]}`, header...); rec.Code != c.status {
				t.Errorf("%s to %s: %d %s", who, path, rec.Code, rec.Body)
			}
		}
	}
}
