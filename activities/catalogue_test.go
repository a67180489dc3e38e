package activities_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

func spec(name string) approval.ToolSpec {
	return approval.ToolSpec{Name: name, Schema: json.RawMessage(`{"type":"object","required":["to"]}`), Heartbeat: approval.Duration(time.Second)}
}

func (b *bench) publish(agent string, specs ...approval.ToolSpec) (out approval.Published, err error) {
	b.t.Helper()
	v, err := b.ExecuteActivity(b.acts.Publish, approval.Publication{Agent: agent, Tools: specs})
	if err == nil {
		err = v.Get(&out)
	}
	return out, err
}

func TestPublish(t *testing.T) {
	b := setup(t)
	out, err := b.publish("a", spec("mail"), spec("mail"), spec("not a name"), spec("pay"), approval.ToolSpec{Name: "bad", Schema: json.RawMessage(`{"type":"string"}`)})
	if err != nil {
		t.Fatal(err)
	}
	var refused []string
	for _, r := range out.Refused {
		refused = append(refused, r.Name+": "+r.Reason)
	}
	for _, want := range []string{"mail: the name is in the publication twice", "not a name: ", "pay: Pawl's own worker offers", "bad: "} {
		if !strings.Contains(strings.Join(refused, "\n"), want) {
			t.Errorf("%q is missing in %q", want, refused)
		}
	}
	row, err := b.store.Tool(t.Context(), "mail")
	if err != nil || row.Queue != "pawl-tools-a" || row.Publisher != "pawl-tools-a" || row.Kind != "activity" ||
		row.Heartbeat != approval.Duration(time.Second) || row.Timeout != approval.Duration(time.Minute) || row.SchemaDigest == "" {
		t.Errorf("%+v, %v", row, err)
	}
	if out, err := b.publish("b", spec("mail")); err != nil || len(out.Refused) != 1 || !strings.Contains(out.Refused[0].Reason, "published by the task queue pawl-tools-a;") ||
		!strings.Contains(out.Refused[0].Reason, "'pawl tools forget mail'") {
		t.Errorf("%+v, %v; want the name to be a's", out, err)
	}
	for _, agent := range []string{"", "a\nb"} {
		if _, err := b.publish(agent, spec("mail")); code(err) != approval.CodeInvalid {
			t.Errorf("agent %q: %v", agent, err)
		}
	}
}

// A call is judged by the tool as it is in the catalogue at that time.
func TestAdmitToolsOfAgents(t *testing.T) {
	b := setup(t)
	admit := func(id, args string) approval.View {
		t.Helper()
		adm := b.admitCall(id, approval.Call{Tool: "mail", Args: json.RawMessage(args)})
		if adm.View.Status == approval.StatusPending && adm.Queue != "pawl-tools-a" {
			t.Errorf("%s: %s, on queue %q", id, adm.View.Status, adm.Queue)
		}
		return adm.View
	}
	blocked := func(v approval.View, code string) {
		t.Helper()
		if v.Error == nil || v.Error.Code != code {
			t.Errorf("%s: %s %+v, want %s", v.ID, v.Status, v.Error, code)
		}
	}
	blocked(admit("c1", `{"to":"x"}`), approval.CodeUnknownTool)
	if _, err := b.publish("a", spec("mail")); err != nil {
		t.Fatal(err)
	}
	admit("c2", `{"to":"x"}`)
	blocked(admit("c3", `{}`), approval.CodeBadArguments)
	looser := spec("mail")
	looser.Schema = json.RawMessage(`{"type":"object"}`)
	if _, err := b.publish("a", looser); err != nil {
		t.Fatal(err)
	}
	admit("c4", `{}`)

	// What only other workers of the operator can run is not offered here.
	_, err := b.store.PublishTools(t.Context(), store.Publication{Publisher: "pawl-2", Operator: true, Tools: []store.Tool{
		{Name: "mail", Queue: "pawl-2", Kind: "http", Publisher: "pawl-2"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	blocked(admit("c5", `{"to":"x"}`), approval.CodeUnknownTool)
}
