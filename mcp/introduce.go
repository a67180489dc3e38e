package mcp

import (
	"context"
	"encoding/json"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/strictjson"
	"github.com/pawlhq/pawl/tool"
)

const (
	// defaultAgent asks where neither Options.Agent nor the token names an agent: Pawl keeps the tools
	// of a server for an agent.
	defaultAgent = "mcp"
	// introduceWithin is how long Pawl may take to hear of the server's tools.
	introduceWithin = 5 * time.Second
	maxIntroduced   = 500 // tools; Pawl takes no more in one list
)

// asker is the agent that asks.
func (s *session) asker(ctx context.Context) (string, error) {
	s.mu.Lock()
	agent := s.agent
	s.mu.Unlock()
	if agent != "" {
		return agent, nil
	}
	who, err := s.api.Whoami(ctx)
	switch {
	case err != nil:
		return "", err
	case len(who.Agents) > 1: // Pawl refuses the call, and says what to do
		return "", nil
	case len(who.Agents) == 1:
		agent = who.Agents[0]
	default:
		agent = defaultAgent
	}
	s.mu.Lock()
	s.agent = agent
	s.mu.Unlock()
	return agent, nil
}

// introduce asks the server for all its tools, if they are not known, and tells Pawl which arguments
// they take: Pawl checks the arguments of each call then. Where that fails, people are told that
// nothing checked them. What goes on already is waited for.
func (s *session) introduce(ctx context.Context, agent string, meta []byte) {
	s.mu.Lock()
	doing := s.introducing
	if doing == nil && !s.introduced {
		doing = make(chan struct{})
		s.introducing = doing
		s.calls.Go(func() {
			s.learnAll(agent, meta)
			s.mu.Lock()
			s.introducing = nil
			s.mu.Unlock()
			close(doing)
		})
	}
	s.mu.Unlock()
	if doing == nil {
		return
	}
	select {
	case <-doing:
	case <-ctx.Done():
	}
}

func (s *session) learnAll(agent string, meta []byte) {
	s.mu.Lock()
	listed := s.listed
	s.mu.Unlock()
	if !listed {
		if err := s.list(s.ctx, meta); err != nil {
			s.o.Logger.Warn("the server does not list its tools", "server", s.o.Server, "error", err)
			return
		}
	}
	s.mu.Lock()
	tools := s.offered()
	s.introduced = true // unless another list comes meanwhile
	s.mu.Unlock()
	if agent == "" {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, introduceWithin)
	defer cancel()
	err := s.api.PutOwnTools(ctx, agent, "mcp:"+s.o.Server, tools...)
	if err == nil {
		return
	}
	s.o.Logger.Warn("Pawl did not take the list of the server's tools: it checks no arguments",
		"server", s.o.Server, "error", err)
	if !refused(err) {
		s.forget()
	}
}

// forget has Pawl told of the server's tools again, at the next call.
func (s *session) forget() {
	s.mu.Lock()
	s.introduced = false
	s.mu.Unlock()
}

// offered are the server's tools as Pawl is told of them. A schema that Pawl can't use is left out: it
// would take none of the list. The caller holds the lock.
func (s *session) offered() (all []rest.OwnTool) {
	for _, name := range strictjson.SortedKeys(s.tools) {
		own := rest.OwnTool{Name: s.o.Server + "." + name, Schema: s.tools[name].Input}
		if approval.CheckTool(own.Name) != nil {
			continue // its calls are refused
		}
		if len(all) == maxIntroduced {
			s.o.Logger.Warn("Pawl is told of no more of the server's tools",
				"server", s.o.Server, "most", maxIntroduced)
			break
		}
		if !usable(own.Name, own.Schema) {
			own.Schema = nil
		}
		all = append(all, own)
	}
	return all
}

func usable(name string, schema json.RawMessage) bool {
	_, err := tool.Remote(name, schema, "caller", tool.Options{})
	return len(schema) > 0 && err == nil
}
