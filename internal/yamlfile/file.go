package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
)

// ReadFile returns a file's bytes, or false and a problem: it can't be read, or is larger than
// MaxSize.
func ReadFile(path string, problems *Problems) ([]byte, bool) {
	f, err := os.Open(path)
	if err != nil {
		unreadable(path, err, problems)
		return nil, false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		unreadable(path, err, problems)
		return nil, false
	}
	return data, sizeFits(displayName(path), data, problems)
}

func unreadable(path string, err error, problems *Problems) {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err // the path is in the problem already
	}
	problems.Add(Problem{
		File: displayName(path), Message: "can't be read: " + err.Error(),
		Hint: "give the path of a file that this user may read",
	})
}

func displayName(name string) string { return approval.Display(name, 300) }

func sizeFits(file string, data []byte, problems *Problems) bool {
	if len(data) <= MaxSize {
		return true
	}
	problems.Add(Problem{
		File: file, Message: fmt.Sprintf("the file is larger than %d MiB", MaxSize>>20),
		Hint: "split it into several files",
	})
	return false
}

// valuesFit refuses, before the parser makes a node for each, files of too many values. Behind each
// value but the last stands one of the characters that are counted, so that texts with many of them
// count for more than they are.
func valuesFit(file string, data []byte, problems *Problems) bool {
	n := 1
	for _, c := range data {
		switch c {
		case '\n', ',', ':', '[', '{', '-', '?':
			n++
		}
	}
	if n <= MaxValues {
		return true
	}
	problems.Add(Problem{
		File: file, Message: fmt.Sprintf("the file may hold more than %d values", MaxValues),
		Hint: "split it into several files",
	})
	return false
}

var utf8BOM = []byte("\ufeff")

// checkText refuses what would make people and the parser see different lines or different words:
// text that is not UTF-8, control characters, line breaks that only YAML knows, and characters that
// reorder a line. Each kind is reported once, where it first stands.
func checkText(file string, data []byte, problems *Problems) bool {
	if bytes.HasPrefix(data, []byte{0xFF, 0xFE}) || bytes.HasPrefix(data, []byte{0xFE, 0xFF}) {
		problems.Add(Problem{
			File: file, Line: 1, Column: 1, Message: "the file is UTF-16", Hint: "save it as UTF-8",
		})
		return false
	}
	seen := map[rune]bool{}
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		problem := Problem{File: file, Line: line, Column: column}
		switch {
		case r == utf8.RuneError && size == 1:
			problem.Message, problem.Hint = "the file is not valid UTF-8 from here on", "save it as UTF-8"
			problems.Add(problem)
			return false
		case r == '\r' && i+1 < len(data) && data[i+1] == '\n':
		case misleading(r) && !seen[r]:
			seen[r] = true
			problem.Message = fmt.Sprintf("the character %U does not belong into a text file", r)
			problem.Hint = "remove it, or write it as an escape inside double quotes"
			problems.Add(problem)
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		i += size
	}
	return len(seen) == 0
}

func misleading(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < ' ', r >= 0x7F && r <= 0x9F: // C0, DEL, C1 with NEL; a lone CR too
		return true
	case r == '\u2028', r == '\u2029': // line breaks to YAML, not to most editors
		return true
	case r >= '\u202A' && r <= '\u202E', r >= '\u2066' && r <= '\u2069': // text direction
		return true
	}
	return r == '\uFEFF' || r == '\uFFFE' || r == '\uFFFF'
}
