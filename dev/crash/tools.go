//go:build unix

package crash

import (
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// tools is the tools' side of HTTP. It lives in the test's process, which nobody kills, and counts
// what really ran.
type tools struct {
	*httptest.Server
	arrived chan string // IDs of calls that reached a tool that blocks

	mu        sync.Mutex
	runs      map[string]int           // by call ID
	keys      map[string]int           // by the key in the arguments
	digests   map[string]string        // by call ID
	held      map[string]chan struct{} // closed to let a blocked call go
	malformed []string                 // requests
}

func newTools(t *testing.T) *tools {
	c := &tools{
		arrived: make(chan string, 100), runs: map[string]int{}, keys: map[string]int{},
		digests: map[string]string{}, held: map[string]chan struct{}{},
	}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

// file is the tools file: the path of a tool's URL says how it behaves.
func (c *tools) file() string {
	var b strings.Builder
	b.WriteString("tools:\n")
	for _, name := range []string{
		"allowed", "guarded", "slow", "allowed_slow", "block", "allowed_block", "repeatable", "staged", "contested",
	} {
		_, kind, named := strings.Cut(name, "_")
		if !named {
			kind = name
		}
		fmt.Fprintf(&b, "  - {name: %s, idempotent: %v, http: {url: %q, timeout: 5m}}\n",
			name, name == "repeatable", c.URL+"/"+kind)
	}
	return b.String()
}

func (c *tools) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	args, _ := io.ReadAll(r.Body) // from here the server notices when the caller is gone
	id := r.Header.Get("Pawl-Call-Id")
	run, held := c.note(id, args, r)
	switch {
	case r.URL.Path == "/slow":
		sum := fnv.New32a()
		_, _ = io.WriteString(sum, id)
		select {
		case <-time.After(time.Duration(sum.Sum32()%400) * time.Millisecond):
		case <-r.Context().Done():
		}
	case r.URL.Path == "/block", r.URL.Path == "/repeatable" && run == 1:
		c.arrived <- id
		select {
		case <-held:
		case <-r.Context().Done():
		}
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"run":%d,"marker":%q}`, run, planted("result"))
}

// note counts a run before anything can go wrong with it.
func (c *tools) note(id string, args []byte, r *http.Request) (run int, held chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[id] == nil {
		c.held[id] = make(chan struct{})
	}
	digest := r.Header.Get("Pawl-Digest")
	if r.Method != http.MethodPost || id == "" || r.Header.Get("Idempotency-Key") != id || digest == "" {
		c.malformed = append(c.malformed, fmt.Sprintf("%s %s with call %q, key %q, digest %q",
			r.Method, r.URL.Path, id, r.Header.Get("Idempotency-Key"), digest))
	}
	c.add(id, digest, keyIn(args))
	return c.runs[id], c.held[id]
}

// count counts a run in another process.
func (c *tools) count(id, digest, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(id, digest, key)
}

func (c *tools) add(id, digest, key string) {
	c.runs[id]++
	c.digests[id] = digest
	if key != "" {
		c.keys[key]++
	}
}

// ran is how often a call reached its tool.
func (c *tools) ran(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[id]
}

// letGo lets a blocked call answer.
func (c *tools) letGo(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.held[id])
}

// arrival waits until a call has reached a tool that blocks.
func (w *world) arrival(id string) {
	w.t.Helper()
	select {
	case got := <-w.tools.arrived:
		if got != id {
			w.t.Fatalf("call %s reached its tool, want %s", got, id)
		}
	case <-time.After(patience):
		w.t.Fatalf("call %s did not reach its tool", id)
	}
}
