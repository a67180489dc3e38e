package api

import (
	"encoding/json"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/present/presenttest"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// Whatever an agent writes, summary, blocks and comparisons hold text and marks only, and count what
// is found.
func TestShownHostileTexts(t *testing.T) {
	for n, attack := range presenttest.Attacks {
		w := newWorld(t)
		shapes := presenttest.Shapes(attack.Text)
		id, earlier := "pawl-1", "pawl-0"
		for i, args := range shapes {
			if (n+i)%5 != 0 { // package present's tests go through all of them
				continue
			}
			v := presenttest.View(attack.Text)
			v.ID, v.Args, v.AttemptOf = id, args, earlier
			past := v
			past.ID, past.Args, past.AttemptOf, past.Tool = earlier, shapes[(i+1)%len(shapes)], "", "other"
			w.store.put(store.Record{View: past, IsRequest: true})
			w.store.put(store.Record{View: v, IsRequest: true})
			var one rest.Request
			read(t, w.get("/api/requests/"+id).Body.Bytes(), &one)
			var list rest.Page[rest.ListedRequest]
			read(t, w.get("/api/requests?status=all").Body.Bytes(), &list)
			check := func(what string, spans []present.Span) {
				for _, s := range spans {
					if raw := presenttest.Raw(s.Text + s.Name); len(raw) > 0 {
						t.Errorf("%s of %s: %U", what, args, raw)
					}
				}
			}
			check("summary", one.Summary)
			for _, item := range list.Items {
				check("summary in the list", item.Summary)
			}
			if len(one.Summary) == 0 || len(list.Items) != 2 || len(one.Attempts) != 1 || len(one.Attempts[0].Compare) == 0 {
				t.Fatalf("%s: %d in the list, %+v", args, len(list.Items), one)
			}
			for _, b := range append(one.Blocks, one.Attempts[0].Compare...) {
				for _, spans := range spansOf(b) {
					check(string(b.Kind), spans)
				}
			}
			wants := attack.Hidden+attack.Look+attack.Gaps > 0
			if (one.Found != nil) != wants || wants && (one.Found.Hidden < attack.Hidden || one.Found.Look < attack.Look) {
				t.Errorf("%s: found %+v", args, one.Found)
			}
		}
	}
}

func spansOf(b present.Block) (all [][]present.Span) {
	all = append(append(all, b.Name, b.Note), b.Columns...)
	lines := b.Lines
	for _, r := range b.Rows {
		all = append(append(all, r.Name, r.Note), r.Cells...)
		lines = append(append(lines, r.Was...), r.Value...)
	}
	for _, l := range lines {
		all = append(all, l.Spans)
	}
	return all
}

// Honest calls have no finding.
func TestShownHonestTexts(t *testing.T) {
	w := newWorld(t)
	for i, honest := range presenttest.Honest() {
		if i%4 != 0 {
			continue
		}
		args, err := json.Marshal(map[string]string{"message": honest.Text})
		if err != nil {
			t.Fatal(err)
		}
		v := approval.View{ID: "pawl-1", Tool: "send", Args: args, Title: honest.Text, Status: approval.StatusPending}
		w.store.put(store.Record{View: v, IsRequest: true})
		var one rest.Request
		read(t, w.get("/api/requests/pawl-1").Body.Bytes(), &one)
		if one.Found != nil || len(one.Blocks) == 0 {
			t.Errorf("%s: %s: found %+v in %d blocks", honest.Language, honest.Text, one.Found, len(one.Blocks))
		}
	}
}

// A hidden value is said to be so by the field that the call's verdict names.
func TestShownRedactions(t *testing.T) {
	w := newWorld(t)
	v := approval.View{ID: "pawl-1", Tool: "send", Args: raw(`{"cardNumber":"[redacted]"}`), Status: approval.StatusPending}
	w.store.put(store.Record{View: v, IsRequest: true, Verdict: approval.Verdict{Redact: []string{"pin", "card"}}})
	var one rest.Request
	read(t, w.get("/api/requests/pawl-1").Body.Bytes(), &one)
	want := present.Span{Kind: present.Redacted, Text: "[redacted]", Name: "redacted: card"}
	if got := one.Blocks[0].Rows[0].Value[0].Spans; len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func read(t *testing.T, doc []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(doc, into); err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
}
