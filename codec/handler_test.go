package codec

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const uiOrigin = "http://127.0.0.1:8233"

func endpoint(t *testing.T, o HandlerOptions) http.Handler {
	t.Helper()
	if o.Authorize == nil {
		o.Authorize = func(*http.Request) error { return nil }
	}
	h, err := NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func bodyOf(t *testing.T, payloads ...*commonpb.Payload) string {
	t.Helper()
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: payloads})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestHandlerDecodes(t *testing.T) {
	r := ring(t, false, 1)
	lost := sealed(t, ring(t, false, 2), text("3"))
	w := ask(endpoint(t, HandlerOptions{Keyring: r}), "POST", "/codec/decode?preserveStorageRefs=true", bodyOf(t, sealed(t, r, text("1")), text("2"), lost), "X-Namespace", "default")
	var got commonpb.Payloads
	if err := protojson.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	for i, want := range []*commonpb.Payload{text("1"), text("2"), lost} {
		if !proto.Equal(got.Payloads[i], want) {
			t.Errorf("%d: %v", i, got.Payloads[i])
		}
	}
}

// The SDK's own client of codec endpoints gets on with it.
func TestHandlerServesTheSDK(t *testing.T) {
	r := ring(t, false, 1)
	server := httptest.NewServer(endpoint(t, HandlerOptions{Keyring: r, Encode: true}))
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

func TestHandlerRefuses(t *testing.T) {
	r := ring(t, false, 1)
	good := bodyOf(t, sealed(t, r, text(`"hunter2"`)))
	var log bytes.Buffer
	open := endpoint(t, HandlerOptions{Keyring: r, Origins: []string{uiOrigin}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	asked := 0
	closed := endpoint(t, HandlerOptions{Keyring: r, Encode: true, Authorize: func(*http.Request) error { asked++; return errors.New("no token") }})
	for _, c := range []struct {
		name               string
		h                  http.Handler
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
		{"GET", open, "GET", "/codec/decode", "", nil, 405},
		{"another path", open, "POST", "/codec/keys", good, nil, 404},
		{"a form", open, "POST", "/codec/decode", good, []string{"Content-Type", "text/plain"}, 415},
		{"no JSON", open, "POST", "/codec/decode", "hunter2", nil, 400},
		{"no payloads", open, "POST", "/codec/decode", `{"hunter2":1}`, nil, 400},
		{"nothing", open, "POST", "/codec/decode", ``, nil, 400},
		{"too large", open, "POST", "/codec/decode", strings.Repeat(" ", maxBody+1), nil, 413},
	} {
		w := ask(c.h, c.method, c.path, c.body, c.header...)
		if w.Code != c.code || w.Header().Get("Content-Type") != "application/problem+json" || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if c.code == 403 && w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: pages may read it", c.name)
		}
	}
	if asked != 2 || strings.Contains(log.String(), "hunter2") {
		t.Errorf("asked %d times; log %s", asked, log.String())
	}
}

func TestHandlerAndTheUI(t *testing.T) {
	r := ring(t, false, 1)
	asked := 0
	h := endpoint(t, HandlerOptions{Keyring: r, Origins: []string{"https://ui.example.com", uiOrigin}, Authorize: func(*http.Request) error { asked++; return nil }})
	w := ask(h, "OPTIONS", "/codec/decode", "", "Origin", uiOrigin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-namespace,authorization")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != uiOrigin || w.Header().Get("Access-Control-Allow-Methods") != "POST" ||
		!strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "X-Namespace") || w.Header().Get("Vary") != "Origin" || asked != 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w = ask(h, "POST", "/codec/decode", bodyOf(t, sealed(t, r, text("1"))), "Origin", uiOrigin, "Sec-Fetch-Site", "same-site")
	if w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != uiOrigin || w.Header().Get("Access-Control-Allow-Credentials") != "" || asked != 1 {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestHandlerOptions(t *testing.T) {
	r := ring(t, false, 1)
	yes := func(*http.Request) error { return nil }
	for _, o := range []HandlerOptions{
		{}, {Keyring: r}, {Authorize: yes},
		{Keyring: r, Authorize: yes, Origins: []string{"*"}},
		{Keyring: r, Authorize: yes, Origins: []string{"null"}},
		{Keyring: r, Authorize: yes, Origins: []string{"http://a/"}},
		{Keyring: r, Authorize: yes, Origins: []string{"http://u:p@a"}},
		{Keyring: r, Authorize: yes, Origins: []string{"HTTP://A"}},
		{Keyring: r, Authorize: yes, Origins: []string{"ftp://a"}},
	} {
		if _, err := NewHandler(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

func FuzzHandler(f *testing.F) {
	r := ring(f, false, 1)
	h, err := NewHandler(HandlerOptions{Keyring: r, Encode: true, Authorize: func(*http.Request) error { return nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"payloads":[{"metadata":{"encoding":"YmluYXJ5L2VuY3J5cHRlZA=="},"data":"AA=="},{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/codec/decode", "/codec/encode"} {
			w := ask(h, "POST", path, string(body))
			if w.Code == 500 || w.Code != 200 && !strings.Contains(w.Header().Get("Content-Type"), "problem") {
				answer, _ := io.ReadAll(w.Body)
				t.Errorf("%d %s", w.Code, answer)
			}
		}
	})
}
