// Package present turns a call into blocks of text that are safe to show, and into one line that
// says what would happen. Page, terminal, Temporal's details and messages draw the same blocks, so
// that they mark the same things.
//
// Nothing is hidden and nothing is changed: the spans of a value hold each of its characters, in
// order. What can't be seen, what looks like something else, and what pushes text off the screen is
// marked where it stands; Raw undoes that. The package is pure, and its work grows linearly with
// what it is given.
package present

import (
	"encoding/json"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Kind is what a Span is.
type Kind string

const (
	Text     Kind = "text"     // is shown as it is
	Hidden   Kind = "hidden"   // stands for N characters that can't be seen, such as U+202E
	Look     Kind = "look"     // is a letter that looks like another one
	Gap      Kind = "gap"      // stands for N spaces, tabs or empty lines
	Redacted Kind = "redacted" // stands where the policy hides a value
	Cut      Kind = "cut"      // stands for N characters that are not shown here
	Note     Kind = "note"     // is Pawl's own word about what stands before it
)

// Style says how the text of a Span is drawn.
type Style string

const (
	Value   Style = "value"   // a word from outside, in a sentence of Pawl's
	Strong  Style = "strong"  // what decides, such as the host of an address
	Dim     Style = "dim"     // what does not, such as its scheme
	Danger  Style = "danger"  // can destroy
	Keyword Style = "keyword" // of a language
	String  Style = "string"
	Number  Style = "number" // also true, false and null
	Key     Style = "key"    // the name of a value in a tree
	Changed Style = "changed"
)

// Span is a piece of a line, of one kind.
type Span struct {
	Kind  Kind   `json:"t"`
	Text  string `json:"s"`
	Name  string `json:"name,omitempty"` // of a character or a hidden value, for people
	N     int    `json:"n,omitempty"`    // how many characters it stands for, if that is not one
	Style Style  `json:"as,omitempty"`
}

// Line is one line of a block.
type Line struct {
	Spans []Span `json:"spans"`
	Sign  Sign   `json:"sign,omitempty"`  // of a diff
	Old   int    `json:"old,omitempty"`   // number of the line before a change
	New   int    `json:"new,omitempty"`   // and after it, or in a new file
	Depth int    `json:"depth,omitempty"` // in a tree
	// Closed is how many lines below this one of a tree are closed at first.
	Closed int `json:"closed,omitempty"`
}

// Sign says what a line of a diff is.
type Sign string

const (
	Added   Sign = "+"
	Removed Sign = "-"
	Same    Sign = " "
	Hunk    Sign = "@"
	File    Sign = "file"
)

// Row is one row of a table, of facts, of a mail or of a comparison.
type Row struct {
	Name  []Span `json:"name,omitempty"`
	Was   []Line `json:"was,omitempty"` // of a comparison
	Value []Line `json:"value,omitempty"`
	Note  []Span `json:"note,omitempty"`
	// Cells are those of a table with Columns, which has none of the others.
	Cells [][]Span `json:"cells,omitempty"`
}

// BlockKind is how a Block is drawn.
type BlockKind string

const (
	BlockFacts   BlockKind = "facts"
	BlockTable   BlockKind = "table"
	BlockText    BlockKind = "text"
	BlockCode    BlockKind = "code"
	BlockDiff    BlockKind = "diff"
	BlockMail    BlockKind = "mail"
	BlockTree    BlockKind = "tree"
	BlockCompare BlockKind = "compare"
)

// Part is what of a call a Block shows.
type Part string

const (
	PartFacts  Part = "facts"
	PartArgs   Part = "args"
	PartSaid   Part = "said" // the agent's own words
	PartResult Part = "result"
	PartPolicy Part = "policy" // what the active policy says otherwise
)

// Block is one thing to show. It has Rows, or Lines, or both: a mail has its body in Lines.
type Block struct {
	Kind    BlockKind `json:"kind"`
	Part    Part      `json:"part"`
	Name    []Span    `json:"name,omitempty"` // where it stands in the arguments; none: it is all of them
	Lang    string    `json:"lang,omitempty"` // of code: sql, shell, or what a file's name ends with
	Columns [][]Span  `json:"columns,omitempty"`
	Rows    []Row     `json:"rows,omitempty"`
	Lines   []Line    `json:"lines,omitempty"`
	Chars   int       `json:"chars"` // of what it shows
	Note    []Span    `json:"note,omitempty"`
	Found   *Found    `json:"found,omitempty"`
}

// Found counts what is made to look like something else.
type Found struct {
	Hidden int `json:"hidden,omitempty"` // characters that can't be seen
	Look   int `json:"look,omitempty"`   // letters that look like others
	Gaps   int `json:"gaps,omitempty"`
}

// Any reports whether anything was found.
func (f Found) Any() bool { return f != Found{} }

// String reads "2 hidden characters, 1 look-alike letter, 1 gap".
func (f Found) String() string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{f.Hidden, "hidden character"}, {f.Look, "look-alike letter"}, {f.Gaps, "gap"}} {
		if part.n > 0 {
			parts = append(parts, approval.Plural(part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}

func (f *Found) add(other Found) {
	f.Hidden += other.Hidden
	f.Look += other.Look
	f.Gaps += other.Gaps
}

func found(spans []Span) (f Found) {
	for _, s := range spans {
		switch s.Kind {
		case Hidden:
			f.Hidden += max(s.N, 1)
		case Look:
			f.Look++
		case Gap:
			f.Gaps++
		}
	}
	return f
}

// Tool is what the catalogue says of a call's tool.
type Tool struct {
	Schema json.RawMessage // of its arguments; none: it is not known
	// Trusted: an operator published the tool. Of the others, only what a schema says of values
	// counts, and not how they are to be shown.
	Trusted bool
	// Redacts are the names of the fields that the policy hides in the call.
	Redacts []string
}

// Call is a call as it is shown.
type Call struct {
	Summary []Span
	Blocks  []Block
	Found   Found
}

// Of presents a call. The view is redacted.
func Of(v approval.View, t Tool) Call {
	p := presenter{schema: readSchema(t)}
	args, err := parse(v.Args)
	if err == nil && len(t.Redacts) > 0 {
		args.nameFields(t.Redacts)
	}
	var out Call
	if facts := facts(v); len(facts.Rows) > 0 {
		out.Blocks = append(out.Blocks, facts)
	}
	switch {
	case len(v.Args) == 0:
	case err != nil:
		p.part = PartArgs
		p.text(nil, string(v.Args))
	default:
		p.part = PartArgs
		p.arguments(args)
	}
	out.Summary = p.summary(v.Tool, args)
	p.part = PartSaid
	for _, said := range []struct{ name, text string }{
		{"title", v.Title}, {"description", v.Description}, {"reason", v.Reason},
	} {
		if said.text != "" {
			p.text([]Span{{Kind: Note, Text: said.name}}, said.text)
		}
	}
	p.part = PartResult
	if result, err := parse(v.Result); len(v.Result) > 0 && err == nil {
		p.schema = schema{}
		p.any(nil, result)
	}
	out.Blocks = append(out.Blocks, p.done()...)
	for _, b := range out.Blocks {
		if b.Found != nil {
			out.Found.add(*b.Found)
		}
	}
	return out
}

// Summary is the line of Of alone, as short as rows of a list need it.
func Summary(v approval.View, t Tool) []Span {
	args, _ := parse(v.Args)
	p := presenter{schema: readSchema(t), inRow: true}
	return p.summary(v.Tool, args)
}

// presenter collects the blocks of one call.
type presenter struct {
	schema schema
	part   Part
	blocks []Block
	inRow  bool // the summary stands in a row of a list
}

func (p *presenter) add(b Block) {
	b.Part = p.part
	p.blocks = append(p.blocks, b)
}

// done returns the blocks, counted and bounded.
func (p *presenter) done() []Block {
	left := maxSpans
	for i := range p.blocks {
		count(&p.blocks[i])
		p.blocks[i].bound(&left)
	}
	return p.blocks
}

func facts(v approval.View) Block {
	b := Block{Kind: BlockFacts, Part: PartFacts}
	row := func(name, value string) {
		if value != "" {
			b.Rows = append(b.Rows, Row{Name: []Span{{Kind: Note, Text: name}}, Value: []Line{{Spans: Word(value)}}})
		}
	}
	row("agent", v.Agent)
	row("team", v.Team)
	row("session", v.Session)
	row("requester", v.Requester)
	for _, name := range sorted(v.Labels) {
		row("label", name+"="+v.Labels[name])
	}
	count(&b)
	return b
}

func whole(lines []Line) {
	for i := range lines {
		if lines[i].Spans == nil {
			lines[i].Spans = []Span{}
		}
	}
}

// maxSpans bounds the pieces of what is shown, which a text full of marks has many of.
const maxSpans = 20_000

// bound takes away what is over the bound, and says how much that is.
func (b *Block) bound(left *int) {
	size := 0
	b.each(func(spans []Span) { size += len(spans) })
	if *left -= size; *left >= 0 {
		return
	}
	room := max(*left+size, 0)
	*left = 0
	rows, lines, shown := b.Rows, b.Lines, 0
	b.Rows, b.Lines = nil, nil
	take := func(spans []Span) []Span {
		spans = spans[:min(len(spans), room)]
		room -= len(spans)
		shown += len([]rune(Raw(spans)))
		return spans
	}
	b.Name = take(b.Name)
	for i := range b.Columns {
		b.Columns[i] = take(b.Columns[i])
	}
	for _, r := range rows {
		if room == 0 {
			break
		}
		r.Name, r.Was, r.Value = take(r.Name), takeLines(r.Was, take), takeLines(r.Value, take)
		for i := range r.Cells {
			r.Cells[i] = take(r.Cells[i])
		}
		b.Rows = append(b.Rows, r)
	}
	for _, l := range lines {
		if room == 0 {
			break
		}
		l.Spans = take(l.Spans)
		b.Lines = append(b.Lines, l)
	}
	text := approval.Plural(b.Chars-shown, "character") + " more: the JSON has them all"
	b.Lines = append(b.Lines, Line{Spans: []Span{{Kind: Cut, Text: text, N: b.Chars - shown}}})
}

func takeLines(lines []Line, take func([]Span) []Span) []Line {
	for i := range lines {
		lines[i].Spans = take(lines[i].Spans)
	}
	return lines
}

// each calls f with all spans of a block.
func (b *Block) each(f func([]Span)) {
	f(b.Name)
	for _, c := range b.Columns {
		f(c)
	}
	for _, r := range b.Rows {
		f(r.Name)
		for _, lines := range [][]Line{r.Was, r.Value} {
			for _, l := range lines {
				f(l.Spans)
			}
		}
		for _, c := range r.Cells {
			f(c)
		}
	}
	for _, l := range b.Lines {
		f(l.Spans)
	}
}

// count notes how much a block shows and what was found in it, and leaves no list of spans null.
func count(b *Block) {
	var f Found
	whole(b.Lines)
	for _, r := range b.Rows {
		whole(r.Was)
		whole(r.Value)
	}
	b.each(func(spans []Span) {
		f.add(found(spans))
		b.Chars += len([]rune(Raw(spans)))
	})
	if f.Any() {
		b.Found = &f
	}
}
