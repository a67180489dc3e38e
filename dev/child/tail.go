package child

import (
	"strings"
	"sync"
)

const maxTail = 256 << 10 // bytes

// Tail keeps the end of what is written to it. Its methods may be called at the same time. A nil
// Tail is empty.
type Tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(b), nil
}

// Last is at most so many bytes of the end.
func (t *Tail) Last(most int) string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text[max(0, len(t.text)-most):])
}

// Has reports whether what is kept contains a text.
func (t *Tail) Has(text string) bool { return strings.Contains(t.Last(maxTail), text) }

func (t *Tail) String() string { return t.Last(4 << 10) }
