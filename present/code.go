package present

import (
	"regexp"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// styled marks a line of code, in which what a pattern finds stands out.
func styled(line string, find *regexp.Regexp, style func(word string) Style) []Span {
	var out []Span
	last := 0
	for _, at := range find.FindAllStringIndex(line, -1) {
		out = append(out, mark(line[last:at[0]], "", true)...)
		out = append(out, mark(line[at[0]:at[1]], style(line[at[0]:at[1]]), true)...)
		last = at[1]
	}
	return append(out, mark(line[last:], "", true)...)
}

func codeLines(text string, find *regexp.Regexp, style func(word string) Style) []Line {
	lines := textLines(text, true)
	raw := strings.Split(text, "\n")
	if len(lines) != len(raw) { // gaps were marked, and lines no longer match
		for i := range lines {
			if len(lines[i].Spans) == 1 && lines[i].Spans[0].Kind == Gap {
				continue
			}
			lines[i].Spans = styled(Raw(lines[i].Spans), find, style)
		}
		return numbered(lines)
	}
	for i := range lines {
		lines[i].Spans = styled(raw[i], find, style)
	}
	return numbered(lines)
}

var shellDanger = regexp.MustCompile(`&&|\|\||[;|<>]+|` + "`" + `|\$\(|` +
	`\b(?:rm|sudo|doas|dd|mkfs\S*|shred|chmod|chown|kill|eval|exec|curl|wget|truncate)\b`)

func shellLines(text string) []Line {
	return codeLines(text, shellDanger, func(string) Style { return Danger })
}

var (
	sqlWords = regexp.MustCompile(`(?i)\b(?:select|insert|into|update|delete|from|where|and|or|set|values|` +
		`join|drop|truncate|alter|create|table|grant|revoke|merge|with|union|limit|order|group|by|call|copy|` +
		`exec|execute|replace)\b`)
	sqlDanger = map[string]bool{
		"delete": true, "drop": true, "truncate": true, "update": true, "alter": true, "grant": true,
	}
	sqlStart = regexp.MustCompile(`(?i)^\s*(?:--[^\n]*\n\s*|/\*[^*]*\*/\s*)*(?:select|insert|update|` +
		`delete|drop|truncate|alter|create|grant|revoke|merge|with|call|copy|exec|execute|replace|begin|` +
		`explain)\b`)
)

func isSQL(text string) bool { return sqlStart.MatchString(text) }

func sqlStyle(word string) Style {
	if sqlDanger[strings.ToLower(word)] {
		return Danger
	}
	return Keyword
}

func sqlLines(text string) []Line {
	lines := codeLines(text, sqlWords, sqlStyle)
	if slices.ContainsFunc(splitSQL(text), everyRow) && len(lines) > 0 {
		last := &lines[len(lines)-1]
		last.Spans = append(last.Spans, Span{Kind: Note, Text: "no WHERE: every row"})
	}
	return lines
}

// isDiff reports a text in the unified form.
func isDiff(text string) bool {
	if strings.HasPrefix(text, "diff --git ") {
		return true
	}
	first, rest, _ := strings.Cut(text, "\n")
	second, third, _ := strings.Cut(rest, "\n")
	return strings.HasPrefix(first, "--- ") && strings.HasPrefix(second, "+++ ") &&
		strings.HasPrefix(third, "@@")
}

var hunkHead = regexp.MustCompile(`^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@`)

// diff shows a text in the unified form as it is written.
func (p *presenter) diff(name []Span, text string) {
	b := Block{Kind: BlockDiff, Name: name}
	var oldLine, newLine, oldLeft, newLeft, head int
	inHunk := false
	// close says that a hunk holds another number of lines than its head promises.
	closeHunk := func() {
		if inHunk && (oldLeft != 0 || newLeft != 0) {
			b.Lines[head].Spans = append(b.Lines[head].Spans, Span{Kind: Note, Text: "counts don't match"})
		}
		inHunk = false
	}
	lines := strings.Split(text, "\n")
	for i, raw := range lines {
		line := Line{Spans: mark(raw, "", true)}
		m := hunkHead.FindStringSubmatch(raw)
		inside := inHunk && (oldLeft > 0 || newLeft > 0)
		switch {
		case m != nil && !inside:
			closeHunk()
			oldLine, newLine = number(m[1], 0), number(m[3], 0)
			oldLeft, newLeft = number(m[2], 1), number(m[4], 1)
			line.Sign, head, inHunk = Hunk, len(b.Lines), true
		case inHunk && strings.HasPrefix(raw, "+") && (newLeft > 0 || !strings.HasPrefix(raw, "+++ ")):
			line = Line{Sign: Added, New: newLine, Spans: mark(raw[1:], "", true)}
			newLine, newLeft = newLine+1, newLeft-1
		case inHunk && strings.HasPrefix(raw, "-") && (oldLeft > 0 || !strings.HasPrefix(raw, "--- ")):
			line = Line{Sign: Removed, Old: oldLine, Spans: mark(raw[1:], "", true)}
			oldLine, oldLeft = oldLine+1, oldLeft-1
		case inHunk && strings.HasPrefix(raw, " "):
			line = Line{Sign: Same, Old: oldLine, New: newLine, Spans: mark(raw[1:], "", true)}
			oldLine, newLine, oldLeft, newLeft = oldLine+1, newLine+1, oldLeft-1, newLeft-1
		case inHunk && raw == "" && i < len(lines)-1 && inside: // some tools write empty lines so
			line = Line{Sign: Same, Old: oldLine, New: newLine}
			oldLine, newLine, oldLeft, newLeft = oldLine+1, newLine+1, oldLeft-1, newLeft-1
		case m != nil, strings.HasPrefix(raw, "@@"):
			closeHunk()
			line.Sign = Hunk
		default:
			if raw != "" && !strings.HasPrefix(raw, `\`) {
				closeHunk()
			}
			line.Sign = File
		}
		b.Lines = append(b.Lines, line)
	}
	closeHunk()
	p.add(b)
}

func number(digits string, otherwise int) int {
	if digits == "" {
		return otherwise
	}
	n := 0
	for _, d := range digits {
		n = n*10 + int(d-'0')
	}
	return n
}

// change shows what becomes of a text, line by line, and in changed lines word by word.
func (p *presenter) change(name []Span, was, now string) {
	b := Block{Kind: BlockDiff, Name: name}
	oldLine, newLine, added, removed := 1, 1, 0, 0
	for _, o := range compare(strings.Split(was, "\n"), strings.Split(now, "\n"), 0) {
		if o.same {
			for _, l := range o.was {
				b.Lines = append(b.Lines, Line{Sign: Same, Old: oldLine, New: newLine, Spans: mark(l, "", true)})
				oldLine, newLine = oldLine+1, newLine+1
			}
			continue
		}
		words := make([][2][]Span, min(len(o.was), len(o.now)))
		for i := range words {
			words[i][0], words[i][1] = changedWords(o.was[i], o.now[i])
		}
		for i, l := range o.was {
			spans := mark(l, "", true)
			if i < len(words) {
				spans = words[i][0]
			}
			b.Lines = append(b.Lines, Line{Sign: Removed, Old: oldLine, Spans: spans})
			oldLine++
		}
		for i, l := range o.now {
			spans := mark(l, "", true)
			if i < len(words) {
				spans = words[i][1]
			}
			b.Lines = append(b.Lines, Line{Sign: Added, New: newLine, Spans: spans})
			newLine++
		}
		added, removed = added+len(o.now), removed+len(o.was)
	}
	lines := approval.Plural(added, "line") + " added, " + approval.Plural(removed, "line") + " removed"
	b.Note = []Span{{Kind: Note, Text: lines}}
	p.add(b)
}

var wordOrOne = regexp.MustCompile(`[\pL\pN_]+|\s+|.`)

func changedWords(was, now string) (before, after []Span) {
	for _, o := range compare(wordOrOne.FindAllString(was, -1), wordOrOne.FindAllString(now, -1), 0) {
		style := Changed
		if o.same {
			style = ""
		}
		before = append(before, mark(strings.Join(o.was, ""), style, true)...)
		after = append(after, mark(strings.Join(o.now, ""), style, true)...)
	}
	return before, after
}
