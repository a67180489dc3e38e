package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

// FuzzBodies sends anything to every route that takes a body: bad input is a client's error, and
// what is refused reaches nobody.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"tool":"refund","args":{"a":[1,{"b":null}]},"wait":"0s"}`, `{"tool":"refund","wait":1e309}`,
		`{"tool":"refund","idempotency_key":"k","labels":{"a":"b"},"timeout":"1h"}`, `{"notes":"fine","digest":"d1","decision_id":"x"}`,
		`{"notes":"\ud800"}`, `{"tool":"t","args":{"a":1,"a":2}}`, "{\"notes\":\"\xff\"}", `{"tool":"t","wait":-1}`, strings.Repeat(`{"a":`, 200),
	} {
		f.Add("pawl-1", body, "application/json", "ana", "")
	}
	f.Add("a/b%2f\x00", `{"tool":"t"}`, "text/html", "a\u200b", "k\xff")
	f.Fuzz(func(t *testing.T, id, body, mediaType, name, key string) {
		w := newWorld(t, func(o *Options) { o.MaxWait, o.QueryBudget = time.Millisecond, time.Millisecond })
		w.request("pawl-1")
		w.store.put(store.Record{View: view("pawl-2", approval.StatusExecuting)})
		for _, path := range []string{
			"/api/calls", callPath(id) + "/cancel", "/api/requests/" + url.PathEscape(id) + "/approve", "/api/requests/" + url.PathEscape(id) + "/reject",
		} {
			header := []string{"Content-Type", mediaType}
			if name != "" {
				header = append(header, "X-Pawl-Reviewer", name)
			}
			if key != "" {
				header = append(header, "Idempotency-Key", key)
			}
			rec := w.send("POST", path, body, header...)
			if rec.Code >= 500 || rec.Code < 200 {
				t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
			}
			if !json.Valid(rec.Body.Bytes()) {
				t.Fatalf("%s: not JSON: %s", path, rec.Body)
			}
		}
		for _, path := range []string{
			callPath(id) + "?wait=" + url.QueryEscape(key), "/api/requests/" + url.PathEscape(id), decisionPath(id, key),
			"/api/requests?tool=" + url.QueryEscape(id) + "&limit=" + url.QueryEscape(key), "/api/audit?request_id=" + url.QueryEscape(id),
		} {
			if rec := w.get(path); rec.Code >= 500 {
				t.Fatalf("%s: %d %s", path, rec.Code, rec.Body)
			}
		}
	})
}
