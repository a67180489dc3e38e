package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/temporal"
)

// What a tool answers is judged where a worker's tools file says how, wherever the tool ran; the
// store and the caller get the same end.
func TestJudgedAnswers(t *testing.T) {
	judge := func(result json.RawMessage) error {
		switch string(result) {
		case `{"ok":true}`:
			return nil
		case `{"ok":false}`:
			return tool.Failed(errors.New("no money"))
		}
		return tool.Unknown(errors.New("success: can't be evaluated"))
	}
	lost := temporal.NewHeartbeatTimeoutError()
	for name, c := range map[string]struct {
		tool    string
		judge   func(json.RawMessage) error
		answers []any // results, or errors
		status  approval.Status
		code    string
		says    string
	}{
		"it did":                   {"translate", judge, []any{`{"ok":true}`}, approval.StatusExecuted, "", ""},
		"it did not":               {"translate", judge, []any{`{"ok":false}`}, approval.StatusFailed, approval.CodeToolFailed, "no money"},
		"who knows":                {"translate", judge, []any{`{"ok":7}`}, approval.StatusOutcomeUnknown, approval.CodeUnknown, "can't be evaluated"},
		"MCP's error":              {"translate", tool.JudgeMCP, []any{`{"content":[{"type":"text","text":"denied"}],"isError":true}`}, approval.StatusFailed, approval.CodeToolFailed, "denied"},
		"nobody judges":            {"translate", nil, []any{`{"isError":true}`}, approval.StatusExecuted, "", ""},
		"it did the second time":   {"index", judge, []any{lost, `{"ok":true}`}, approval.StatusExecuted, "", ""},
		"not the second time":      {"index", judge, []any{lost, `{"ok":false}`}, approval.StatusOutcomeUnknown, approval.CodeUnknown, "an earlier attempt's end is unknown; the last one: no money"},
		"idempotent, not at once":  {"index", judge, []any{`{"ok":false}`}, approval.StatusFailed, approval.CodeToolFailed, "no money"},
		"it failed without answer": {"translate", judge, []any{errors.New("no such language")}, approval.StatusFailed, approval.CodeToolFailed, "no such language"},
	} {
		t.Run(name, func(t *testing.T) {
			attempt := 0
			h := remote(t, func(context.Context, json.RawMessage) (json.RawMessage, error) {
				attempt++
				if err, failed := c.answers[attempt-1].(error); failed {
					return nil, err
				}
				return json.RawMessage(c.answers[attempt-1].(string)), nil
			})
			var tools []*tool.Tool
			for _, name := range []string{"translate", "index"} {
				tools = append(tools, mustTool(tool.Remote(name, json.RawMessage(`{"type":"object"}`), "tools-python",
					tool.Options{Idempotent: name == "index", Judge: c.judge})))
			}
			registry, err := tool.NewRegistry(tools...)
			if err != nil {
				t.Fatal(err)
			}
			h.acts.Tools = registry
			h.approveSoon()
			out := h.call(`{"tool":"` + c.tool + `","args":{"to":"x"},"nonce":"n"}`)
			if out.Status != c.status || (out.Error != nil || c.code != "") && (out.Error == nil || out.Error.Code != c.code || !strings.Contains(out.Error.Message, c.says)) {
				t.Errorf("%+v %+v", out, out.Error)
			}
			if (out.Result != nil) != (c.status == approval.StatusExecuted) {
				t.Errorf("the result is %s", out.Result)
			}
			record, err := h.store.Call(t.Context(), "call-1")
			if err != nil || record.View.Status != c.status || (record.View.Result != nil) != (out.Result != nil) {
				t.Errorf("the store holds %+v, %v", record.View, err)
			}
			if got := h.entries(audit.KindEnded); len(got) != 1 {
				t.Errorf("%d entries about the end", len(got))
			}
		})
	}
}
