package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/strictjson"
)

type outputFormat string

const (
	outputTable outputFormat = "table"
	OutputJSON  outputFormat = "json"
)

func (o *outputFormat) String() string { return string(*o) }
func (o *outputFormat) Type() string   { return "format" }

func (o *outputFormat) Set(s string) error {
	if f := outputFormat(s); f == outputTable || f == OutputJSON {
		*o = f
		return nil
	}
	return fmt.Errorf("use table or json")
}

func (a *App) Print(text string) error {
	_, err := io.WriteString(a.Stdout, text)
	return err
}

// Say prints sentences for people, which may hold hints such as 'pawl show ID'.
func (a *App) Say(text string) error { return a.Print(a.hint(text)) }

// Note writes a line to standard error, whatever it holds made visible.
func (a *App) Note(format string, args ...any) {
	fmt.Fprintln(a.Stderr, approval.DisplayLines(a.hint(fmt.Sprintf(format, args...)), 0))
}

// PrintJSON writes a document as it came. On a terminal it is indented, and what a terminal would
// act on or not show is written as \u escapes, which are the same JSON.
func (a *App) PrintJSON(doc []byte) error {
	if a.IsTerminal(a.Stdout) {
		doc = visibleJSON(doc)
	}
	return a.Print(string(bytes.TrimRight(doc, "\n")) + "\n")
}

func visibleJSON(doc []byte) []byte {
	var indented bytes.Buffer
	if err := json.Indent(&indented, doc, "", "  "); err != nil {
		return []byte(approval.DisplayLines(string(doc), 0)) // not JSON: no escape would be the same
	}
	return []byte(escape(indented.String(), func(r rune) bool { return r == '\n' || visible(r) }))
}

// visible reports whether a terminal shows r, and nothing but r.
func visible(r rune) bool { return approval.Display(string(r), 0) == string(r) }

// escape writes a text as JSON strings may hold it: what is not to be kept becomes \u escapes.
func escape(text string, keep func(rune) bool) string {
	var b strings.Builder
	for _, r := range text {
		switch hi, lo := utf16.EncodeRune(r); {
		case keep(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

var jsonEscapes = regexp.MustCompile(`(?:\\u[0-9A-Fa-f]{4})+|\\.`)

// readable writes the letters that a JSON text holds as \u escapes, as many encoders do with all
// but ASCII, so that people can read them. What can't be seen stays escaped.
func readable(doc []byte) string {
	return jsonEscapes.ReplaceAllStringFunc(string(doc), func(run string) string {
		var text string
		if !strings.HasPrefix(run, `\u`) || json.Unmarshal([]byte(`"`+run+`"`), &text) != nil {
			return run
		}
		return escape(text, func(r rune) bool { return visible(r) && r != '"' && r != '\\' })
	})
}

// PrintValue is PrintJSON for what was put together here.
func (a *App) PrintValue(v any) error {
	doc, err := strictjson.Marshal(v)
	if err != nil {
		return err
	}
	return a.PrintJSON(doc)
}

// Show prints a value as JSON, or else the text that says the same to people.
func (a *App) Show(v any, text string) error {
	if a.Output == OutputJSON {
		return a.PrintValue(v)
	}
	return a.Print(text)
}

// Listing is how a list of things is shown to people.
type Listing[T any] struct {
	Empty  string // what is said of none
	Header []string
	Row    func(T) []string // cells that are safe for a terminal: see Cell
}

// Print prints things that were put together here, as JSON or a table.
func (l Listing[T]) Print(a *App, items []T) error {
	if a.Output != OutputJSON {
		return l.table(a, items)
	}
	return a.PrintValue(struct {
		Items []T `json:"items"`
		Total int `json:"total"`
	}{append([]T{}, items...), len(items)})
}

// PrintPage prints what the API has listed, as JSON or a table.
func (l Listing[T]) PrintPage(a *App, p client.Page[T]) error {
	if a.Output != OutputJSON {
		return l.table(a, p.Items)
	}
	return PrintPage(a, p)
}

func (l Listing[T]) table(a *App, items []T) error {
	if len(items) == 0 {
		a.Note("%s", l.Empty)
		return nil
	}
	rows := make([][]string, len(items))
	for i, item := range items {
		rows[i] = l.Row(item)
	}
	return a.Print(a.Table(l.Header, rows))
}

// PrintPage writes a list in the API's own shape, items as they came.
func PrintPage[T any](a *App, p client.Page[T]) error {
	return a.PrintValue(struct {
		Items []json.RawMessage `json:"items"`
		Total int               `json:"total"`
		Next  string            `json:"next_cursor"`
	}{append([]json.RawMessage{}, p.Raw...), p.Total, p.Next})
}

// NoteMore tells people on standard error that a list was cut.
func NoteMore[T any](a *App, p client.Page[T]) {
	switch {
	case p.Next == "" || a.Output == OutputJSON: // nothing was cut, though some of the total may not have fit
	case len(p.Items) >= p.Total: // the total is of a part of the log
		a.Note("%d shown; there may be more, and --limit 0 shows all", len(p.Items))
	case p.Total > client.MoreThan:
		a.Note("%d shown of more than %d; --limit 0 shows all", len(p.Items), client.MoreThan)
	default:
		a.Note("%d shown of %d; --limit 0 shows all", len(p.Items), p.Total)
	}
}

// Width is how wide the terminal is: 80 columns where nobody says, or where there is none.
func (a *App) Width() int {
	const usual, least = 80, 40
	if a.Columns == nil || !a.IsTerminal(a.Stdout) {
		return usual
	}
	if n := a.Columns(); n > 0 {
		return max(n, least)
	}
	return usual
}

// Table lines up rows. Cells must be safe for a terminal: see Cell. On a terminal the widest cells
// are cut until the rows fit.
func (a *App) Table(header []string, rows [][]string) string {
	width := 0
	if a.IsTerminal(a.Stdout) {
		width = a.Width()
	}
	return TableOf(header, rows, width)
}

// TableOf lines up rows to at most width columns; 0 is any width. It never cuts the first column,
// and no cell to less than 6 columns.
func TableOf(header []string, rows [][]string, width int) string {
	const gap, least = 2, 6
	all := append([][]string{header}, rows...)
	widths := make([]int, len(header))
	total := -gap
	for c := range header {
		for _, row := range all {
			widths[c] = max(widths[c], columns(row[c]))
		}
		total += widths[c] + gap
	}
	for ; width > 0 && total > width; total-- {
		widest := 1 + slices.Index(widths[1:], slices.Max(widths[1:]))
		if widths[widest] <= least {
			break
		}
		widths[widest]--
	}
	var b strings.Builder
	for _, row := range all {
		line := ""
		for c, cell := range row {
			cell = Clip(cell, widths[c])
			line += cell + strings.Repeat(" ", widths[c]-columns(cell)+gap)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// columns is how wide a line is on a terminal.
func columns(line string) (n int) {
	for _, r := range line {
		n += present.Columns(r)
	}
	return n
}

// Clip cuts a line to a number of columns, and marks the cut.
func Clip(line string, most int) string {
	if columns(line) <= most {
		return line
	}
	end, left := 0, most-columns(approval.CutMark)
	for i, r := range line {
		if left -= present.Columns(r); left < 0 {
			end = i
			break
		}
	}
	return line[:end] + approval.CutMark
}

// Cell makes untrusted text fit for a table: one line, a visible cut, and no runs of spaces, with
// which a long line could imitate another row.
func Cell(s string, most int) string {
	if s == "" {
		return "-"
	}
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
	return approval.Display(present.Plain(present.Word(strings.Join(words, " "))), most)
}

// OneLine is JSON as a table cell.
func OneLine(doc json.RawMessage, most int) string {
	var b bytes.Buffer
	if json.Compact(&b, doc) != nil {
		return Cell(string(doc), most)
	}
	return Cell(readable(b.Bytes()), most)
}

// ShortHash is the beginning of a hash, for people to compare.
func ShortHash(hash string) string {
	if len(hash) > 12 {
		hash = hash[:12] + "…"
	}
	return Cell(hash, 0)
}

// Span writes a length of time as people say it, rounded to the nearest of the smallest unit it
// shows.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	unit := time.Second
	switch d = max(d, 0); {
	case d >= 2*day:
		unit = time.Hour
	case d >= 10*time.Minute:
		unit = time.Minute
	}
	switch d = d.Round(unit); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour && d%time.Minute != 0:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// Timestamp writes a time; one that is not known is empty.
func Timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

const (
	Bold   = present.Bold
	Red    = present.Red
	Green  = present.Green
	Yellow = present.Yellow
)

// Paint colours text that is safe already, on terminals that want colours.
func (a *App) Paint(code, s string) string {
	if !a.IsTerminal(a.Stdout) || a.Getenv("NO_COLOR") != "" || a.Getenv("TERM") == "dumb" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
