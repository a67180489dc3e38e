package present

import (
	"regexp"
	"slices"
	"strings"
)

// sqlQuoted finds quotes and parameters that every database reads alike. A letter in front of a quote
// changes what ends it, in Oracle for instance.
var sqlQuoted = regexp.MustCompile(`\w?'(?:[^']|'')*'|` + sqlQuotedName + `|\[\]|\$\d+`)

const (
	sqlQuotedName = `"[\w .-]+"|` + "`[\\w .-]+`" + `|\[[\w .-]+\]`
	sqlName       = `((?:[a-z_]\w*|` + sqlQuotedName + `)(?:\.(?:[a-z_]\w*|` + sqlQuotedName + `))*)`
)

var (
	sqlAnyName = regexp.MustCompile(sqlQuotedName)
	sqlParens  = regexp.MustCompile(`\([^()]*\)`)
	sqlWhere   = regexp.MustCompile(`(?i)\bwhere\b`)
	sqlChanges = regexp.MustCompile(`(?i)^(?:delete|update)\b`)
	// Words that stand where a name is expected, and are none.
	sqlNoName = regexp.MustCompile(`(?i)^(?:ignore|low_priority|only|or|top|table|if|lateral)$`)
	// What may begin a second statement: some databases need no semicolon, and some change rows in WITH.
	sqlMore = regexp.MustCompile(`(?i)\b(?:delete|drop|truncate|alter|insert|grant|revoke|deny|create|` +
		`update|merge|with|exec|execute|declare|begin|use|kill|shutdown|dbcc|backup|restore|bulk)\b`)
	sqlPart = regexp.MustCompile(`(?i)\b(?:(?:drop|alter)\s+(?:column|constraint)|on\s+(?:delete|update))\b`)
)

// sqlForm is a kind of statement, and what stands in front of the name of what it changes.
type sqlForm struct {
	does, in string
	form     *regexp.Regexp
}

func form(does, in, start string) sqlForm {
	return sqlForm{does, in, regexp.MustCompile(`(?is)^` + start + `\s+` + sqlName + `([\s(].*)?$`)}
}

// No form is a harmless one: where none fits, the text itself is shown.
var sqlForms = []sqlForm{
	form("deletes rows", " in ", `delete\s+from(?:\s+only)?`),
	form("updates rows", " in ", `update(?:\s+only)?`),
	form("inserts rows", " in ", `insert\s+into`),
	form("drops", " ", `drop\s+table(?:\s+if\s+exists)?`),
	form("truncates", " ", `truncate(?:\s+table)?(?:\s+only)?`),
	form("alters", " ", `alter\s+table(?:\s+if\s+exists)?(?:\s+only)?`),
	form("creates", " ", `create\s+table(?:\s+if\s+not\s+exists)?`),
	form("grants rights", " on ", `grant\s+[\w\s,]+?\s+on(?:\s+table)?`),
}

// splitSQL splits a text into its statements, in which texts became "?". There are none where
// databases would read its quotes or comments in different ways.
func splitSQL(text string) []string {
	bare := sqlQuoted.ReplaceAllStringFunc(text, func(quoted string) string {
		switch {
		case strings.HasSuffix(quoted, "'") && quoted[0] != '\'':
			return "'"
		case quoted[0] == '\'', quoted[0] == '$', quoted == "[]":
			return "?"
		}
		return quoted
	})
	outside := sqlAnyName.ReplaceAllString(bare, "")
	if strings.Contains(text, `\`) || strings.ContainsAny(outside, "'\"`[]#$") ||
		strings.Contains(outside, "--") || strings.Contains(outside, "/*") {
		return nil
	}
	var list []string
	for _, s := range strings.Split(bare, ";") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// everyRow reports a statement that changes rows and does not say which.
func everyRow(statement string) bool {
	for inner := ""; inner != statement; {
		inner, statement = statement, sqlParens.ReplaceAllString(statement, "?")
	}
	statement = sqlAnyName.ReplaceAllString(statement, "?")
	return sqlChanges.MatchString(statement) && !sqlWhere.MatchString(statement)
}

// sqlSummary says what SQL does, statement by statement, where that is certain of each.
func sqlSummary(v *value) []Span {
	const most = 3
	statements := splitSQL(v.text)
	unsure := say("Run SQL: %", brief(v))
	if len(statements) == 0 || len(statements) > most {
		return unsure
	}
	out := []Span{word("Run SQL that ")}
	for i, s := range statements {
		at := slices.IndexFunc(sqlForms, func(f sqlForm) bool { return f.form.MatchString(s) })
		if at < 0 {
			return unsure
		}
		f := sqlForms[at]
		found := f.form.FindStringSubmatch(s)
		name, rest := found[1], strings.TrimSpace(sqlAnyName.ReplaceAllString(found[2], "?"))
		list := f.does == "drops" || f.does == "truncates"
		switch {
		case strings.HasPrefix(rest, ","), list && strings.Contains(rest, ","), // it has more names
			sqlNoName.MatchString(name), sqlMore.MatchString(sqlPart.ReplaceAllString(rest, "")):
			return unsure
		}
		if i > 0 {
			out = append(out, word(", then "))
		}
		out = append(out, Span{Kind: Text, Text: f.does, Style: Danger}, word(f.in))
		out = append(out, briefText(name)...)
	}
	return out
}
