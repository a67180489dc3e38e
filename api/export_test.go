package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
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

// A whole export has the checkpoints behind what they cover, and no index of what was sealed after it
// began; one with filters has no checkpoints.
func TestExportOfASealedLog(t *testing.T) {
	w := newWorld(t)
	w.request("pawl-1")
	for i := range int64(5) {
		w.entry("pawl-1", fmt.Sprint(i), audit.Ended{})
		w.store.entries[i].Index = &i
	}
	w.store.entries[4].Index = nil
	w.store.signed = []store.Checkpoint{{Size: 1, Note: "one"}, {Size: 3, Note: "three", Cosigned: "three, by more"}}
	lines := func(query string) (said string) {
		for line := range strings.Lines(w.get("/api/audit/export" + query).Body.String()) {
			var l struct {
				Index      *int64
				Checkpoint string
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			switch {
			case l.Index != nil:
				said += fmt.Sprint(" ", *l.Index)
			case l.Checkpoint != "":
				said += " " + l.Checkpoint
			default:
				said += " -"
			}
		}
		return said
	}
	if got := lines(""); got != " 0 one 1 2 three, by more - -" {
		t.Errorf("the lines are%s", got)
	}
	if got := lines("?request_id=pawl-1"); got != " 0 1 2 - -" {
		t.Errorf("with a filter they are%s", got)
	}
}
