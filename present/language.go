package present

import (
	"path"
	"regexp"
	"strings"
)

var extension = regexp.MustCompile(`^\.[A-Za-z0-9]{1,10}$`)

// language is what the name of a file ends with, or none where that is no plain word.
func language(file string) string {
	if ext := path.Ext(file); extension.MatchString(ext) {
		return strings.ToLower(ext[1:])
	}
	return ""
}

// What stands out in a file: comments, texts, and words that the language knows. In SQL and shell no
// comment is dimmed and no text stands apart: shells run texts, and databases run some comments.
var (
	jsonParts = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\b(?:true|false|null)\b`)
	yamlParts = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:^|\s)#.*$|` +
		`^\s*(?:- +)*[\w.-]+:(?:\s|$)|\b(?:true|false|null|yes|no|on|off)\b`)
)

// inLanguage marks the text of a file.
func inLanguage(lang, text string) []Line {
	switch lang {
	case "sh", "bash", "zsh", "ksh":
		return shellLines(text)
	case "sql":
		return codeLines(text, sqlWords, sqlStyle)
	case "json":
		return codeLines(text, jsonParts, partStyle)
	case "yaml", "yml":
		return codeLines(text, yamlParts, partStyle)
	}
	return numbered(textLines(text, true))
}

func partStyle(part string) Style {
	switch trimmed := strings.TrimSpace(part); {
	case strings.HasPrefix(trimmed, `"`), strings.HasPrefix(trimmed, "'"):
		return String
	case strings.HasPrefix(trimmed, "#"):
		return Dim
	}
	return Keyword
}
