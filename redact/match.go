package redact

import (
	"strings"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
)

// matcher finds any of many words in one pass over a text, whatever the words are (Aho and
// Corasick, 1975): an agent chooses them, and must not be able to choose slow ones.
type matcher struct {
	nodes []matchNode // [0] is the root
	root  [256]int32  // the root's children
	// pairs has a bit for every two bytes that a word begins with: most of a text is passed over by it.
	pairs *[1 << 10]uint64
}

type matchNode struct {
	child, next int32 // first child and next sibling; 0 is none
	fail        int32 // the longest other prefix of a word that ends here
	depth       int32 // bytes
	longest     int32 // length of the longest word that ends here
	label       byte
}

func newMatcher() *matcher {
	return &matcher{nodes: make([]matchNode, 1), pairs: new([1 << 10]uint64)}
}

// begins reports whether a word begins with these bytes.
func (m *matcher) begins(a, b byte) bool {
	pair := int(a)<<8 | int(b)
	return m.pairs[pair>>6]&(1<<(pair&63)) != 0
}

// add takes a word of two bytes or more in; shorter ones are never found. One that is not whole is
// known by its beginning only.
func (m *matcher) add(word string, whole bool) {
	if len(word) < 2 {
		return
	}
	pair := int(word[0])<<8 | int(word[1])
	m.pairs[pair>>6] |= 1 << (pair & 63)
	at := int32(0)
	for i := range len(word) {
		to := m.child(at, word[i])
		if to == 0 {
			to = int32(len(m.nodes))
			m.nodes = append(m.nodes, matchNode{label: word[i], depth: int32(i + 1), next: m.nodes[at].child})
			m.nodes[at].child = to
			if at == 0 {
				m.root[word[i]] = to
			}
		}
		at = to
	}
	if whole {
		m.nodes[at].longest = m.nodes[at].depth
	}
}

// link readies the matcher after the last add.
func (m *matcher) link() {
	queue := []int32{0}
	for len(queue) > 0 {
		parent := queue[0]
		queue = queue[1:]
		for c := m.nodes[parent].child; c != 0; c = m.nodes[c].next {
			if parent != 0 {
				m.nodes[c].fail = m.step(m.nodes[parent].fail, m.nodes[c].label)
			}
			m.nodes[c].longest = max(m.nodes[c].longest, m.nodes[m.nodes[c].fail].longest)
			queue = append(queue, c)
		}
	}
}

func (m *matcher) child(at int32, b byte) int32 {
	if at == 0 {
		return m.root[b]
	}
	for c := m.nodes[at].child; c != 0; c = m.nodes[c].next {
		if m.nodes[c].label == b {
			return c
		}
	}
	return 0
}

func (m *matcher) step(at int32, b byte) int32 {
	for {
		if c := m.child(at, b); c != 0 || at == 0 {
			return c
		}
		at = m.nodes[at].fail
	}
}

// find reports where words end in s, by the longest one, and with cut also where s was cut off
// inside what may be a word.
func (m *matcher) find(s string, cut bool, found func(from, to int)) {
	if len(m.nodes) == 1 {
		return
	}
	at := int32(0)
	for i := 0; i < len(s); i++ {
		if at == 0 {
			for i+1 < len(s) && !m.begins(s[i], s[i+1]) {
				i++
			}
		}
		at = m.step(at, s[i])
		n := &m.nodes[at]
		if n.longest > 0 {
			found(i+1-int(n.longest), i+1)
		}
		if cut && n.depth >= shortSecret && cutOff(s[i+1:]) {
			if from := i + 1 - int(n.depth); utf8.RuneCountInString(s[from:i+1]) >= shortSecret {
				found(from, i+1)
			}
		}
	}
}

// cutOff reports whether what stood before rest may have been cut: nothing follows, or a cut's
// mark, or what a character cut in two turns into.
func cutOff(rest string) bool {
	return rest == "" || strings.HasPrefix(rest, approval.CutMark) || strings.HasPrefix(rest, "\uFFFD")
}

// cover counts what is to be hidden of a text: the sum up to a byte says how many findings it is
// in. nil hides nothing.
type cover []int32

func (c *cover) add(size, from, to int) {
	if *c == nil {
		*c = make(cover, size+1)
	}
	(*c)[from]++
	(*c)[to]--
}

// over returns s with Mark in each place where c, and Repeat in each where only repeats begins to
// cover it.
func (c cover) over(s string, repeats cover) string {
	if c == nil && repeats == nil {
		return s
	}
	var b strings.Builder
	depth, from := int32(0), 0
	for i := range len(s) + 1 {
		was, mark := depth, Repeat
		if c != nil {
			depth += c[i]
			if c[i] > 0 {
				mark = Mark
			}
		}
		if repeats != nil {
			depth += repeats[i]
		}
		switch {
		case was == 0 && depth > 0:
			b.WriteString(s[from:i])
			b.WriteString(mark)
		case depth == 0 && was > 0:
			from = i
		}
	}
	b.WriteString(s[from:])
	return b.String()
}
