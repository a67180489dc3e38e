package present

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/pawlhq/pawl/approval"
)

// longest value in a summary, in characters.
const longest = 60

func word(s string) Span { return Span{Kind: Text, Text: s} }

// brief is a value in a sentence, cut where it is long.
func brief(v *value) []Span {
	switch {
	case v == nil:
		return []Span{{Kind: Note, Text: "not given"}}
	case v.kind == '[':
		return []Span{word(approval.Plural(len(v.items), "item"))}
	case v.kind == '{':
		return []Span{word("an object")}
	case v.kind == 's' && v.text == "":
		return []Span{{Kind: Note, Text: "empty text"}}
	case v.kind == 's':
		return briefText(v.text)
	case v.kind == 0:
		return []Span{{Kind: Text, Text: "null", Style: Value}}
	}
	return briefText(v.text)
}

// say is a sentence with values in place of each %.
func say(text string, values ...[]Span) []Span {
	var out []Span
	for i, piece := range strings.Split(text, "%") {
		if i > 0 {
			out = append(out, values[i-1]...)
		}
		if piece != "" {
			out = append(out, word(piece))
		}
	}
	return out
}

func briefText(s string) []Span {
	runes := []rune(s)
	rest := len(runes) - longest
	if rest > 0 {
		s = string(runes[:longest])
	}
	spans := mark(s, Value, true)
	if rest > 0 {
		text := fmt.Sprintf("and %s more", approval.Plural(rest, "character"))
		spans = append(spans, Span{Kind: Cut, Text: text, N: rest})
	}
	return spans
}

// summary says in one line what would happen: by the template of an operator's tool, by the shape
// of the arguments, or by naming the first of them.
func (p *presenter) summary(tool string, args *value) []Span {
	if args == nil || args.kind != '{' {
		return append([]Span{word("Run ")}, briefText(tool)...)
	}
	if p.schema.summary != "" {
		if pieces, err := split(p.schema.summary); err == nil {
			var out []Span
			for _, piece := range pieces {
				switch v := args.get(piece.name); {
				case piece.name == "" && piece.text != "":
					out = append(out, word(piece.text))
				case piece.name == "":
				default:
					if money, _, ok := p.money(args, member{piece.name, v}); ok {
						out = append(out, money...)
					} else {
						out = append(out, brief(v)...)
					}
				}
			}
			return out
		}
	}
	if out := p.shapeSummary(tool, args); out != nil {
		return out
	}
	return p.firstArguments(tool, args)
}

func (p *presenter) shapeSummary(tool string, args *value) []Span {
	_, file := args.first(pathNames...)
	shapes := presenter{schema: p.schema}
	shapes.shaped(nil, args, map[string]bool{})
	for _, m := range args.members {
		if p.as(m.name, m.value) == "diff" {
			shapes.diff(nil, m.value.text)
		}
	}
	if out := changeSummary(file, shapes.blocks, p.inRow); out != nil {
		return out
	}
	if len(shapes.blocks) == 1 && shapes.blocks[0].Kind == BlockCode && file.isText() {
		return say("Write %, "+approval.Plural(len(shapes.blocks[0].Lines), "line"), brief(file))
	}
	if len(shapes.blocks) == 1 && shapes.blocks[0].Kind == BlockMail {
		var all []*value
		for _, key := range []string{"to", "cc", "bcc"} {
			if m := args.get(key); m != nil {
				all = append(all, addresses(m)...)
			}
		}
		to := []Span{word(fmt.Sprintf("%d addresses", len(all)))}
		if len(all) == 1 {
			to = brief(all[0])
		}
		if subject := args.get("subject"); subject != nil {
			return say("Send an e-mail to %: %", to, brief(subject))
		}
		return say("Send an e-mail to %", to)
	}
	var members, others []member // those named so come before fallback_command
	for _, m := range args.members {
		if slices.Contains(commandNames, m.name) || slices.Contains(sqlNames, m.name) {
			members = append(members, m)
		} else {
			others = append(others, m)
		}
	}
	for _, m := range append(members, others...) {
		switch as := p.as(m.name, m.value); {
		case as == "shell" && m.value.isText():
			return say("Run the command %", brief(m.value))
		case as == "shell":
			return append(say("Run the command "), briefText(joinWords(m.value))...)
		case as == "sql":
			return sqlSummary(m.value)
		}
	}
	if path := file; path.isText() && deleting.MatchString(tool) {
		return say("Delete %", brief(path))
	}
	_, address := args.first("url", "uri")
	if method := args.get("method"); method.isText() && address.isText() && isURL(address.text) {
		_, rest, _ := strings.Cut(address.text, "://")
		host := rest[strings.LastIndex(rest[:indexOrEnd(rest, `/?#\`)], "@")+1:]
		return say("% to %", brief(method), briefText(host[:indexOrEnd(host, `/?#\`)]))
	}
	return nil
}

func indexOrEnd(s, any string) int {
	if i := strings.IndexAny(s, any); i >= 0 {
		return i
	}
	return len(s)
}

var deleting = regexp.MustCompile(`(?i)(?:^|[._:/-])(?:delete|remove|unlink|rm)(?:$|[._:/-])`)

func joinWords(v *value) string {
	var words []string
	for _, item := range v.items {
		words = append(words, item.text)
	}
	return strings.Join(words, " ")
}

// firstArguments names up to four scalars, in the order of the schema, and says how many more there
// are.
func (p *presenter) firstArguments(tool string, args *value) []Span {
	const most = 4
	out := append([]Span{word("Run ")}, briefText(tool)...)
	names := slices.Clone(p.schema.order)
	for _, m := range args.members {
		if !slices.Contains(names, m.name) {
			names = append(names, m.name)
		}
	}
	said, left := 0, 0
	for _, name := range names {
		v := args.get(name)
		switch {
		case v == nil:
			continue
		case said == most || !v.scalar():
			left++
			continue
		case said == 0:
			out = append(out, word(": "))
		default:
			out = append(out, word(", "))
		}
		out = append(append(out, briefText(name)...), word(" "))
		if money, _, ok := p.money(args, member{name, v}); ok {
			out = append(out, money...)
		} else {
			out = append(out, brief(v)...)
		}
		said++
	}
	switch {
	case left > 0 && said > 0:
		out = append(out, word(fmt.Sprintf(", and %d more", left)))
	case left > 0:
		out = append(out, word(" with "+approval.Plural(left, "argument")))
	}
	return out
}

// currencies of ISO 4217 whose minor unit is not a hundredth: how many digits it has.
var currencies = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
	"VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0, "UYI": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4,
}

var wholeNumber = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)$`)

// money is an amount with the currency beside it. Only a schema says that it counts minor units.
func (p *presenter) money(of *value, m member) (spans []Span, note string, ok bool) {
	prop := p.schema.properties[m.name]
	named := slices.Contains([]string{"amount", "price", "total"}, m.name) || prop.As == "money" || prop.Minor
	currency := of.get("currency")
	if !named || m.value == nil || m.value.kind != 'n' || !currency.isText() || len(currency.text) != 3 ||
		strings.ContainsFunc(currency.text, func(r rune) bool { return r > 'Z' || !unicode.IsUpper(r) }) {
		return nil, "", false
	}
	amount, note := m.value.text, "raw value "+m.value.text
	if prop.Minor {
		if !wholeNumber.MatchString(amount) {
			note += ", not a whole number of minor units"
		} else {
			digits, special := currencies[currency.text]
			if !special {
				digits = 2
			}
			amount, note = shift(amount, digits), note+", minor units"
		}
	}
	return []Span{{Kind: Text, Text: amount + " " + currency.text, Style: Strong}}, note, true
}

// shift moves the decimal point of a whole number to the left.
func shift(number string, digits int) string {
	sign := ""
	if strings.HasPrefix(number, "-") {
		sign, number = "-", number[1:]
	}
	if digits == 0 {
		return sign + number
	}
	if missing := digits + 1 - len(number); missing > 0 {
		number = strings.Repeat("0", missing) + number
	}
	return sign + number[:len(number)-digits] + "." + number[len(number)-digits:]
}
