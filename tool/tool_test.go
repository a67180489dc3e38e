package tool_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

const anyObject = `{"type": "object"}`

func TestToolsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		name string
		run  tool.Func
		o    tool.Options
		want string
	}{
		"no name":          {"", nothing, tool.Options{}, "tool is missing"},
		"bad name":         {"a b", nothing, tool.Options{}, "not a tool name"},
		"no function":      {"a", nil, tool.Options{}, "its function is nil"},
		"negative timeout": {"a", nothing, tool.Options{Timeout: -1}, "timeout"},
		"endless timeout":  {"a", nothing, tool.Options{Timeout: 25 * time.Hour}, "timeout"},
		"description":      {"a", nothing, tool.Options{Description: "a\x00b"}, "description"},
		"long description": {"a", nothing, tool.Options{Description: strings.Repeat("x", 5000)}, "at most 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tool.Custom(c.name, json.RawMessage(anyObject), c.run, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) || approval.CodeOf(err) != approval.CodeInvalid {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := tool.New[none, int]("a", nil, tool.Options{}); err == nil {
		t.Error("a typed tool without a function is taken")
	}
}

func TestAccessors(t *testing.T) {
	made, err := tool.Custom("a", json.RawMessage(anyObject), nothing, tool.Options{Description: "does a", Idempotent: true, Timeout: time.Hour, Kind: "http"})
	if err != nil {
		t.Fatal(err)
	}
	if made.Name() != "a" || made.Description() != "does a" || !made.Idempotent() || made.Timeout() != time.Hour || made.Kind() != "http" || string(made.Schema()) != anyObject {
		t.Errorf("got %+v", made)
	}
	plain, err := tool.New("b", func(context.Context, none) (int, error) { return 0, nil }, tool.Options{Kind: "http"})
	if err != nil {
		t.Fatal(err)
	}
	if plain.Idempotent() || plain.Timeout() != tool.DefaultTimeout || plain.Kind() != "go" {
		t.Errorf("got %+v", plain)
	}
}

func TestRegistry(t *testing.T) {
	named := func(name string) *tool.Tool {
		made, err := tool.Custom(name, json.RawMessage(anyObject), nothing, tool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	b, a := named("b"), named("a")
	r, err := tool.NewRegistry(b, a)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := r.Lookup("a"); !ok || got != a {
		t.Error("a is not found")
	}
	if _, ok := r.Lookup("A"); ok {
		t.Error("names are looked up without case")
	}
	if all := r.All(); len(all) != 2 || all[0] != a || all[1] != b {
		t.Errorf("all: %v", all)
	}
	_, err = tool.NewRegistry(a, b, named("a"), nil)
	if err == nil || !strings.Contains(err.Error(), `tool "a" is registered twice`) || !strings.Contains(err.Error(), "tool 4 of the registry is nil") {
		t.Errorf("got %v", err)
	}
}
