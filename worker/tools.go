package worker

import (
	"fmt"

	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/tool/httptool"
	"github.com/pawlhq/pawl/tool/toolfile"
)

// LoadTools makes the tools of a tools file. env looks up the variables that header values may
// name; os.LookupEnv will do.
func LoadTools(path string, env func(string) (string, bool)) ([]*tool.Tool, error) {
	specs, err := toolfile.Load(path, env)
	if err != nil {
		return nil, err
	}
	var tools []*tool.Tool
	for _, s := range specs {
		t, err := makeTool(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Where, err)
		}
		tools = append(tools, t)
	}
	return tools, nil
}

func makeTool(s toolfile.Spec) (*tool.Tool, error) {
	judge := tool.JudgeMCP
	if s.Answer != nil {
		judge = s.Answer.Judge
	}
	if a := s.Activity; a != nil {
		return tool.Remote(s.Name, s.Schema, a.TaskQueue, tool.Options{
			Description: s.Description, Idempotent: s.Idempotent, Timeout: a.Timeout, Heartbeat: a.Heartbeat,
			Judge: judge,
		})
	}
	o := *s.HTTP
	o.Name, o.Description, o.Schema = s.Name, s.Description, s.Schema
	o.Idempotent, o.Judge = s.Idempotent, judge
	return httptool.New(o)
}
