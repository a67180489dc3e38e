package httptool

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// Every status that a server can answer, by what it says of the tool, whatever the body says.
func TestEveryStatus(t *testing.T) {
	status := 0
	bodies := map[string]string{"text/plain": "it did not run", "application/json": `{"ran":false}`, "": ""}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		media := r.Header.Get("X-Media")
		w.Header()["Content-Type"] = []string{media}
		w.WriteHeader(status)
		io.WriteString(w, bodies[media])
	}))
	defer server.Close()
	perhaps := []int{408, 425, 429, 499}
	for status = 200; status < 800; status += 1 {
		switch {
		case status%100 > 31 && status%100 < 98 && status/100 != 4: // like their neighbours
			continue
		}
		want := "unknown"
		switch {
		case status/100 == 2:
			want = "result"
		case status/100 == 4 && !slices.Contains(perhaps, status):
			want = "failed"
		}
		for media := range bodies {
			o := options(server.URL)
			o.Headers = map[string]string{"X-Media": media}
			if end, text := run(t, o, nil); end != want || end != "result" && !strings.Contains(text, fmt.Sprint(status)) {
				t.Errorf("%d with %q: %s (%s), want %s", status, media, end, text, want)
			}
		}
	}
}

// A tool may mean its answers otherwise: only those that it names.
func TestSortedStatuses(t *testing.T) {
	status := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
	}))
	defer server.Close()
	for code, want := range map[int]string{
		200: "result", 201: "failed", 202: "unknown", 204: "result", 302: "failed", 303: "unknown", 404: "unknown",
		405: "failed", 428: "failed", 429: "failed", 430: "failed", 499: "unknown", 503: "failed", 502: "unknown", 504: "unknown",
	} {
		status = code
		o := options(server.URL)
		o.FailedStatuses, o.UnknownStatuses = []int{201, 302, 429, 503}, []int{202, 404}
		expect(t, o, nil, want, "")
	}
	for name, o := range map[string]Options{
		"twice":      {FailedStatuses: []int{429, 429}},
		"both":       {FailedStatuses: []int{429}, UnknownStatuses: []int{429}},
		"no answer":  {UnknownStatuses: []int{100}},
		"no status":  {FailedStatuses: []int{600}},
		"not at all": {FailedStatuses: []int{0}},
	} {
		good := options(server.URL)
		good.FailedStatuses, good.UnknownStatuses = o.FailedStatuses, o.UnknownStatuses
		if _, err := New(good); err == nil || !strings.Contains(err.Error(), "sorted twice, or not in 200 to 599") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A result that has the form of MCP's says itself that the tool failed.
func TestErrorsOfMCP(t *testing.T) {
	body, media := "", ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		io.WriteString(w, body)
	}))
	defer server.Close()
	for text, c := range map[string]struct{ end, says string }{
		`{"content":[{"type":"text","text":"no such repository"}],"isError":true}`:             {"failed", "no such repository"},
		`{"content":[{"type":"image"},{"type":"text","text":"a\u001bb\nc"}],"isError": true }`: {"failed", "a\\u{001B}b\nc"},
		`{"content":[],"isError":true}`:                             {"failed", "isError"},
		`{"isError":true,"reason":"x"}`:                             {"failed", "isError"},
		`{"content":[{"type":"text","text":"ok"}],"isError":false}`: {"result", "ok"},
		`{"content":[{"type":"text","text":"ok"}]}`:                 {"result", "ok"},
		`{"isError":"true","content":[]}`:                           {"result", "true"},
		`{"isError":1}`:                                             {"result", "1"},
		`{"iserror":true}`:                                          {"result", "true"},
		`{"result":{"isError":true}}`:                               {"result", "true"},
		`[{"isError":true}]`:                                        {"result", "true"},
		`{"isError":true,"content":"a report about isError"}`:       {"result", "report"},
		`null`: {"result", "null"},
	} {
		body, media = text, "application/json"
		expect(t, options(server.URL), nil, c.end, c.says)
		media = "text/plain" // then it is a text, and says nothing
		expect(t, options(server.URL), nil, "result", "")
	}
}
