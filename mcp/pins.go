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
// call after a change. Gateways of one server share the file: each client starts its own.
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
	return p, p.read()
}

// read adds what the file has to what is known. What is known stays, whoever removes the file meanwhile.
func (p *pins) read() error {
	if p.file == "" {
		return nil
	}
	doc, err := os.ReadFile(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(doc, p)
	}
	if err != nil {
		return fmt.Errorf("what the server said of its tools, %s: %w; remove the file to begin anew", p.file, err)
	}
	return nil
}

// check pins a tool that is not pinned yet, and says what has changed of one that is.
func (p *pins) check(name string, def definition) (change string) {
	var was pin
	var known bool
	err := p.update(func() bool {
		if was, known = p.Tools[name]; !known {
			p.set(name, def)
		}
		return !known
	})
	switch {
	case err != nil:
		return fmt.Sprintf("ATTENTION: what the server says of this tool can't be kept, so a change would go "+
			"unnoticed: %v", err)
	case known && was.Tool.digest() != def.digest():
		return changes(was.Tool, def, was.Since)
	}
	return ""
}

// put pins a tool.
func (p *pins) put(name string, def definition) error {
	return p.update(func() bool {
		p.set(name, def)
		return true
	})
}

func (p *pins) set(name string, def definition) {
	def.Output = nil
	p.Tools[name] = pin{time.Now().UTC().Truncate(time.Second), def}
}

// update reads what is kept now, and writes it if change did change it. No other gateway does so meanwhile.
func (p *pins) update(change func() bool) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == "" {
		change()
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p.file), 0o700); err != nil {
		return err
	}
	lock, err := osfile.OpenLocked(p.file+".lock", os.O_RDWR|os.O_CREATE, osfile.Wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := p.read(); err != nil {
		return err
	}
	if !change() {
		return nil
	}
	doc, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return osfile.Replace(p.file, append(doc, '\n'), 0o600)
}
