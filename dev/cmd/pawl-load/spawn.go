package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/pawlhq/pawl/dev/child"
)

// served is a child, and the line with which it says that it serves.
type served struct {
	API       string `json:"api"`
	Temporal  string `json:"temporal"`
	Namespace string `json:"namespace"`

	process *child.Process
}

// spawn starts one part of a site and waits until it serves. It ends with the
// site; should it end before, the run does, too.
func (b *bench) spawn(ctx context.Context, s *site, dir string, env []string, path string, args ...string) (served, error) {
	said := &tail{}
	p, err := child.Start(child.Options{Path: path, Args: args, Dir: dir, Env: env, Stderr: said})
	if err != nil {
		return served{}, err
	}
	ending := make(chan struct{})
	s.onClose(func() error {
		close(ending)
		if p.End(context.Background()) {
			return fmt.Errorf("%s did not end in time, and was killed", p.Name())
		}
		return nil
	})
	defer func() {
		go func() {
			for range p.Lines {
			}
		}()
	}()
	select {
	case line, ok := <-p.Lines:
		if !ok {
			return served{}, fmt.Errorf("%s did not start (%v):\n%s", p.Name(), p.Err(), said)
		}
		a := served{process: p}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return a, fmt.Errorf("%s says on stdout what this program can't read: are both of one commit?", p.Name())
		}
		go func() {
			select {
			case <-p.Done:
				b.fail(fmt.Errorf("%s ended in the middle of the run (%v):\n%s", p.Name(), p.Err(), said))
			case <-ending:
			}
		}()
		return a, nil
	case <-ctx.Done():
		return served{}, context.Cause(ctx)
	}
}

// environment is this process's, without what would lead children to another
// Temporal or another store.
func environment() (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "TEMPORAL_") && !strings.HasPrefix(kv, "PAWL_") {
			env = append(env, kv)
		}
	}
	return env
}

// tail keeps the last of what a child says, for the case that it fails.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 4 << 10 // bytes

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
