package api

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/rest"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const uiOrigin = "http://127.0.0.1:8233"

func keyring(t testing.TB) *codec.Keyring {
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

// codecWorld serves the codec endpoint, and lets everybody use it.
func codecWorld(t testing.TB, o CodecOptions, change ...func(*Options)) *world {
	return newWorld(t, append(change, func(all *Options) { all.Codec = &o })...)
}

func plain(s string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte("json/plain")}, Data: []byte(s)}
}

func sealed(t testing.TB, r *codec.Keyring, p *commonpb.Payload) *commonpb.Payload {
	t.Helper()
	out, err := r.Encode([]*commonpb.Payload{p})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func bodyOf(t testing.TB, payloads ...*commonpb.Payload) string {
	t.Helper()
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: payloads})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestCodecDecodes(t *testing.T) {
	r := keyring(t)
	lost := sealed(t, keyring(t), plain("3"))
	rec := codecWorld(t, CodecOptions{Keyring: r}).send("POST", "/codec/decode?preserveStorageRefs=true",
		bodyOf(t, sealed(t, r, plain("1")), plain("2"), lost), "X-Namespace", "default")
	var got commonpb.Payloads
	if err := protojson.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != 200 {
		t.Fatalf("%d %s %v", rec.Code, rec.Body, err)
	}
	for i, want := range []*commonpb.Payload{plain("1"), plain("2"), lost} {
		if !proto.Equal(got.Payloads[i], want) {
			t.Errorf("%d: %v", i, got.Payloads[i])
		}
	}
}

// The SDK's own client of codec endpoints gets on with it.
func TestCodecServesTheSDK(t *testing.T) {
	r := keyring(t)
	server := httptest.NewServer(codecWorld(t, CodecOptions{Keyring: r, Encode: true}).server)
	defer server.Close()
	dc := converter.NewRemoteDataConverter(converter.GetDefaultDataConverter(), converter.RemoteDataConverterOptions{Endpoint: server.URL + "/codec"})
	p, err := dc.ToPayload("hunter2")
	if err != nil || !r.Current(p) {
		t.Fatalf("%v, %v", p, err)
	}
	var s string
	if err := dc.FromPayload(p, &s); err != nil || s != "hunter2" {
		t.Errorf("%q, %v", s, err)
	}
}

func TestCodecRefuses(t *testing.T) {
	r := keyring(t)
	good := bodyOf(t, sealed(t, r, plain(`"hunter2"`)))
	var log bytes.Buffer
	logged := func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	open := codecWorld(t, CodecOptions{Keyring: r, Origins: []string{uiOrigin}}, logged)
	closed := guardedWorld(t, func(o *Options) { o.Codec = &CodecOptions{Keyring: r, Encode: true} }, logged)
	for _, c := range []struct {
		name               string
		w                  *world
		method, path, body string
		header             []string
		code               int
	}{
		{"not authorized", closed, "POST", "/codec/decode", good, nil, 403},
		{"not authorized to encode", closed, "POST", "/codec/encode", good, nil, 403},
		{"encoding is off", open, "POST", "/codec/encode", good, nil, 403},
		{"another site", open, "POST", "/codec/decode", good, []string{"Origin", "http://evil.example"}, 403},
		{"a sandbox", open, "POST", "/codec/decode", good, []string{"Origin", "null"}, 403},
		{"the UI on another port", open, "POST", "/codec/decode", good, []string{"Origin", "http://127.0.0.1:1"}, 403},
		{"a page without origin", open, "POST", "/codec/decode", good, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another site's preflight", open, "OPTIONS", "/codec/decode", "", []string{"Origin", "http://evil.example"}, 403},
		{"another site's preflight, where callers are known", closed, "OPTIONS", "/codec/decode", "", []string{"Origin", uiOrigin}, 403},
		{"GET", open, "GET", "/codec/decode", "", nil, 405},
		{"another path", open, "POST", "/codec/keys", good, nil, 404},
		{"a form", open, "POST", "/codec/decode", good, []string{"Content-Type", "text/plain"}, 415},
		{"no JSON", open, "POST", "/codec/decode", "hunter2", nil, 400},
		{"no payloads", open, "POST", "/codec/decode", `{"hunter2":1}`, nil, 400},
		{"nothing", open, "POST", "/codec/decode", ``, []string{"Content-Type", "application/json"}, 400},
		{"too large", open, "POST", "/codec/decode", strings.Repeat(" ", maxPayloads+1), nil, 413},
	} {
		rec := c.w.send(c.method, c.path, c.body, c.header...)
		if rec.Code != c.code || rec.Header().Get("Content-Type") != "application/problem+json" || strings.Contains(rec.Body.String(), "hunter2") {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
		if c.code == 403 && rec.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: pages may read it", c.name)
		}
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("log %s", log.String())
	}
}

func TestCodecAndTheUI(t *testing.T) {
	r := keyring(t)
	w := codecWorld(t, CodecOptions{Keyring: r, Origins: []string{"https://ui.example.com", uiOrigin}})
	rec := w.send("OPTIONS", "/codec/decode", "", "Origin", uiOrigin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-namespace,authorization")
	if rec.Code != 204 || rec.Header().Get("Access-Control-Allow-Origin") != uiOrigin || rec.Header().Get("Access-Control-Allow-Methods") != "POST" ||
		!strings.Contains(rec.Header().Get("Access-Control-Allow-Headers"), "X-Namespace") || rec.Header().Get("Vary") != "Origin" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	rec = w.send("POST", "/codec/decode", bodyOf(t, sealed(t, r, plain("1"))), "Origin", uiOrigin, "Sec-Fetch-Site", "same-site")
	if rec.Code != 200 || rec.Header().Get("Access-Control-Allow-Origin") != uiOrigin || rec.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	// A preflight carries no credentials.
	known := guardedWorld(t, func(o *Options) { o.Codec = &CodecOptions{Keyring: r, Origins: []string{uiOrigin}} })
	if rec := known.send("OPTIONS", "/codec/decode", "", "Origin", uiOrigin); rec.Code != 204 {
		t.Errorf("where callers are known: %d %s", rec.Code, rec.Body)
	}
}

func TestCodecOptions(t *testing.T) {
	r := keyring(t)
	for _, o := range []CodecOptions{
		{},
		{Keyring: r, Origins: []string{"*"}},
		{Keyring: r, Origins: []string{"null"}},
		{Keyring: r, Origins: []string{"http://a/"}},
		{Keyring: r, Origins: []string{"http://u:p@a"}},
		{Keyring: r, Origins: []string{"HTTP://A"}},
		{Keyring: r, Origins: []string{"ftp://a"}},
	} {
		if o.validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func FuzzCodec(f *testing.F) {
	w := codecWorld(f, CodecOptions{Keyring: keyring(f), Encode: true})
	f.Add([]byte(`{"payloads":[{"metadata":{"encoding":"YmluYXJ5L2VuY3J5cHRlZA=="},"data":"AA=="},{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/codec/decode", "/codec/encode"} {
			r := httptest.NewRequest("POST", path, bytes.NewReader(body))
			r.Host = "localhost"
			r.Header.Set("Content-Type", "application/json")
			rec := httptest.NewRecorder()
			w.server.ServeHTTP(rec, r)
			if rec.Code == 500 || rec.Code != 200 && !strings.Contains(rec.Header().Get("Content-Type"), "problem") {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		}
	})
}
