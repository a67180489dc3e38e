package mcp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/strictjson"
)

// maxFrame is the longest frame that is taken, in bytes.
const maxFrame = 64 << 20

// Methods that the gateway acts upon. All others are forwarded unseen.
const (
	methodInitialize  = "initialize"
	methodCall        = "tools/call"
	methodList        = "tools/list"
	methodCancelled   = "notifications/cancelled"
	methodProgress    = "notifications/progress"
	methodListChanged = "notifications/tools/list_changed"
)

// Error codes of JSON-RPC.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeInvalidParams  = -32602
	codeServer         = -32000 // the server gave no answer
	codeNeedsURL       = -32042 // of MCP: somebody has to visit an address first
)

// message is one JSON-RPC frame.
type message struct {
	raw    []byte // on one line, without its end
	id     []byte // as it was written; empty: a notification
	method string // empty: an answer
	span   map[string]span
}

// span is where a value stands in a text.
type span struct{ from, to int }

func (s span) of(doc []byte) []byte { return doc[s.from:s.to] }

// field returns a field of the frame, or nothing.
func (m message) field(name string) []byte { return m.span[name].of(m.raw) }

// key is the same for IDs that are equal, however they are written. Empty: there is none.
func (m message) key() string { return idKey(m.id) }

func idKey(id []byte) string {
	var value any
	if json.Unmarshal(id, &value) != nil {
		return ""
	}
	switch v := value.(type) {
	case string:
		return "s" + v
	case float64:
		if !bytes.ContainsAny(id, ".eE") {
			return "n" + string(id) // also beyond what float64 tells apart
		}
		return "n" + strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

var frameFields = []string{"jsonrpc", "id", "method", "params", "result", "error"}

// parse reads a frame. It refuses what another reader could understand otherwise: two fields of one
// name, or names that differ in case only.
func parse(raw []byte) (message, error) {
	raw = bytes.TrimSpace(raw)
	if !json.Valid(raw) {
		return message{}, errors.New("the frame is not JSON")
	}
	if bytes.ContainsAny(raw, "\n\r") { // some servers take either for the end of a frame
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err != nil {
			return message{}, err
		}
		raw = line.Bytes()
	}
	m := message{raw: raw}
	if raw[0] == '[' {
		return m, errors.New("batches are not taken: send one request in each frame")
	}
	var err error
	if m.span, err = fields(raw, frameFields...); err != nil {
		return m, err
	}
	_, hasID := m.span["id"]
	method, hasMethod := m.span["method"]
	_, hasResult := m.span["result"]
	_, hasError := m.span["error"]
	if hasID {
		if m.id = m.field("id"); m.key() == "" && (hasMethod || !hasError) {
			m.id = nil
			return m, errors.New("the id must be a string or a number")
		}
	}
	switch {
	case hasMethod && (hasResult || hasError), !hasMethod && hasResult == hasError:
		return m, errors.New("the frame is neither a request nor an answer")
	case hasMethod && json.Unmarshal(method.of(raw), &m.method) != nil || hasMethod && m.method == "":
		return m, errors.New("the method must be a text")
	}
	return m, nil
}

// fields finds the values of an object's known fields. Known names that are there twice, or in another
// case, are errors; other fields are passed over.
func fields(doc []byte, known ...string) (map[string]span, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("it must be a JSON object")
	}
	found := map[string]span{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if !slices.Contains(known, name) {
			same := func(k string) bool { return strictjson.Fold(k) == strictjson.Fold(name) }
			if i := slices.IndexFunc(known, same); i >= 0 {
				return nil, fmt.Errorf("a field must be written %q, in this case", known[i])
			}
			continue
		}
		if _, twice := found[name]; twice {
			return nil, fmt.Errorf("the field %q is given twice", name)
		}
		end := int(dec.InputOffset())
		found[name] = span{end - len(value), end}
	}
	return found, nil
}

// text reads a field that holds text; anything else counts as none.
func text(doc []byte, at map[string]span, name string) (s string) {
	if json.Unmarshal(at[name].of(doc), &s) != nil {
		return ""
	}
	return s
}

// with returns the frame with a part of it replaced.
func (m message) with(at span, part []byte) (message, error) {
	return parse(slices.Concat(m.raw[:at.from], part, m.raw[at.to:]))
}

// newRequest makes a request or, without an ID, a notification.
func newRequest(id, method string, params any) ([]byte, error) {
	return strictjson.Marshal(struct {
		Version string `json:"jsonrpc"`
		ID      string `json:"id,omitempty"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{"2.0", id, method, params})
}

// answer makes the answer to a request.
func answer(id []byte, result any) []byte {
	doc, err := strictjson.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  any             `json:"result"`
	}{"2.0", id, result})
	if err != nil {
		return refusal(id, codeServer, "the answer can't be written: "+err.Error())
	}
	return doc
}

// refusal makes the error that answers a request; without an ID, one that nobody can tell.
func refusal(id []byte, code int, text string) []byte {
	if len(id) == 0 {
		id = []byte("null")
	}
	quoted, _ := strictjson.Marshal(strings.ToValidUTF8(text, "?")) // a string marshals
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s}}`, id, code, quoted)
}

// lines calls each with every line that is not blank, without its end, until r ends.
func lines(r io.Reader, each func([]byte)) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 64<<10), maxFrame)
	for scanner.Scan() {
		if line := bytes.TrimSpace(scanner.Bytes()); len(line) > 0 {
			each(bytes.Clone(line))
		}
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a frame is longer than %d bytes", maxFrame)
	}
	return scanner.Err()
}
