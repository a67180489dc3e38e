package hosts_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// use is one use of a tool that the model asks for.
type use struct {
	tool  string
	input map[string]any
}

func bash(command string) use {
	return use{"Bash", map[string]any{"command": command, "description": "x"}}
}

// model is a server that speaks as much of the Anthropic API as Claude Code needs. turn says what the
// model does after it has heard so many results of tools; nothing ends its answer.
type model struct {
	*httptest.Server
	mu   sync.Mutex
	turn func(results []string) []use
	last []string // the results that it has heard
	uses int
}

func newModel(t *testing.T) *model {
	m := &model{}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *model) does(turn func(results []string) []use) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn, m.last = turn, nil
}

func (m *model) heard() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.last, "\n")
}

type content struct {
	Type    string          `json:"type"`
	Content json.RawMessage `json:"content"`
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Stream   bool
		Tools    []any
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&ask) != nil || !strings.HasSuffix(r.URL.Path, "/messages") {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"input_tokens":10}`)
		return
	}
	var results []string
	for _, message := range ask.Messages {
		var parts []content
		if message.Role != "user" {
			continue
		}
		if bytes.Contains(message.Content, []byte("NEW-PROMPT")) {
			results = nil // what came before is another turn's
		}
		if json.Unmarshal(message.Content, &parts) != nil { // a text alone
			continue
		}
		for _, p := range parts {
			if p.Type == "tool_result" && !bytes.Contains(message.Content, []byte("NEW-PROMPT")) {
				results = append(results, string(p.Content))
			}
		}
	}
	m.mu.Lock()
	turn := m.turn
	m.last = results
	m.mu.Unlock()
	var uses []use
	if len(ask.Tools) > 0 { // others are about titles and the like
		uses = turn(results)
	}
	m.answer(w, ask.Stream, uses)
}

func (m *model) answer(w http.ResponseWriter, stream bool, uses []use) {
	blocks, stop := []map[string]any{{"type": "text", "text": "done"}}, "end_turn"
	if len(uses) > 0 {
		blocks, stop = nil, "tool_use"
	}
	for _, u := range uses {
		m.mu.Lock()
		m.uses++
		id := fmt.Sprintf("toolu_%d", m.uses)
		m.mu.Unlock()
		blocks = append(blocks, map[string]any{"type": "tool_use", "id": id, "name": u.tool, "input": u.input})
	}
	message := map[string]any{
		"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": nil,
		"usage": map[string]int{"input_tokens": 1, "output_tokens": 1}, "stop_reason": nil, "content": []any{},
	}
	if !stream {
		message["content"], message["stop_reason"] = blocks, stop
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(message)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(name string, doc map[string]any) {
		doc["type"] = name
		text, _ := json.Marshal(doc)
		_, _ = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, text)
	}
	event("message_start", map[string]any{"message": message})
	for i, block := range blocks {
		delta := map[string]any{"type": "text_delta", "text": block["text"]}
		if block["type"] == "tool_use" {
			input, _ := json.Marshal(block["input"])
			delta = map[string]any{"type": "input_json_delta", "partial_json": string(input)}
			block["input"] = map[string]any{}
		} else {
			block["text"] = ""
		}
		event("content_block_start", map[string]any{"index": i, "content_block": block})
		event("content_block_delta", map[string]any{"index": i, "delta": delta})
		event("content_block_stop", map[string]any{"index": i})
	}
	event("message_delta", map[string]any{
		"delta": map[string]any{"stop_reason": stop, "stop_sequence": nil}, "usage": map[string]int{"output_tokens": 5},
	})
	event("message_stop", map[string]any{})
}
