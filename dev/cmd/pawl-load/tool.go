package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/tool/httptool"
)

// Names of tools under the policy.
const (
	toolRead = "read" // allowed
	toolSend = "send" // waits for a person
)

const policyYAML = `rules:
  - {tool: read, auto_approve: true}
  - {tool: send, require_approval: true}
`

const schemaJSON = `{"type":"object","required":["query","limit"],"properties":{"query":{"type":"string"},"limit":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"}}}}`

// query is what every call and every bare workflow takes, and found what it
// answers.
type query struct {
	Query string   `json:"query"`
	Limit int      `json:"limit"`
	Tags  []string `json:"tags,omitempty"`
}

type found struct {
	Hits  int    `json:"hits"`
	Title string `json:"title"`
}

var (
	asked    = query{Query: "weather in the mountains", Limit: 10, Tags: []string{"a", "b", "c"}}
	argsJSON = json.RawMessage(`{"query":"weather in the mountains","limit":10,"tags":["a","b","c"]}`)
	answered = found{Hits: 3, Title: "Snow above 2000 m"}
)

// probe is the inside of the tools: it does nothing, and tells when it began,
// for the calls that are watched.
type probe struct {
	mu      sync.Mutex
	watched map[string]chan time.Time
}

// watch returns where the tool's begin for a call will be told, once.
func (p *probe) watch(id string) <-chan time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watched == nil {
		p.watched = map[string]chan time.Time{}
	}
	began := make(chan time.Time, 1)
	p.watched[id] = began
	return began
}

func (p *probe) began(id string) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if began, ok := p.watched[id]; ok {
		began <- now
		delete(p.watched, id)
	}
}

// functions are the tools as Go functions of this process.
func (p *probe) functions() (tools []*tool.Tool, err error) {
	for _, name := range []string{toolRead, toolSend} {
		t, err := tool.New(name, func(ctx context.Context, _ query) (found, error) {
			call, _ := tool.FromContext(ctx)
			p.began(call.CallID)
			return answered, nil
		}, tool.Options{})
		if err != nil {
			return nil, err
		}
		tools = append(tools, t)
	}
	return tools, nil
}

// serve serves the tools by HTTP, for workers in other processes, and returns
// their address.
func (p *probe) serve() (url string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	answer, err := json.Marshal(answered)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.began(r.Header.Get("Pawl-Call-Id"))
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})}
	go func() { _ = server.Serve(l) }() // until it is closed
	return "http://" + l.Addr().String() + "/", server.Close, nil
}

// remote is a tool that is one HTTP POST, as a tools file makes it.
func remote(name, url string) (*tool.Tool, error) {
	return httptool.New(httptool.Options{Name: name, Schema: json.RawMessage(schemaJSON), URL: url})
}

// files writes the policy, and the tools file if the tools are served at url.
func files(dir, url string) (policy, tools string, err error) {
	policy, tools = filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "tools.yaml")
	if err := os.WriteFile(policy, []byte(policyYAML), 0o600); err != nil {
		return "", "", err
	}
	text := "tools:\n"
	for _, name := range []string{toolRead, toolSend} {
		text += fmt.Sprintf("  - name: %s\n    schema: %s\n    http: {url: %q}\n", name, schemaJSON, url)
	}
	return policy, tools, os.WriteFile(tools, []byte(text), 0o600)
}
