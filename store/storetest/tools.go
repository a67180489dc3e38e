package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

// catalogue fails unless the catalogue holds exactly these tools, by name.
func catalogue(t *testing.T, s store.Store, want ...store.Tool) {
	t.Helper()
	got, err := s.Tools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the catalogue", slices.Concat([]store.Tool{}, got), slices.Concat([]store.Tool{}, want))
	for _, tool := range want {
		one, err := s.Tool(t.Context(), tool.Name)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the tool "+tool.Name, one, tool)
	}
}

func publish(t *testing.T, s store.Store, p store.Publication, refused ...string) {
	t.Helper()
	got, err := s.PublishTools(t.Context(), p)
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(got)), refused) {
		t.Errorf("PublishTools by %s refused %q, %v; want %q", p.Publisher, got, err, refused)
	}
}

func operator(queue string, tools ...store.Tool) store.Publication {
	return store.Publication{Publisher: queue, Operator: true, Tools: tools}
}

func agent(queue string, tools ...store.Tool) store.Publication {
	return store.Publication{Publisher: queue, Tools: tools}
}

func toolsOfOperators(t *testing.T, s store.Store) {
	catalogue(t, s)
	publish(t, s, operator("pawl"))
	pay := store.Tool{
		Name: "pay", Description: awkward, Queue: "pawl", Kind: "http", Idempotent: true,
		Schema: json.RawMessage(`{"type":"object","required":["amount"]}`), SchemaDigest: "abc",
		Timeout: approval.Duration(1500 * time.Millisecond), Publisher: "pawl",
	}
	read := store.Tool{
		Name: "Read", Queue: "elsewhere", Kind: "activity", Publisher: "pawl",
		Heartbeat: approval.Duration(time.Second),
	}
	publish(t, s, operator("pawl", pay, read))
	catalogue(t, s, read, pay) // upper case is before lower case, whatever the locale
	publish(t, s, operator("pawl", pay, read))
	catalogue(t, s, read, pay)
	publish(t, s, operator("pawl", read)) // pay is offered no longer
	catalogue(t, s, read)
	read.Publisher = "pawl-2"
	publish(t, s, operator("pawl-2", read)) // taken over
	publish(t, s, operator("pawl"))
	catalogue(t, s, read)
	_, err := s.Tool(t.Context(), "pay")
	fails(t, "Tool, of a name that nobody offers any more", err, store.ErrNotFound)
	_, err = s.Tool(t.Context(), "a\x00b")
	fails(t, "Tool, of a name that can't be", err, store.ErrNotFound)
}

func toolsOfAgents(t *testing.T, s store.Store) {
	a := store.Tool{Name: "a", Queue: "pawl-tools-a", Kind: "activity", Publisher: "pawl-tools-a"}
	b := store.Tool{Name: "b", Queue: "pawl-tools-a", Kind: "activity", Publisher: "pawl-tools-a"}
	publish(t, s, agent("pawl-tools-a", a))
	publish(t, s, agent("pawl-tools-a", b)) // a stays
	catalogue(t, s, a, b)
	a.Description = "another"
	publish(t, s, agent("pawl-tools-a", a)) // its publisher may change it
	catalogue(t, s, a, b)

	theirs, c := a, store.Tool{Name: "c", Queue: "pawl-tools-b", Publisher: "pawl-tools-b"}
	theirs.Queue, theirs.Publisher = "pawl-tools-b", "pawl-tools-b"
	publish(t, s, agent("pawl-tools-b", theirs, c), "a") // nobody else may
	catalogue(t, s, a, b, c)
	ours := store.Tool{Name: "a", Queue: "pawl", Kind: "http", Publisher: "pawl"}
	publish(t, s, operator("pawl", ours)) // but the operator
	publish(t, s, agent("pawl-tools-a", a, b), "a")
	catalogue(t, s, ours, b, c)
	publish(t, s, operator("pawl"))
	publish(t, s, agent("pawl-tools-b", theirs)) // free again
	catalogue(t, s, theirs, b, c)
}

func toolsForgotten(t *testing.T, s store.Store) {
	forget := func(want []string, names ...string) {
		t.Helper()
		got, err := s.ForgetTools(t.Context(), names...)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("ForgetTools(%q) = %q, %v; want %q", names, got, err, want)
		}
	}
	forget(nil)
	forget(nil, "a")
	tool := func(name, queue string) store.Tool {
		return store.Tool{Name: name, Queue: queue, Kind: "activity", Publisher: queue}
	}
	a, b, c := tool("a", "pawl-tools-a"), tool("b", "pawl-tools-a"), tool("c", "pawl-tools-a")
	pay := tool("pay", "pawl")
	publish(t, s, agent("pawl-tools-a", c, b, a))
	publish(t, s, operator("pawl", pay))
	forget(nil)
	forget(nil, "", "A", "%", "a\x00b", "\xff")
	catalogue(t, s, a, b, c, pay)
	forget([]string{"a", "c", "pay"}, "pay", "none", "c", "a", "c", "a\x00b")
	catalogue(t, s, b)
	forget(nil, "a", "c", "pay")
	theirs := tool("a", "pawl-tools-b")
	publish(t, s, agent("pawl-tools-b", theirs)) // the name is free
	publish(t, s, agent("pawl-tools-a", a, c), "a")
	catalogue(t, s, theirs, b, c)
}

func toolsAtOnce(t *testing.T, s store.Store) {
	refusals := make([]int, many)
	together(many, func(i int) {
		queue := fmt.Sprintf("pawl-tools-%d", i)
		offer := agent(queue, store.Tool{Name: "a", Queue: queue, Publisher: queue})
		refused, err := s.PublishTools(t.Context(), offer)
		if err != nil {
			t.Error(err)
		}
		refusals[i] = len(refused)
	})
	won := slices.Index(refusals, 0)
	tool, err := s.Tool(t.Context(), "a")
	if err != nil || won < 0 || slices.Contains(refusals[won+1:], 0) ||
		tool.Publisher != fmt.Sprintf("pawl-tools-%d", won) {
		t.Errorf("of many publishers at once, refusals are %v and the tool is %s's, %v",
			refusals, tool.Publisher, err)
	}
}

func toolsInvalid(t *testing.T, s store.Store) {
	tool := func(name string) store.Tool { return store.Tool{Name: name, Queue: "q", Publisher: "q"} }
	broken := tool("b")
	broken.Schema = json.RawMessage(`{`)
	for what, p := range map[string]store.Publication{
		"a tool without a name":        operator("q", tool("b"), tool("")),
		"a name twice":                 operator("q", tool("b"), tool("b")),
		"another publisher's tool":     operator("r", tool("b")),
		"a tool on no queue":           operator("q", store.Tool{Name: "b", Publisher: "q"}),
		"nobody":                       operator("", store.Tool{Name: "b", Queue: "q"}),
		"a schema that is not JSON":    operator("q", broken),
		"an agent's name twice":        agent("q", tool("b"), tool("b")),
		"an agent with another's tool": agent("r", tool("b")),
	} {
		_, err := s.PublishTools(t.Context(), p)
		invalid(t, what, err)
	}
	catalogue(t, s)
}

// elsewhere is a claim whose permit is handed to other workers.
func elsewhere(t *testing.T, id, run string) store.ClaimParams {
	c := claiming(t, id)
	c.Run, c.Queue = run, "tools-python"
	return c
}

func claimElsewhere(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "a"))
	first := claim(t, s, elsewhere(t, "a", "run-1"))
	want := store.Permit{Run: "run-1", At: after(2), GoodUntil: after(1000), Queue: "tools-python"}
	if first.Permit == nil || *first.Permit != want {
		t.Fatalf("the claim is %+v, want %+v", first.Permit, want)
	}
	isStored(t, s, first)
	same(t, "the answer to another run", claim(t, s, elsewhere(t, "a", "run-2")), first)
	fails(t, "Use of a permit that was handed away", s.Use(t.Context(), using(t, "a")), store.ErrNoPermit)

	a := allowed(t, "b")
	a.Queue = "tools-python"
	if r := isStored(t, s, admit(t, s, a)); r.Permit == nil || r.Permit.Queue != "tools-python" {
		t.Errorf("the claim of an allowed call is %+v", r.Permit)
	}
	fails(t, "Use of an allowed call's", s.Use(t.Context(), using(t, "b")), store.ErrNoPermit)
}

func finishElsewhere(t *testing.T, s store.Store) {
	for _, id := range []string{"a", "b", "c"} {
		admit(t, s, waiting(t, id))
		claim(t, s, elsewhere(t, id, "run-1"))
	}
	f := ending(t, "a", approval.StatusExpired)
	for _, run := range []string{"", "run-2"} {
		f.Run = run
		_, _, err := s.Finish(t.Context(), f)
		fails(t, "a denial by a run that can't know, "+run, err, store.ErrStarted)
	}
	f.Run = "run-1"
	if r := isStored(t, s, finish(t, s, f)); r.Permit == nil || !r.Permit.Void {
		t.Errorf("the claim of a tool that nobody started is %+v", r.Permit)
	}
	f = ending(t, "b", approval.StatusExecuted)
	f.Run = "run-1"
	finish(t, s, f)
	f = ending(t, "c", approval.StatusOutcomeUnknown)
	f.Run = "run-2"
	finish(t, s, f)
	_, _, err := s.Finish(t.Context(), ending(t, "d", approval.StatusExecuted))
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Finish of an unknown call: %v", err)
	}
}

func ownTools(t *testing.T, s store.Store) {
	from := func(agent, source string, names ...string) []string {
		t.Helper()
		var tools []store.OwnTool
		for _, name := range names {
			tools = append(tools, store.OwnTool{Name: name, Description: "of " + agent, Schema: []byte(`{"type":"object"}`)})
		}
		taken, err := s.PublishOwn(t.Context(), agent, source, tools)
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	publish := func(agent string, names ...string) []string { return from(agent, "", names...) }
	known := func(agent, name string, want bool) {
		t.Helper()
		if _, err := s.OwnTool(t.Context(), agent, name); (err == nil) != want || err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s of %s: %v", name, agent, err)
		}
	}
	publish("ann", "bash", "edit")
	publish("bob", "bash")
	publish("ann", "bash", "read")
	for name, there := range map[string]bool{"bash": true, "read": true, "edit": false, "b\x00": false} {
		tool, err := s.OwnTool(t.Context(), "ann", name)
		if there && (err != nil || tool.Name != name || tool.Description != "of ann") || !there && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %+v, %v", name, tool, err)
		}
	}
	worker := store.Tool{Name: "deploy", Queue: "pawl", Kind: "go", Publisher: "pawl"}
	if _, err := s.PublishTools(t.Context(), store.Publication{Publisher: "pawl", Operator: true, Tools: []store.Tool{worker}}); err != nil {
		t.Fatal(err)
	}
	if taken := publish("ann", "deploy", "new"); len(taken) != 1 || taken[0] != "deploy" {
		t.Errorf("taken: %q", taken)
	}
	if _, err := s.OwnTool(t.Context(), "ann", "bash"); err != nil {
		t.Errorf("what was there before is gone: %v", err)
	}
	if _, err := s.OwnTool(t.Context(), "ann", "new"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a refused list was written: %v", err)
	}
	publish("ann")
	if _, err := s.OwnTool(t.Context(), "ann", "bash"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an empty list left a tool: %v", err)
	}
	// Each source has a list of its own, and touches the others' names only where it has them, too.
	publish("ann", "bash", "read")
	from("ann", "mcp:files", "files.read", "files.write")
	from("ann", "mcp:mail", "mail.send", "read")
	from("bob", "mcp:files", "files.write")
	from("ann", "mcp:files", "files.read")
	publish("ann", "edit")
	for name, there := range map[string]bool{
		"bash": false, "edit": true, "files.read": true, "files.write": false, "mail.send": true, "read": true,
	} {
		known("ann", name, there)
	}
	known("bob", "files.write", true)
	if taken := from("ann", "mcp:mail", "deploy"); len(taken) != 1 {
		t.Errorf("taken: %q", taken)
	}
	from("ann", "mcp:mail")
	known("ann", "mail.send", false)
	known("ann", "files.read", true)

	_, err := s.PublishOwn(t.Context(), "", "", nil)
	invalid(t, "tools of nobody", err)
	_, err = s.PublishOwn(t.Context(), "ann", "a\nb", nil)
	invalid(t, "a source with a line break", err)
	_, err = s.PublishOwn(t.Context(), "ann", "", []store.OwnTool{{Name: "x"}, {Name: "x"}})
	invalid(t, "a tool twice", err)
}
