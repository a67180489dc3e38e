package present

import (
	"fmt"
	"path"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

const gitHead = "diff --git "

// changes is what edits and diffs come to.
type changes struct {
	files                  []string // that diffs name
	heads                  []string // of Git's diffs: one for each file, renamed and binary ones too
	places, added, removed int
	created, deleted       bool // the last of the files
}

// count adds up the blocks that show changes. A diff names its files itself, each in a pair of lines.
func (c *changes) count(blocks []Block) {
	for _, b := range blocks {
		if b.Kind != BlockDiff {
			continue
		}
		hunks, was := 0, ""
		for _, l := range b.Lines {
			switch text := Raw(l.Spans); {
			case l.Sign == Added:
				c.added++
			case l.Sign == Removed:
				c.removed++
			case l.Sign == Hunk:
				hunks++
			case l.Sign == File && strings.HasPrefix(text, gitHead):
				c.heads = append(c.heads, text[len(gitHead):])
			case l.Sign == File && strings.HasPrefix(text, "--- "):
				was = text[len("--- "):]
			case l.Sign == File && strings.HasPrefix(text, "+++ ") && was != "":
				c.name(was, text[len("+++ "):])
				was = ""
			}
		}
		c.places += max(1, hunks)
	}
	if len(c.files) == 0 {
		c.files, c.heads = c.heads, nil
	}
}

// name notes a file by the two names that a diff gives it.
func (c *changes) name(was, now string) {
	was, _, _ = strings.Cut(was, "\t") // a time may follow
	now, _, _ = strings.Cut(now, "\t")
	const none = "/dev/null"
	c.created, c.deleted = was == none, now == none
	if rest, ok := strings.CutPrefix(was, "a/"); ok && (c.deleted || strings.HasPrefix(now, "b/")) {
		was, now = rest, strings.TrimPrefix(now, "b/")
	} else if c.created {
		now = strings.TrimPrefix(now, "b/")
	}
	if c.deleted {
		now = was
	}
	c.files = append(c.files, now)
}

// changeSummary says what edits and diffs do to the file that a path names, or to the files that the
// diffs name; nothing if there are none. A row of a list has no room for more than the counts of lines.
func changeSummary(file *value, blocks []Block, inRow bool) []Span {
	var c changes
	c.count(blocks)
	if c.places == 0 {
		return nil
	}
	lines := approval.Plural(c.added, "line") + fmt.Sprintf(" added and %d removed", c.removed)
	in := " in " + approval.Plural(c.places, "place") + ", " + lines
	if inRow {
		in = fmt.Sprintf(", +%d −%d lines", c.added, c.removed)
	}
	switch {
	case len(c.files) == 0 && file.isText():
		return say("Change %"+in, brief(file))
	case len(c.files) == 0:
		return say("Change a text" + in)
	case max(len(c.files), len(c.heads)) > 1:
		more := approval.Plural(max(len(c.files), len(c.heads))-1, "more file")
		return say("Change % and "+more+in, briefText(c.files[0]))
	case file.isText() && path.Clean(file.text) != path.Clean(c.files[0]):
		return say("Change % by a diff of %"+in, brief(file), briefText(c.files[0]))
	case c.created:
		return say("Create %, "+approval.Plural(c.added, "line"), briefText(c.files[0]))
	case c.deleted:
		return say("Delete %, "+approval.Plural(c.removed, "line"), briefText(c.files[0]))
	}
	return say("Change %"+in, briefText(c.files[0]))
}
