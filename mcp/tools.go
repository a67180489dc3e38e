package mcp

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

// statusTool is the tool that the gateway adds to the server's.
const statusTool = "pawl_approval_status"

const statusDefinition = `{"name":"` + statusTool + `","title":"Approval status",` +
	`"description":"Tells whether people have approved a tool call that was answered as pending.",` +
	`"inputSchema":{"type":"object","properties":{"id":{"type":"string",` +
	`"description":"The call's ID, as the pending answer has it."}},"required":["id"]},` +
	`"annotations":{"readOnlyHint":true,"openWorldHint":false}}`

// definition is what a server says of a tool, as models see it.
type definition struct {
	Name        string          `json:"name"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Input       json.RawMessage `json:"inputSchema,omitempty"`
	Output      json.RawMessage `json:"outputSchema,omitempty"`
}

// digest is the same for definitions that say the same.
func (d definition) digest() string {
	d.Output = nil // it says nothing to who calls the tool
	doc, err := strictjson.Canonical(d)
	if err != nil { // a number in the schema that has no canonical form
		doc, _ = json.Marshal(d)
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:])
}

// shown is what reviewers are told of a tool.
func (d definition) shown(server, change string) string {
	var parts []string
	if change != "" {
		parts = append(parts, change)
	} else if d.Description != "" {
		parts = append(parts, fmt.Sprintf("The server %s describes this tool as: %s", server,
			approval.DisplayLines(d.Description, 800)))
	}
	return strings.Join(parts, "\n")
}

// learn notes the definitions in a page of the server's list. It returns where the list stands in it,
// and how to ask for the next page.
func (s *session) learn(result []byte) (list span, next string, err error) {
	at, err := fields(result, "tools", "nextCursor")
	if err != nil {
		return list, "", err
	}
	var tools []definition
	if err := json.Unmarshal(at["tools"].of(result), &tools); err != nil {
		return list, "", errors.New("the list of tools can't be read")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tools {
		if was, known := s.tools[t.Name]; !known || was.digest() != t.digest() {
			s.introduced = false
		}
		s.tools[t.Name] = t
	}
	return at["tools"], text(result, at, "nextCursor"), nil
}

// listing adds the gateway's tool to the first page of the server's tools.
func (s *session) listing(m message, first bool) message {
	if _, failed := m.span["error"]; failed {
		return m
	}
	list, next, err := s.learn(m.field("result"))
	if first && err == nil && next == "" {
		s.mu.Lock()
		s.listed = true
		s.mu.Unlock()
	}
	if err != nil {
		s.o.Logger.Warn("the server's list of tools can't be read", "server", s.o.Server, "error", err)
		return m
	}
	if !first {
		return m
	}
	from := m.span["result"].from + list.from + 1
	part := statusDefinition
	if rest := strings.TrimSpace(string(m.raw[from:])); !strings.HasPrefix(rest, "]") {
		part += ","
	}
	added, err := m.with(span{from, from}, []byte(part))
	if err != nil {
		return m
	}
	return added
}

// describe returns the definition of the tool that is called and, if it is not the one that is pinned,
// what reviewers have to know.
func (s *session) describe(ctx context.Context, agent string, r request) (definition, string) {
	s.introduce(ctx, agent, r.meta)
	s.mu.Lock()
	def, known := s.tools[r.name]
	s.mu.Unlock()
	if !known {
		return def, fmt.Sprintf("ATTENTION: the server %s does not list this tool: "+
			"nobody can tell what it says it does.", s.o.Server)
	}
	return def, s.pins.check(r.name, def)
}

func (s *session) keep(name string, def definition) {
	if def.Name == "" {
		return
	}
	if err := s.pins.put(name, def); err != nil {
		s.o.Logger.Warn("what the server says of its tools can't be kept", "error", err)
	}
}

const (
	listWithin = 10 * time.Second
	maxPages   = 100
)

// list asks the server for its tools, with what clients without a session say of themselves.
func (s *session) list(ctx context.Context, meta []byte) error {
	ctx, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	var about map[string]json.RawMessage
	if len(meta) > 0 && json.Unmarshal(meta, &about) == nil {
		for name := range about {
			if !strings.HasPrefix(name, "io.modelcontextprotocol/") {
				delete(about, name)
			}
		}
	}
	cursor := ""
	for range maxPages {
		params := map[string]any{}
		if cursor != "" {
			params["cursor"] = cursor
		}
		if len(about) > 0 {
			params["_meta"] = about
		}
		m, err := s.askServer(ctx, methodList, params)
		if err != nil {
			return err
		}
		if _, cursor, err = s.learn(m.field("result")); err != nil {
			return err
		}
		if cursor == "" {
			s.mu.Lock()
			s.listed = true
			s.mu.Unlock()
			return nil
		}
	}
	return fmt.Errorf("it has more than %d pages of tools", maxPages)
}

// askServer sends a request of the gateway's own.
func (s *session) askServer(ctx context.Context, method string, params any) (message, error) {
	id := "pawl-" + rand.Text()
	doc, err := newRequest(id, method, params)
	if err != nil {
		return message{}, err
	}
	m, err := parse(doc)
	if err != nil {
		return message{}, err
	}
	reply := make(chan message, 1)
	s.mu.Lock()
	s.own[m.key()] = reply
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.own, m.key())
		s.mu.Unlock()
	}()
	if err := s.up.send(m); err != nil {
		return message{}, err
	}
	select {
	case got, ok := <-reply:
		if failed := got.field("error"); !ok || len(failed) > 0 {
			_, text := failureOf(failed)
			return message{}, errors.New(cmp.Or(text, "it gave no answer"))
		}
		return got, nil
	case <-ctx.Done():
		return message{}, fmt.Errorf("it did not answer %s within %v", method, listWithin)
	}
}

// changes says in words how a tool's definition differs from the one that is pinned.
func changes(was, is definition, since time.Time) string {
	var b strings.Builder
	// The digest tells definitions apart that differ only in what is cut off below.
	fmt.Fprintf(&b, "ATTENTION: the server has changed what it says of this tool since %s; it now has the digest %s.",
		since.UTC().Format(time.DateOnly), is.digest())
	differs := func(what, was, is string) {
		if was != is {
			fmt.Fprintf(&b, "\n%s was: %s\n%s is: %s", what, approval.DisplayLines(cmp.Or(was, "none"), 700),
				what, approval.DisplayLines(cmp.Or(is, "none"), 700))
		}
	}
	differs("Title", was.Title, is.Title)
	differs("Description", was.Description, is.Description)
	if !slices.Equal(was.Input, is.Input) && !equal(string(was.Input), string(is.Input)) {
		differs("Schema of the arguments", string(was.Input), string(is.Input))
	}
	return b.String()
}
