package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/strictjson"
	"golang.org/x/text/unicode/norm"
)

// matcher says which calls a rule or a layer is about, by who makes them. The zero value takes all.
// Everything that is given must match; of a list, one.
type matcher struct {
	tool, agent, team globs
	labels            []labelMatcher
}

type labelMatcher struct {
	name   string
	values globs
}

func (m *matcher) all() bool {
	return m == nil || len(m.tool) == 0 && len(m.agent) == 0 && len(m.team) == 0 && len(m.labels) == 0
}

// match returns what does not match, or "". With tightens, what the call leaves out, or writes in
// another case or with blanks around it, counts as a match: who asks must not get around a rule by
// that. unsure says so then.
func (m *matcher) match(c *approval.Call, tightens bool) (whyNot, unsure string) {
	if m == nil {
		return "", ""
	}
	fits := func(name string, gs globs, values ...string) {
		switch {
		case whyNot != "" || len(gs) == 0 || slices.ContainsFunc(values, gs.match):
		case tightens && len(values) == 0:
			unsure = joinRemarks(unsure, "the call does not say its "+name+", which counts as a match")
		case tightens && slices.ContainsFunc(values, gs.matchFolded):
			unsure = joinRemarks(unsure, "the call writes its "+name+" in another way, which counts as a match")
		case strings.HasPrefix(name, "label"):
			whyNot = "the " + name + " does not match"
		default:
			whyNot = name + " does not match"
		}
	}
	fits("tool", m.tool, c.Tool)
	fits("agent", m.agent, said(c.Agent)...)
	fits("team", m.team, said(c.Team)...)
	for _, l := range m.labels {
		values := valuesOfLabel(c.Labels, l.name)
		if _, exactly := c.Labels[l.name]; !tightens && (!exactly || len(values) > 1) {
			values = nil // another spelling of the name may be what others read
		}
		fits(fmt.Sprintf("label %q", l.name), l.values, values...)
	}
	return whyNot, unsure
}

// said is a text, if there is one.
func said(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// valuesOfLabel returns the values of all labels with a name, in any spelling of it.
func valuesOfLabel(labels map[string]string, name string) (values []string) {
	for other, value := range labels {
		if other == name || plain(other) == plain(name) {
			values = append(values, value)
		}
	}
	return values
}

// plain is the same for names that differ in case, blanks around them or compatible letters only.
func plain(name string) string { return strictjson.Fold(norm.NFKC.String(strings.TrimSpace(name))) }

// key tells matchers apart. It is empty for one that takes all.
func (m *matcher) key() string {
	if m.all() {
		return ""
	}
	return fmt.Sprintf("%q", *m)
}

// text shows the matcher on one line.
func (m *matcher) text() string {
	if m.all() {
		return ""
	}
	var parts []string
	add := func(name string, gs globs) {
		if len(gs) > 0 {
			parts = append(parts, name+" "+firstFew(gs))
		}
	}
	add("tool", m.tool)
	add("agent", m.agent)
	add("team", m.team)
	for _, l := range m.labels {
		add("label "+l.name, l.values)
	}
	return strings.Join(parts, ", ")
}

const maxListed = 1000 // entries of one list of tools, names or values

// readMatcher reads agent, team and labels, and with tools the tools, too. tightens is whether it says
// to which calls scrutiny is added.
func readMatcher(m *yamlfile.Mapping, tools, tightens bool) *matcher {
	out := &matcher{agent: readGlobs(m.Field("agent")), team: readGlobs(m.Field("team"))}
	if tools {
		for _, t := range readTools(m.Field("tool")) {
			out.tool = append(out.tool, glob(t.name))
		}
	}
	field := m.Field("labels")
	if tightens && field.IsMapping() { // tokens bind agents and teams
		field.Warn("the caller states labels, and no token binds them: who gives another value gets around this",
			"let it hang on the tool, the agent or the team, where the caller is not trusted")
	}
	if labels := field.Mapping(); labels.Present() {
		entries := labels.Entries()
		if len(entries) == 0 {
			field.Problem("labels names no label", `write "labels: {name: value}", or remove it`)
		}
		for _, e := range entries {
			if badName(e.Key, "the label's name", e.Name, "write it as calls have it") {
				continue
			}
			out.labels = append(out.labels, labelMatcher{e.Name, readGlobs(e.Value)})
		}
	}
	if out.all() {
		return nil
	}
	return out
}

// readGlobs reads one name or pattern, or a list of them.
func readGlobs(v yamlfile.Value) globs {
	var out globs
	for _, e := range oneOrMore(v) {
		name, ok := e.Text()
		const hint = "write it as calls have it; * stands for any run of characters, ? for one"
		if ok && !badName(e, "the name", name, hint) {
			out = append(out, glob(name))
		}
	}
	return out
}

// oneOrMore is a list's entries, or the value itself. An empty list, which would match nothing, or
// be taken for no condition, is a problem.
func oneOrMore(v yamlfile.Value) []yamlfile.Value {
	if !v.Present() {
		return nil
	}
	if !v.IsList() {
		return []yamlfile.Value{v}
	}
	list, _ := v.List()
	switch {
	case len(list) == 0:
		v.Problem("the list is empty", "fill it in, or remove it")
	case len(list) > maxListed:
		v.Problem(fmt.Sprintf("the list has more than %d entries", maxListed),
			"use a pattern with *, or several rules")
		return nil
	}
	return list
}
