package tool

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// JudgeMCP is Options.Judge for tools whose results may have the form of MCP's tool results: an
// object with "isError": true says that the tool failed, and its first text says why.
func JudgeMCP(result json.RawMessage) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(result, &members) != nil || string(members["isError"]) != "true" {
		return nil
	}
	var content []struct{ Type, Text string }
	if c, there := members["content"]; there && json.Unmarshal(c, &content) != nil {
		return nil
	}
	for _, c := range content {
		if c.Type == "text" && strings.TrimSpace(c.Text) != "" {
			return Failed(errors.New(approval.DisplayLines(c.Text, 0)))
		}
	}
	return Failed(errors.New("the tool answered that it failed (isError)"))
}
