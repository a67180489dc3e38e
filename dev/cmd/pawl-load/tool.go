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

const schemaJSON = `{"type":"object","required":["query","limit"],"properties":{` +
	`"query":{"type":"string"},"limit":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"}}}}`

// query is what every call and every bare workflow takes, and found what it answers.
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

// tools do nothing, and say when they began, for the calls that are watched.
type tools struct {
	mu      sync.Mutex
	watched map[string]chan time.Time
}

// watch returns where the tool's begin for a call will be told, once.
func (x *tools) watch(id string) <-chan time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watched == nil {
		x.watched = map[string]chan time.Time{}
	}
	began := make(chan time.Time, 1)
	x.watched[id] = began
	return began
}

func (x *tools) began(id string) {
	now := time.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if began, ok := x.watched[id]; ok {
		began <- now
		delete(x.watched, id)
	}
}

// functions are the tools as Go functions of this process.
func (x *tools) functions() (functions []*tool.Tool, err error) {
	for _, name := range []string{toolRead, toolSend} {
		t, err := tool.New(name, func(ctx context.Context, _ query) (found, error) {
			call, _ := tool.FromContext(ctx)
			x.began(call.CallID)
			return answered, nil
		}, tool.Options{})
		if err != nil {
			return nil, err
		}
		functions = append(functions, t)
	}
	return functions, nil
}

// serve serves the tools by HTTP, for workers in other processes, and returns their address.
func (x *tools) serve() (url string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	answer, err := json.Marshal(answered)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.began(r.Header.Get("Pawl-Call-Id"))
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
