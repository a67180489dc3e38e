package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/strictjson"
)

// LeastClaude is the first version of Claude Code that blocks a tool call when its hook fails.
var LeastClaude = [3]int{2, 1, 295}

var version = regexp.MustCompile(`^([0-9]+)\.([0-9]+)\.([0-9]+)\b`)

// CheckClaude refuses a version, as 'claude --version' prints it, in which a hook that fails lets its tool
// call run.
func CheckClaude(printed string) error {
	parts := version.FindStringSubmatch(strings.TrimSpace(printed))
	if parts == nil {
		return fmt.Errorf("'claude --version' names no version")
	}
	var got [3]int
	for i := range got {
		n, err := strconv.Atoi(parts[i+1])
		if err != nil {
			return fmt.Errorf("'claude --version' names no version")
		}
		got[i] = n
	}
	if slices.Compare(got[:], LeastClaude[:]) < 0 {
		return fmt.Errorf("this is Claude Code %s; before %d.%d.%d a hook that fails lets its tool call run: "+
			"run 'claude update'", parts[0], LeastClaude[0], LeastClaude[1], LeastClaude[2])
	}
	return nil
}

const (
	// margin is what the host's limit is above the wait: for the answer, and a slow start.
	margin = 30 * time.Second
	// afterLimit is the host's limit for hooks that report.
	afterLimit = 30 * time.Second
)

// handler is one hook in Claude Code's settings.
type handler struct {
	Type      string `json:"type"`
	Command   string `json:"command"`
	Timeout   int    `json:"timeout"` // seconds
	OnFailure string `json:"onFailure,omitempty"`
	Status    string `json:"statusMessage,omitempty"`
}

type group struct {
	Matcher string    `json:"matcher,omitempty"`
	Hooks   []handler `json:"hooks"`
}

// ours is a command that Install has put there, whatever the program was called.
var ours = regexp.MustCompile(`^('[^']*'(\\''[^']*')*|[^\s']+) hook claude-code( |$)`)

// groups are what has to be in the settings for each event. command runs the hook, and waits so long.
func groups(command string, wait time.Duration) map[string]group {
	all := map[string]group{}
	for _, event := range Events {
		h := handler{Type: "command", Command: command, Timeout: seconds(afterLimit)}
		if event == beforeTool {
			h.Command += " --wait " + wait.String()
			h.Timeout, h.OnFailure = seconds(wait+margin), "block"
			h.Status = "Asking Pawl; 'pawl review' shows what waits"
		}
		g := group{Matcher: "*", Hooks: []handler{h}}
		if event == sessionEnd {
			g.Matcher = ""
		}
		all[event] = g
	}
	return all
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// Install puts the hook into Claude Code's settings, a JSON document or nothing, in place of one that is
// there already. Everything else in them stays, in its order.
func Install(doc []byte, command string, wait time.Duration) ([]byte, error) {
	root, hooks, err := without(doc)
	if err != nil {
		return nil, err
	}
	want := groups(command, wait)
	for _, event := range Events {
		add, err := strictjson.Marshal(want[event])
		if err != nil {
			return nil, err
		}
		list, err := elements(hooks.get(event))
		if err != nil {
			return nil, fmt.Errorf("hooks.%s: %w", event, err)
		}
		hooks.set(event, array(append(list, add)))
	}
	root.set("hooks", hooks.json())
	return root.indented()
}

// Uninstall takes out what Install has put in. The result is nil if nothing is left.
func Uninstall(doc []byte) ([]byte, error) {
	root, hooks, err := without(doc)
	if err != nil {
		return nil, err
	}
	if len(*hooks) == 0 {
		root.drop("hooks")
	} else {
		root.set("hooks", hooks.json())
	}
	if len(*root) == 0 {
		return nil, nil
	}
	return root.indented()
}

// without takes the settings apart, and this hook out of them.
func without(doc []byte) (root, hooks *object, err error) {
	root, hooks = &object{}, &object{}
	if len(bytes.TrimSpace(doc)) == 0 {
		return root, hooks, nil
	}
	if err := strictjson.CheckObject("the settings", doc, len(doc)); err != nil {
		return nil, nil, fmt.Errorf("%w: correct them first", err)
	}
	if err := root.parse(doc); err != nil {
		return nil, nil, err
	}
	if raw := root.get("hooks"); raw != nil {
		if err := hooks.parse(raw); err != nil {
			return nil, nil, fmt.Errorf("the settings: hooks: %w", err)
		}
	}
	for _, m := range slices.Clone(*hooks) {
		list, err := elements(m.value)
		if err != nil {
			return nil, nil, fmt.Errorf("the settings: hooks.%s: %w", m.key, err)
		}
		left := slices.DeleteFunc(slices.Clone(list), isOurs)
		switch {
		case len(left) == len(list):
		case len(left) == 0:
			hooks.drop(m.key)
		default:
			hooks.set(m.key, array(left))
		}
	}
	return root, hooks, nil
}

// isOurs reports whether a group holds this hook and no other.
func isOurs(raw json.RawMessage) bool {
	var g group
	if json.Unmarshal(raw, &g) != nil || len(g.Hooks) == 0 {
		return false
	}
	return !slices.ContainsFunc(g.Hooks, func(h handler) bool { return !ours.MatchString(h.Command) })
}

// Installed reports whether the hook is in the settings.
func Installed(doc []byte) bool {
	root := &object{}
	hooks := &object{}
	if root.parse(doc) != nil || hooks.parse(root.get("hooks")) != nil {
		return false
	}
	list, err := elements(hooks.get(beforeTool))
	return err == nil && slices.ContainsFunc(list, isOurs)
}

// object is a JSON object with its members in their order.
type object []member

type member struct {
	key   string
	value json.RawMessage
}

func (o *object) parse(doc []byte) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errors.New("it must be a JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var m member
		if err := dec.Decode(&m.value); err != nil {
			return err
		}
		m.key, _ = key.(string)
		*o = append(*o, m)
	}
	return nil
}

func (o *object) get(key string) json.RawMessage {
	for _, m := range *o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

func (o *object) set(key string, value json.RawMessage) {
	for i, m := range *o {
		if m.key == key {
			(*o)[i].value = value
			return
		}
	}
	*o = append(*o, member{key, value})
}

func (o *object) drop(key string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return m.key == key })
}

func (o *object) json() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range *o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, _ := strictjson.Marshal(m.key) // a string can always be marshalled
		b.Write(key)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

func (o *object) indented() ([]byte, error) {
	var b bytes.Buffer
	err := json.Indent(&b, o.json(), "", "  ")
	b.WriteByte('\n')
	return b.Bytes(), err
}

// elements takes a JSON array apart; nothing is an empty one.
func elements(raw json.RawMessage) (list []json.RawMessage, err error) {
	if raw == nil {
		return nil, nil
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil, errors.New("it must be a list")
	}
	return list, nil
}

func array(list []json.RawMessage) json.RawMessage {
	return append(append(json.RawMessage{'['}, bytes.Join(rawBytes(list), []byte(","))...), ']')
}

func rawBytes(list []json.RawMessage) [][]byte {
	out := make([][]byte, len(list))
	for i, raw := range list {
		out[i] = raw
	}
	return out
}
