package present

import (
	"slices"
	"strings"
)

var (
	commandNames = []string{"command", "cmd", "script", "argv"}
	sqlNames     = []string{"sql", "query", "statement"}
	bodyNames    = []string{"body", "text", "html"}
	pathNames    = []string{"file_path", "path", "filename", "file"}
	copyNames    = []string{"from", "reply_to", "to", "cc", "bcc"}
	edits        = [][2]string{{"old_string", "new_string"}, {"old_text", "new_text"}, {"before", "after"}}
)

// as says how a text is shown: as a word of Presentations, or "" for no special way. The schema
// of an operator's tool comes first, then the text itself and its name.
func (p *presenter) as(name string, v *value) string {
	if !v.isText() && !named(name, commandNames) {
		return ""
	}
	prop := p.schema.properties[name]
	switch {
	case prop.As != "" && v.isText():
		return prop.As
	case prop.Media == "text/x-diff":
		return "diff"
	case prop.Media == "application/sql":
		return "sql"
	case prop.Media == "text/x-shellscript":
		return "shell"
	case prop.Media == "text/markdown", prop.Media == "text/html", prop.Media == "message/rfc822":
		return "text"
	case named(name, commandNames):
		return "shell"
	case !v.isText():
		return ""
	case isDiff(v.text):
		return "diff"
	case named(name, sqlNames) && isSQL(v.text):
		return "sql"
	case prop.Format == "uri" || isURL(v.text):
		return "url"
	case prop.Format == "email":
		return "email"
	}
	return ""
}

// named reports one of the names, or one that ends so: fallback_command and fallbackCommand, too.
func named(name string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		return name == n || strings.HasSuffix(name, "_"+n) || strings.HasSuffix(name, strings.ToUpper(n[:1])+n[1:])
	})
}

// arguments shows what a call is given: what has a shape of its own, then a table of what is left,
// then what does not fit into one.
func (p *presenter) arguments(v *value) {
	if v.kind != '{' {
		p.any(nil, v)
		return
	}
	used := map[string]bool{}
	p.shaped(nil, v, used)
	var rest, large, trees []member
	for _, m := range v.members {
		switch as := p.as(m.name, m.value); {
		case used[m.name]:
		case p.schema.properties[m.name].As == "tree":
			trees = append(trees, m)
		case as == "shell", as == "sql", as == "diff", as == "code":
			p.special(Word(m.name), as, m.value)
		case as == "text" || !m.value.short():
			large = append(large, m)
		default:
			rest = append(rest, m)
		}
	}
	if len(rest) > 0 {
		p.table(nil, v, rest)
	}
	for _, m := range large {
		p.any(Word(m.name), m.value)
	}
	for _, m := range trees {
		p.tree(Word(m.name), m.value)
	}
}

// shaped shows what several members of an object say together, and notes which.
func (p *presenter) shaped(name []Span, v *value, used map[string]bool) bool {
	_, where := v.first(pathNames...) // it stays in the table, where each of its characters can be told
	n := len(p.blocks)
	show := func(title []Span, change *value) bool {
		for _, pair := range edits {
			if was, now := change.get(pair[0]), change.get(pair[1]); was.isText() && now.isText() {
				p.change(title, was.text, now.text)
				used[pair[0]], used[pair[1]] = true, true
				return true
			}
		}
		return false
	}
	title := name
	if where.isText() {
		title = append(slices.Clone(name), Word(where.text)...)
	}
	if !show(title, v) {
		if list, changes := v.first("edits", "changes"); changes != nil && isEdits(changes) {
			for _, c := range changes.items {
				show(title, c)
				p.others(c)
			}
			used[list] = true
		}
	}
	if content := v.get("content"); len(p.blocks) == n && where.isText() && content.isText() && content.long() {
		b := Block{Kind: BlockCode, Name: title, Lang: language(where.text)}
		b.Lines = inLanguage(b.Lang, content.text)
		p.add(b)
		used["content"] = true
	}
	if len(p.blocks) > n {
		return true
	}
	return p.mail(name, v, used)
}

func isEdits(list *value) bool {
	if list.kind != '[' || len(list.items) == 0 {
		return false
	}
	for _, item := range list.items {
		if !slices.ContainsFunc(edits, func(pair [2]string) bool {
			return item.get(pair[0]).isText() && item.get(pair[1]).isText()
		}) {
			return false
		}
	}
	return true
}

// others shows what one edit of a list holds beside its texts.
func (p *presenter) others(change *value) {
	var rest []member
	for _, m := range change.members {
		shown := func(pair [2]string) bool { return m.name == pair[0] || m.name == pair[1] }
		if !slices.ContainsFunc(edits, shown) {
			rest = append(rest, m)
		}
	}
	if len(rest) > 0 {
		p.tree(nil, &value{kind: '{', members: rest})
	}
}

// any shows one value under a name.
func (p *presenter) any(name []Span, v *value) {
	used := map[string]bool{}
	switch {
	case v.isText():
		p.text(name, v.text)
	case v.kind == '{' && p.shaped(name, v, used):
		var rest []member
		for _, m := range v.members {
			if !used[m.name] {
				rest = append(rest, m)
			}
		}
		if len(rest) > 0 {
			p.tree(name, &value{kind: '{', members: rest})
		}
	case v.flat():
		p.table(name, v, v.members)
	case p.grid(name, v):
	default:
		p.tree(name, v)
	}
}

func (p *presenter) special(name []Span, as string, v *value) {
	switch {
	case v.kind == '[':
		b := Block{Kind: BlockCode, Lang: "shell", Name: name}
		for _, item := range v.items {
			b.Lines = append(b.Lines, Line{Spans: scalarSpans(item, true)})
		}
		if !slices.ContainsFunc(v.items, func(i *value) bool { return !i.scalar() }) {
			p.add(b)
			return
		}
		p.tree(name, v)
	case !v.isText():
		p.any(name, v)
	case as == "diff":
		p.diff(name, v.text)
	case as == "shell":
		p.add(Block{Kind: BlockCode, Lang: "shell", Name: name, Lines: shellLines(v.text)})
	case as == "sql":
		p.add(Block{Kind: BlockCode, Lang: "sql", Name: name, Lines: sqlLines(v.text)})
	default:
		p.add(Block{Kind: BlockCode, Name: name, Lines: numbered(textLines(v.text, true))})
	}
}

func numbered(lines []Line) []Line {
	for i := range lines {
		lines[i].New = i + 1
	}
	return lines
}
