package attempts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// shelf is a Reader over some records.
type shelf struct {
	records  map[string]store.Record
	previous []approval.View
	err      error
}

func (s shelf) Call(_ context.Context, id string) (store.Record, error) {
	r, ok := s.records[id]
	if !ok {
		return r, errors.Join(store.ErrNotFound, s.err)
	}
	return r, nil
}

func (s shelf) Previous(context.Context, string) ([]approval.View, error) { return s.previous, s.err }

var at = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func record(id, of, args string) store.Record {
	return store.Record{View: approval.View{
		ID: id, AttemptOf: of, Tool: "deploy", Args: json.RawMessage(args), Requester: "ci", Agent: "bot",
		Status: approval.StatusPending, CreatedAt: at,
	}}
}

func rejected(r store.Record, by, notes string) store.Record {
	r.View.End(approval.Outcome{Status: approval.StatusRejected, Decision: &approval.FinalDecision{
		Kind: approval.FinalReject, By: by, Notes: notes,
	}}, at.Add(time.Minute))
	return r
}

func TestBefore(t *testing.T) {
	s := shelf{records: map[string]store.Record{
		"a": rejected(record("a", "", `{"how":"all","n":12}`), "cy", "not before the sale"),
		"b": rejected(record("b", "a", `{"how":"all","n":11}`), "bo", "use rolling"),
	}}
	s.previous = []approval.View{s.records["b"].View, rejected(record("z", "", `{}`), "ana", "no").View}
	attempts, previous, err := Before(t.Context(), s, record("c", "b", `{"how":"rolling","n":11}`))
	if err != nil {
		t.Fatal(err)
	}
	end := at.Add(time.Minute)
	want := []rest.Attempt{
		{
			PastCall: rest.PastCall{ID: "a", Status: approval.StatusRejected, By: "cy", Notes: "not before the sale", At: end},
			Tool:     "deploy", Changed: []present.Change{{Path: "/n", Was: raw("12"), Now: raw("11")}},
		},
		{
			PastCall: rest.PastCall{ID: "b", Status: approval.StatusRejected, By: "bo", Notes: "use rolling", At: end},
			Tool:     "deploy", AttemptOf: "a",
			Changed: []present.Change{{Path: "/how", Was: raw(`"all"`), Now: raw(`"rolling"`)}},
		},
	}
	for i, lines := range []string{"- /n: 12\n+ /n: 11", "- /how: \"all\"\n+ /how: \"rolling\""} {
		if got := strings.Join(attempts[i].Compare[0].PlainLines(), "\n"); got != lines {
			t.Errorf("compared:\n%s\nwant\n%s", got, lines)
		}
		attempts[i].Compare = nil
	}
	if !reflect.DeepEqual(attempts, want) {
		t.Errorf("attempts %+v\nwant %+v", attempts, want)
	}
	if len(previous) != 1 || previous[0].ID != "z" || previous[0].Notes != "no" { // b is an attempt
		t.Errorf("previous: %+v", previous)
	}
}

// The chain ends where it leads nowhere, to somebody else or in a circle, and after MaxAttempts.
func TestChainsEnd(t *testing.T) {
	foreign, otherAgent := record("foreign", "a", `{}`), record("other", "a", `{}`)
	foreign.View.Requester, otherAgent.View.Agent = "eve", "eve"
	s := shelf{records: map[string]store.Record{
		"foreign": foreign, "other": otherAgent, "circle": record("circle", "call", `{}`), "gone": record("gone", "x", `{}`),
		"self": record("self", "self", `{}`),
	}}
	for i := range 3 * rest.MaxAttempts {
		id := fmt.Sprint("long-", i)
		s.records[id] = record(id, fmt.Sprint("long-", i+1), `{}`)
	}
	for of, want := range map[string]int{
		"": 0, "missing": 0, "foreign": 0, "other": 0, "circle": 1, "call": 0, "gone": 1, "self": 1,
		"long-0": rest.MaxAttempts,
	} {
		attempts, _, err := Before(t.Context(), s, record("call", of, `{}`))
		if err != nil || len(attempts) != want {
			t.Errorf("after %q: %d attempts, %v; want %d", of, len(attempts), err, want)
		}
	}
	s.previous = []approval.View{foreign.View, otherAgent.View}
	if _, previous, err := Before(t.Context(), s, record("call", "", `{}`)); err != nil || len(previous) != 0 {
		t.Errorf("somebody else's: %+v, %v", previous, err)
	}
	s.err = store.ErrDamaged
	if _, _, err := Before(t.Context(), s, record("call", "", `{}`)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a store that fails: %v", err)
	}
}

// A policy that began to hide a value, or stopped, hides it in all attempts: the value of today may be
// that of yesterday.
func TestDiffHidesWhatEitherVerdictHides(t *testing.T) {
	const secret = "hunter2-and-more"
	open := record("a", "", `{"password":"`+secret+`","say":"it is `+secret+`","pin":7,"n":1}`)
	hiding := record("b", "a", `{"password":"`+secret+`","say":"it is `+secret+`","pin":8,"n":2}`)
	hiding.Verdict.Redact = []string{"password", "pin"}
	hiding.View.Args = redact.New(hiding.Verdict.Redact, "").Args(hiding.View.Args)
	for _, pair := range [][2]store.Record{{open, hiding}, {hiding, open}} {
		changes, _ := changed(pair[0], pair[1])
		doc, err := json.Marshal(changes)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(doc), secret) || strings.Contains(string(doc), ":7") || strings.Contains(string(doc), ":8") {
			t.Errorf("the comparison shows what is hidden: %s", doc)
		}
		var open []string
		for _, c := range changes {
			if !c.Hidden {
				open = append(open, c.Path)
			}
		}
		if len(open) != 1 || open[0] != "/n" || len(changes) != 4 {
			t.Errorf("%s", doc)
		}
	}
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }
