package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
)

func TestExport(t *testing.T) {
	w := newWorld(t)
	w.request("pawl-1")
	w.entry("pawl-1", "admit", audit.Requested{Call: approval.View{Tool: "refund <b>"}})
	w.entry("pawl-1", "end", audit.Ended{})
	w.store.entries[1].Damage = "its payload differs from its payload hash"
	rec := w.get("/api/audit/export?request_id=pawl-1")
	if rec.Code != 200 || rec.Header().Get("Content-Type") != rest.NDJSON {
		t.Fatalf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	lines := strings.Split(strings.TrimSuffix(rec.Body.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	for i, line := range lines {
		var got rest.ExportedEntry
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		e := w.store.entries[i]
		if got.Metadata != string(e.Metadata) || got.LeafHash != e.Leaf.String() || got.Damage != e.Damage ||
			string(got.Payload) != string(e.Payload) || got.Step != e.Step || got.Problem != "" {
			t.Errorf("line %d is %s", i, line)
		}
	}
	for query, code := range map[string]int{
		"order=newest": 400, "limit=3": 400, "kind=bogus": 400, "request_id=none": 404, "until=x": 400,
	} {
		if rec := w.get("/api/audit/export?" + query); rec.Code != code {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
	w.store.err = errors.New("the store is down")
	if rec := w.get("/api/audit/export"); rec.Code != 503 {
		t.Errorf("with the store down: %d %s", rec.Code, rec.Body)
	}
}
