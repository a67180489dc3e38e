package policy

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// classifier looks at the names of tools that no rule is about. It only ever adds scrutiny.
type classifier struct {
	dangerous, safe globs
	rule            *rule
}

// readClassifier reads classify, dangerous_tools and safe_tools.
func (r *reader) readClassifier(m *yamlfile.Mapping) {
	on := m.Field("classify")
	classify, _ := on.Bool()
	c := &classifier{}
	listed := map[string]string{}
	for _, list := range []struct {
		name string
		into *globs
	}{{"dangerous_tools", &c.dangerous}, {"safe_tools", &c.safe}} {
		v := m.Field(list.name)
		if v.Present() && !classify {
			v.Problem(list.name+" does nothing without classify: true",
				`write "classify: true", or remove it`)
		}
		for _, t := range readTools(v) {
			if first, twice := listed[t.name]; twice {
				t.at.Problem(fmt.Sprintf("%q is listed already", t.name), "keep one; the first is at "+first)
				continue
			}
			listed[t.name] = t.at.Where()
			*list.into = append(*list.into, glob(t.name))
		}
	}
	if !classify {
		return
	}
	c.rule = r.newRule(on, formClassify, []string{"true"})
	c.rule.kind, c.rule.risk = approval.VerdictRequire, approval.RiskHigh
	r.layer.classifier = c
}

// danger says what makes a name dangerous, or else why it is not.
func (c *classifier) danger(tool string) (danger, whyNot string) {
	if c.dangerous.match(tool) {
		return "the tool is one of dangerous_tools", ""
	}
	if c.safe.match(tool) {
		return "", "the tool is one of safe_tools"
	}
	if word := dangerousWord(tool); word != "" {
		return fmt.Sprintf("the tool's name has the dangerous word %q", word), ""
	}
	return "", "the tool's name has no dangerous word"
}

//go:embed words.txt
var wordsText string

// wordLists are the sections of words.txt. Of pairs it has the
// first word, and both: "read", "read secrets".
var wordLists = sync.OnceValue(func() map[string]map[string]bool {
	lists := map[string]map[string]bool{}
	section := ""
	for line := range strings.Lines(wordsText) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			lists[section] = map[string]bool{}
		default:
			first, others, pair := strings.Cut(line, ":")
			if pair {
				lists[section][first] = true
			} else {
				others = line
			}
			for _, word := range strings.Fields(others) {
				if pair {
					word = first + " " + word
				}
				lists[section][word] = true
			}
		}
	}
	return lists
})

// dangerousWord returns the word for which a tool's name is held, or "". Names are taken apart at
// dots, slashes and colons, and behind words of "joins"; then, in each part, words are compared
// whole:
//
//   - a word of the list "anywhere" counts wherever it stands;
//   - one of "acts" does not count in a part that begins with a word that only looks: get_payment;
//   - one of "makes" does not count there either, nor in the name of a report: create_report;
//   - one of "housekeeping" does not count where the part ends as a report about it:
//     prune_old_logs_report. There must be something between the two: prune_report throws a report
//     away;
//   - two of "pairs" count together: read_secrets;
//   - a word of "anywhere" or "acts" also counts where one of "objects" is written behind it without
//     a gap: deletefile.
func dangerousWord(name string) string {
	for part := range strings.FieldsFuncSeq(name,
		func(r rune) bool { return r == '.' || r == '/' || r == ':' }) {
		// DELETEFile and DELETEfile: the last capital may belong to either.
		for _, behind := range []bool{false, true} {
			words := splitWords(part, behind)
			for len(words) > 0 {
				end := slices.IndexFunc(words, func(w string) bool { return wordLists()["joins"][w] })
				if end < 0 {
					end = len(words)
				}
				if word := dangerousOf(words[:end]); word != "" {
					return word
				}
				words = words[min(end+1, len(words)):]
			}
		}
	}
	return ""
}

func dangerousOf(words []string) string {
	if len(words) == 0 {
		return ""
	}
	lists, last := wordLists(), len(words)-1
	looks, reports := lists["looks"][words[0]], lists["reports"][words[last]]
	for i, w := range words {
		verb := cmp.Or(verbOf(w), w)
		if lists["anywhere"][verb] || lists["acts"][verb] && !looks ||
			lists["makes"][w] && !looks && !reports || lists["housekeeping"][w] && !(reports && last > i+1) {
			return w
		}
		if !lists["pairs"][w] {
			continue
		}
		for _, other := range words {
			if lists["pairs"][w+" "+other] {
				return w + " … " + other
			}
		}
	}
	return ""
}

// verbOf is the dangerous word that one of the objects is written behind without a gap, or "".
func verbOf(word string) string {
	lists := wordLists()
	for i := 2; i < len(word); i++ {
		if verb := word[:i]; lists["objects"][word[i:]] && (lists["anywhere"][verb] || lists["acts"][verb]) {
			return verb
		}
	}
	return ""
}

// splitWords takes a name apart where its writer put words together: at anything but letters, and
// before a capital. In a run of capitals the cut is before the last one if small letters follow, or
// with behind after it.
func splitWords(name string, behind bool) []string {
	var words []string
	from := 0
	cut := func(to, next int) {
		if to > from {
			words = append(words, strings.ToLower(name[from:to]))
		}
		from = next
	}
	upper := func(i int) bool { return i >= 0 && i < len(name) && 'A' <= name[i] && name[i] <= 'Z' }
	lower := func(i int) bool { return i >= 0 && i < len(name) && 'a' <= name[i] && name[i] <= 'z' }
	for i := range len(name) {
		switch {
		case !upper(i) && !lower(i):
			cut(i, i+1)
		case upper(i) && lower(i-1), !behind && upper(i) && upper(i-1) && lower(i+1), behind && lower(i) &&
			upper(i-1) && upper(i-2):
			cut(i, i)
		}
	}
	cut(len(name), len(name))
	return words
}
