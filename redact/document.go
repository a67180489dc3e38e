package redact

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reading is what was found in one text.
type reading struct {
	spellings []spelling // the text, and what it says once escapes in it are resolved
	named     cover      // what is hidden by its name or form
	secrets   []string   // of these, what is hidden again elsewhere
	learnt    int        // bytes of what was found
	whole     bool       // it has too many escapes to be read: all of it is hidden
	wide, cut bool
}

// look reads a text, and what it says once escapes in it are resolved: those of the texts in JSON
// each by itself, as JSON would be read. In what is not arguments (wide), more is hidden; see Args
// and Text.
func (r *Redactor) look(s string, wide, cut bool) *reading {
	got := &reading{wide: wide, cut: cut}
	// JSON in JSON gets shorter with each level, so real texts stay far below the bound.
	budget := 64<<10 + 16*len(s)
	if !strings.ContainsAny(s, signs) {
		got.spellings = []spelling{{text: s}}
		if r.values && len(s) >= leastKnown {
			knownSecrets().find(s, cut, got.note(s, got.spellings[0]))
		}
		return got
	}
	pieces := []spelling{{text: s}}
	if plain, ok := pieces[0].unquoted(); ok {
		pieces = append(pieces, plain)
	}
	for len(pieces) > 0 {
		p := pieces[0]
		pieces = pieces[1:]
		if budget -= len(p.text); budget < 0 {
			got.whole = true
			return got
		}
		found := got.note(s, p)
		got.spellings = append(got.spellings, p)
		if r.values {
			knownSecrets().find(p.text, cut, found)
		}
		pairs := pairFinder{Redactor: r, s: p.text, wide: wide, found: found}
		if !pairs.find() {
			got.whole = true
			return got
		}
		in := searched{Redactor: r, s: p.text, wide: wide, skip: pairs.nested}
		in.find(found)
		escapes := strings.Count(p.text, `\`)
		for _, at := range pairs.nested {
			part := p.part(at.from, at.to)
			escapes -= strings.Count(part.text, `\`)
			if plain, ok := part.unescaped(); ok {
				part = plain
			}
			pieces = append(pieces, part)
		}
		if escapes > 0 {
			if plain, ok := p.unescaped(); ok {
				pieces = append(pieces, plain)
			}
		}
	}
	return got
}

const (
	signs      = ":=>-{[\\%\"'" // without one of these, no name stands before a value
	leastKnown = 10             // bytes that a well-known secret has at least, with what shows that it is one
)

// maxLearnt is how many bytes of a text are hidden elsewhere, too, beyond its own length: findings may
// overlap.
const maxLearnt = 4 << 10

// note keeps what is found in a spelling of the text.
func (got *reading) note(text string, p spelling) func(from, to int) {
	return func(from, to int) {
		got.named.add(len(text), p.place(from), p.place(to))
		if got.learnt += to - from; got.learnt <= len(text)+maxLearnt {
			got.secrets = appendSecret(got.secrets, p.text[from:to])
		}
	}
}

// leastLearnt is the length in characters from which a secret that stood in a text is hidden
// elsewhere: shorter ones are too often ordinary words.
const leastLearnt = 8

// appendSecret adds what was found in a text if it can't be an ordinary word.
func appendSecret(secrets []string, s string) []string {
	s = strings.Trim(s, "\"'` \t")
	s = s[len(scheme.FindString(s)):]
	if utf8.RuneCountInString(s) < leastLearnt || Marked(s) || s[0] == '{' || s[0] == '[' ||
		!strings.ContainsFunc(s, unicode.IsDigit) {
		return secrets
	}
	return append(secrets, s)
}

// shown is the text as it may be shown.
func (got *reading) shown(r *Redactor, s string) string {
	if got.whole {
		return Mark
	}
	named, repeats := slices.Clone(got.named), cover(nil)
	learnt := &repeats
	if got.wide {
		learnt = &named
	}
	if got.named == nil && len(r.long) == 0 && len(r.short) == 0 && len(r.numbers) == 0 {
		return s
	}
	for _, sp := range got.spellings {
		found := func(from, to int) { learnt.add(len(s), sp.place(from), sp.place(to)) }
		r.findLearnt(sp.text, got.cut, found)
		if got.wide {
			r.findShort(sp.text, found)
		}
	}
	return named.over(s, repeats)
}

// hiding hides what is secret in one document.
type hiding struct {
	*Redactor
	wide    bool
	read    map[string]*reading
	found   bool // something is to be hidden, whatever was learnt before
	changed bool // something was hidden
	members int  // of all objects
}

// text reads a text once, though it is learnt from first and then shown.
func (h *hiding) text(s string) *reading {
	got := h.read[s]
	if got == nil {
		got = h.look(s, h.wide, false)
		h.read[s], h.found = got, h.found || got.whole || got.named != nil
	}
	return got
}

// learn collects every text, number and key below a hidden field, and what is hidden in texts.
func (h *hiding) learn(v any, secret bool) {
	h.found = h.found || secret
	switch v := v.(type) {
	case map[string]any:
		h.members += len(v)
		paired := !secret && h.paired(v)
		for k, e := range v {
			if secret {
				h.learnText(k)
			} else {
				h.learnFound(k)
			}
			m := h.member(k)
			h.learn(e, secret || m.hidden || paired && m.isValue)
		}
	case []any:
		covered := h.covered(v)
		for i, e := range v {
			h.learn(e, secret || covered[i])
		}
		for i := range h.curlUser(v) {
			if _, password, ok := userAndPassword(v[i]); ok {
				h.found = true
				h.learnSecrets(appendSecret(nil, password))
			}
		}
	case string:
		if secret {
			h.learnText(v)
		} else {
			h.learnFound(v)
		}
	case json.Number:
		if secret {
			h.learnNumber(v.String())
		}
	}
}

func (h *hiding) learnFound(s string) { h.learnSecrets(h.text(s).secrets) }

func (r *Redactor) learnSecrets(secrets []string) {
	for _, s := range secrets {
		r.learnText(s)
	}
}

func userAndPassword(v any) (user, password string, ok bool) {
	if s, isText := v.(string); isText {
		user, password, ok = strings.Cut(s, ":")
	}
	return user, password, ok && password != ""
}

func (h *hiding) hide(v any) any {
	switch v := v.(type) {
	case map[string]any:
		shown := shownKeys(v, h.hideText)
		paired := h.paired(v)
		out := make(map[string]any, len(v))
		for k, e := range v {
			as := cmp.Or(shown[k], k)
			if m := h.member(k); m.hidden || paired && m.isValue {
				out[as] = h.mark(Mark)
			} else {
				out[as] = h.hide(e)
			}
		}
		return out
	case []any:
		return h.hideList(v)
	case string:
		return h.hideText(v)
	case json.Number:
		if h.wide && h.knowsNumber(v.String()) {
			return h.mark(Mark)
		}
	}
	return v
}

func (h *hiding) mark(with string) string {
	h.changed = true
	return with
}

func (h *hiding) hideText(s string) string {
	if s == Mark || s == "" {
		return s
	}
	shown := h.text(s).shown(h.Redactor, s)
	h.changed = h.changed || shown != s
	return shown
}

func (h *hiding) hideList(list []any) []any {
	covered, users := h.covered(list), h.curlUser(list)
	out := make([]any, len(list))
	for i, e := range list {
		user, _, ok := userAndPassword(e)
		switch {
		case covered[i]:
			out[i] = h.mark(Mark)
		case users[i] && ok:
			out[i] = h.mark(user + ":" + Mark)
		default:
			out[i] = h.hide(e)
		}
	}
	return out
}

func (r *Redactor) knowsNumber(n string) bool {
	for _, n := range []string{n, plainNumber(n)} {
		bare := strings.TrimPrefix(n, "-")
		if r.numbers[bare] || r.long[bare] || r.short[bare] || r.long[n] || r.short[n] {
			return true
		}
	}
	return false
}

// shownKeys returns the keys of an object that are shown as something else, and as what: each as
// something different.
func shownKeys[V any](object map[string]V, hide func(string) string) map[string]string {
	shown := map[string]string{}
	for k := range object {
		if as := hide(k); as != k {
			shown[k] = as
		}
	}
	taken, count := map[string]bool{}, map[string]int{}
	for _, k := range slices.Sorted(maps.Keys(shown)) {
		as, name := shown[k], shown[k]
		for _, there := object[as]; there || taken[as]; _, there = object[as] {
			count[name] = max(count[name], 1) + 1
			as = name + " #" + strconv.Itoa(count[name])
		}
		shown[k], taken[as] = as, true
	}
	return shown
}

// marshalPlain marshals what was decoded from JSON, without HTML escapes.
func marshalPlain(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return json.RawMessage(`"` + Mark + `"`)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
