package tool_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/tool"
)

func TestKeywordsOfPresentation(t *testing.T) {
	for property, want := range map[string]string{
		`{"type":"string","x-pawl-as":"sql"}`:            "",
		`{"type":"integer","x-pawl-minor-units":true}`:   "",
		`{"type":"number","x-pawl-minor-units":false}`:   "",
		`{"enum":[{"x-pawl-as":"a value, no keyword"}]}`: "",
		`{"type":"string","x-pawl-as":"movie"}`:          "/properties/a/x-pawl-as is none of text, code, shell",
		`{"type":"string","x-pawl-as":7}`:                "/properties/a/x-pawl-as is none of text, code, shell",
		`{"type":"integer","x-pawl-minor-units":"yes"}`:  "/properties/a/x-pawl-minor-units is neither true nor false",
		`{"type":"number","x-pawl-minor-units":true}`:    `write "type": "integer" beside it`,
		`{"type":"array","items":{"x-pawl-as":"movie"}}`: "/properties/a/items/x-pawl-as is none of",
	} {
		err := tool.CheckSchema(json.RawMessage(`{"type":"object","properties":{"a":` + property + `}}`))
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", property, err, want)
		}
	}
	err := tool.CheckSchema(json.RawMessage(`{"type":"object","x-pawl-summary":"Pay {b}","properties":{"a":{}}}`))
	if err == nil || !strings.Contains(err.Error(), "x-pawl-summary: {b} is no property") {
		t.Errorf("a summary of what is not there: %v", err)
	}
}
