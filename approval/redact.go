package approval

import (
	"bytes"
	"encoding/json"
	"regexp"
	"sort"
	"strings"
)

// Redacted stands where a value was hidden.
const Redacted = "[redacted]"

// Redactor hides the values of named fields wherever they show: under their
// names at any depth of arguments and results, and again as text inside other
// values, error messages and explanations. Names compare without case.
// A Redactor learns values as it goes (Args first, then Result, then texts)
// and is not safe for concurrent use.
type Redactor struct {
	names   map[string]bool
	inText  *regexp.Regexp  // name=value or "name": value in free text
	secrets map[string]bool // learnt values
	long    *strings.Replacer
}

// shortSecret is the length below which a secret is only hidden where it
// stands as a word of its own, so that a PIN of 7 does not blot out every 7.
const shortSecret = 4

var word = regexp.MustCompile(`[\p{L}\p{N}_]+`)

// NewRedactor hides the fields with these names.
func NewRedactor(fields []string) *Redactor {
	r := &Redactor{names: map[string]bool{}, secrets: map[string]bool{}, long: strings.NewReplacer()}
	var quoted []string
	for _, f := range fields {
		r.names[strings.ToLower(f)] = true
		quoted = append(quoted, regexp.QuoteMeta(f))
	}
	if len(quoted) > 0 {
		r.inText = regexp.MustCompile(`(?i)(^|[^\p{L}\p{N}_])((?:` + strings.Join(quoted, "|") +
			`)\\?["']?\s*[:=]\s*)(\[redacted\]|\\?"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;&}\]]+)`)
	}
	return r
}

// JSON returns doc with the fields' values hidden, and with values hidden
// before in this redactor hidden again where they stand inside other strings.
// What can't be read as JSON is hidden whole.
func (r *Redactor) JSON(doc json.RawMessage) json.RawMessage {
	if len(doc) == 0 || len(r.names) == 0 {
		return doc
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return json.RawMessage(`"` + Redacted + `"`)
	}
	r.learn(v, false)
	r.compile()
	return marshalPlain(r.hide(v))
}

// Text returns s with known secret values, and what follows a field's name
// and a colon or equals sign, hidden.
func (r *Redactor) Text(s string) string {
	if r.inText == nil || s == "" {
		return s
	}
	s = r.long.Replace(s) // before names cut a longer secret in two
	s = r.inText.ReplaceAllString(s, "${1}${2}"+Redacted)
	return word.ReplaceAllStringFunc(s, func(w string) string {
		if len(w) < shortSecret && r.secrets[w] {
			return Redacted
		}
		return w
	})
}

// Labels returns a copy with the fields' values hidden.
func (r *Redactor) Labels(labels map[string]string) map[string]string {
	if labels == nil {
		return nil
	}
	out := make(map[string]string, len(labels))
	for k, v := range labels {
		if r.names[strings.ToLower(k)] {
			out[k] = Redacted
		} else {
			out[k] = r.Text(v)
		}
	}
	return out
}

// compile readies the replacer: one pass over a text, longest secret first.
func (r *Redactor) compile() {
	var long []string
	for s := range r.secrets {
		if len(s) >= shortSecret || !word.MatchString(s) || word.FindString(s) != s {
			long = append(long, s)
		}
	}
	sort.Slice(long, func(i, j int) bool {
		return len(long[i]) > len(long[j]) || len(long[i]) == len(long[j]) && long[i] < long[j]
	})
	pairs := make([]string, 0, 2*len(long))
	for _, s := range long {
		pairs = append(pairs, s, Redacted)
	}
	r.long = strings.NewReplacer(pairs...)
}

// learn collects every scalar below a hidden field.
func (r *Redactor) learn(v any, secret bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			r.learn(e, secret || r.names[strings.ToLower(k)])
		}
	case []any:
		for _, e := range v {
			r.learn(e, secret)
		}
	case string:
		if secret && strings.TrimSpace(v) != "" {
			r.secrets[v] = true
			quoted := string(marshalPlain(v)) // as it stands inside JSON text
			r.secrets[quoted[1:len(quoted)-1]] = true
		}
	case json.Number:
		if secret {
			r.secrets[v.String()] = true
		}
	}
}

func (r *Redactor) hide(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if r.names[strings.ToLower(k)] {
				out[r.Text(k)] = Redacted
			} else {
				out[r.Text(k)] = r.hide(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = r.hide(e)
		}
		return out
	case string:
		return r.Text(v)
	case json.Number:
		if r.secrets[v.String()] {
			return Redacted
		}
	}
	return v
}

// marshalPlain marshals what was decoded from JSON, without HTML escapes.
func marshalPlain(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return json.RawMessage(`"` + Redacted + `"`)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
