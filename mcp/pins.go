package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pawlhq/pawl/internal/osfile"
)

// pins keep what a server said of each tool when it was first called, or when people last approved a
// call after a change.
type pins struct {
	file string

	mu    sync.Mutex
	Tools map[string]pin `json:"tools"`
}

type pin struct {
	Since time.Time  `json:"since"`
	Tool  definition `json:"tool"`
}

func readPins(file string) (*pins, error) {
	p := &pins{file: file, Tools: map[string]pin{}}
	if file == "" {
		return p, nil
	}
	doc, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(doc, p)
	}
	if err != nil {
		return nil, fmt.Errorf("what the server said of its tools, %s: %w; remove the file to begin anew",
			file, err)
	}
	return p, nil
}

// check pins a tool that is not pinned yet, and says what has changed of one that is.
func (p *pins) check(name string, def definition) (change string) {
	p.mu.Lock()
	was, known := p.Tools[name]
	p.mu.Unlock()
	switch {
	case !known:
		if err := p.put(name, def); err != nil {
			return fmt.Sprintf("ATTENTION: what the server says of this tool can't be kept, so a change would go "+
				"unnoticed: %v", err)
		}
	case was.Tool.digest() != def.digest():
		return changes(was.Tool, def, was.Since)
	}
	return ""
}

// put pins a tool.
func (p *pins) put(name string, def definition) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	def.Output = nil
	p.Tools[name] = pin{time.Now().UTC().Truncate(time.Second), def}
	if p.file == "" {
		return nil
	}
	doc, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.file), 0o700); err != nil {
		return err
	}
	return osfile.Replace(p.file, append(doc, '\n'), 0o600)
}
