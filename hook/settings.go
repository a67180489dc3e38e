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

	"github.com/pawlhq/pawl/internal/wrapped"
	"github.com/pawlhq/pawl/strictjson"
)

// LeastClaude is the first version of Claude Code that blocks a tool call when its hook fails.
var LeastClaude = [3]int{2, 1, 295}

var version = regexp.MustCompile(`^([0-9]+)\.([0-9]+)\.([0-9]+)\b`)

// CheckClaude refuses a version, as 'claude --version' prints it, in which a hook that fails lets
// its tool call run.
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
		return fmt.Errorf("this is Claude Code %s. Before %d.%d.%d a hook that fails\n"+
			"lets its tool call run: run 'claude update'",
			parts[0], LeastClaude[0], LeastClaude[1], LeastClaude[2])
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

// groups are what has to be in the settings for each event. command runs the hook, and waits so
// long.
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

// Install puts the hook into Claude Code's settings, a JSON document or nothing, in place of one
// that is there already. Everything else in them stays as it is written.
func Install(doc []byte, command string, wait time.Duration) ([]byte, error) {
	doc, err := Uninstall(doc)
	if err != nil {
		return nil, err
	}
	want := groups(command, wait)
	for _, event := range Events {
		if doc, err = add(doc, event, want[event]); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// add puts a group into the list of an event.
func add(doc []byte, event string, g group) ([]byte, error) {
	if blank(doc) {
		return append(indented(map[string]map[string][]group{"hooks": {event: {g}}}, 0, "  "), '\n'), nil
	}
	root, hooks, lists, err := parse(doc)
	if err != nil {
		return nil, err
	}
	unit := "  "
	if found := indent.FindSubmatch(doc); found != nil {
		unit = string(found[1])
	}
	named := func(name string, value any, depth int) []byte {
		return fmt.Appendf(nil, "%q: %s", name, indented(value, depth, unit))
	}
	i := slices.IndexFunc(lists, func(l list) bool { return l.event == event })
	switch {
	case hooks == nil:
		doc = root.insert(doc, named("hooks", map[string][]group{event: {g}}, 1), unit)
	case i < 0:
		doc = hooks.insert(doc, named(event, []group{g}, 2), strings.Repeat(unit, 2))
	default:
		doc = lists[i].insert(doc, indented(g, 3, unit), strings.Repeat(unit, 3))
	}
	return doc, nil
}

// mark is the byte-order mark that some editors write before UTF-8. It stays where it is.
const mark = "\uFEFF"

func blank(doc []byte) bool {
	return len(bytes.TrimSpace(bytes.TrimPrefix(doc, []byte(mark)))) == 0
}

// indent finds the blanks before the first field.
var indent = regexp.MustCompile(`^(?:` + mark + `)?\s*\{\r?\n([ \t]+)"`)

func indented(v any, depth int, unit string) []byte {
	doc, _ := strictjson.Marshal(v) // nothing in a group can't be marshalled
	var b bytes.Buffer
	_ = json.Indent(&b, doc, strings.Repeat(unit, depth), unit)
	return b.Bytes()
}

// Uninstall takes out what Install has put in, and leaves everything else as it is written. The
// result is nil if nothing is left.
func Uninstall(doc []byte) ([]byte, error) {
	for {
		root, hooks, lists, err := parse(doc)
		if err != nil {
			return nil, err
		}
		at, i := -1, -1
		for n, l := range lists {
			for g, s := range l.items {
				all, mine := handlers(doc, s)
				if len(mine) > 0 && len(mine) < len(all.items) { // somebody has added others
					return Uninstall(all.cut(doc, mine[0]))
				}
				if len(mine) > 0 {
					at, i = n, g
				}
			}
		}
		if at < 0 {
			return doc, nil
		}
		// What Install has made for it goes, too.
		switch {
		case !lists[at].made(doc):
			doc = lists[at].cut(doc, i)
		case !hooks.made(doc):
			doc = hooks.cut(doc, at)
		case !root.made(doc):
			doc = root.cut(doc, slices.IndexFunc(root.items, func(s span) bool { return s.to == hooks.to }))
		default:
			return nil, nil
		}
	}
}

// span is an item of an object or a list: where it begins, where its value does, and where it ends.
type span struct{ from, value, to int }

// container is an object or a list in a document.
type container struct {
	span
	items []span
}

// list is the groups of an event.
type list struct {
	container
	event string
}

// parse finds the places in the settings where hooks are. hooks is nil where there are none.
func parse(doc []byte) (root, hooks *container, lists []list, err error) {
	if blank(doc) {
		return &container{}, nil, nil, nil
	}
	if bytes.HasPrefix(doc, []byte("\xFE\xFF")) || bytes.HasPrefix(doc, []byte("\xFF\xFE")) {
		return nil, nil, nil, errors.New("the settings are UTF-16: save them as UTF-8 first")
	}
	text := bytes.TrimPrefix(doc, []byte(mark))
	if err := strictjson.CheckObject("the settings", text, len(text)); err != nil {
		return nil, nil, nil, fmt.Errorf("%w: correct them first", err)
	}
	fields := func(at span) (*container, []string, error) {
		members, err := wrapped.Members(doc, doc, at.value, at.to)
		c, names := &container{span: at}, []string(nil)
		for _, m := range members {
			c.items, names = append(c.items, span{m.From, m.Value, m.To}), append(names, m.Name)
		}
		return c, names, err
	}
	from := bytes.IndexByte(doc, '{')
	root, names, err := fields(span{from, from, len(bytes.TrimRight(doc, " \t\r\n"))})
	i := slices.Index(names, "hooks")
	if err != nil || i < 0 {
		return root, nil, nil, err
	}
	if hooks, names, err = fields(root.items[i]); err != nil {
		return nil, nil, nil, fmt.Errorf("the settings: hooks: %w", err)
	}
	for i, name := range names {
		l := list{container{span: hooks.items[i]}, name}
		if err := l.elements(doc); err != nil {
			return nil, nil, nil, fmt.Errorf("the settings: hooks.%s: %w", name, err)
		}
		lists = append(lists, l)
	}
	return root, hooks, lists, nil
}

func (c *container) elements(doc []byte) error {
	dec := json.NewDecoder(bytes.NewReader(doc[c.value:c.to]))
	if start, err := dec.Token(); err != nil || start != json.Delim('[') {
		return errors.New("it must be a list")
	}
	for dec.More() {
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		to := c.value + int(dec.InputOffset())
		c.items = append(c.items, span{to - len(value), to - len(value), to})
	}
	return nil
}

// insert adds an item at the end, on a line of its own. In a container that was empty no line ends
// after it.
func (c *container) insert(doc, item []byte, before string) []byte {
	at, comma := c.value+1, ""
	if n := len(c.items); n > 0 {
		at, comma = c.items[n-1].to, ","
	}
	text := comma + "\n" + before + string(item)
	if bytes.Contains(doc, []byte("\r\n")) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return slices.Concat(doc[:at], []byte(text), doc[at:])
}

// made reports whether the container holds one item, which Install has made it for.
func (c *container) made(doc []byte) bool {
	return len(c.items) == 1 && bytes.ContainsAny(doc[c.items[0].to:c.to], "\n")
}

// cut takes an item out, with what was put in with it.
func (c *container) cut(doc []byte, i int) []byte {
	from, to := c.value+1, c.items[i].to
	switch {
	case i > 0:
		from = c.items[i-1].to
	case len(c.items) > 1:
		from, to = c.items[0].from, c.items[1].from
	}
	return slices.Concat(doc[:from], doc[to:])
}

// handlers are the hooks of a group, and which of them Install has put there.
func handlers(doc []byte, g span) (all container, mine []int) {
	members, err := wrapped.Members(doc, doc, g.value, g.to)
	i := slices.IndexFunc(members, func(m wrapped.Member) bool { return m.Name == "hooks" })
	if err != nil || i < 0 {
		return all, nil
	}
	all.span = span{members[i].From, members[i].Value, members[i].To}
	if all.elements(doc) != nil {
		return all, nil
	}
	for n, s := range all.items {
		var h struct{ Command string }
		if json.Unmarshal(doc[s.value:s.to], &h) == nil && ours.MatchString(h.Command) {
			mine = append(mine, n)
		}
	}
	return all, mine
}

// Installed reports whether the hook is in the settings.
func Installed(doc []byte) bool {
	_, _, lists, err := parse(doc)
	return err == nil && slices.ContainsFunc(lists, func(l list) bool {
		return l.event == beforeTool && slices.ContainsFunc(l.items, func(s span) bool {
			_, mine := handlers(doc, s)
			return len(mine) > 0
		})
	})
}
