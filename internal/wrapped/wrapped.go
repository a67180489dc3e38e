// Package wrapped keeps the record of MCP servers that go through Pawl's gateway because 'pawl mcp
// wrap' rewrote a client's settings. The gateway asks about their calls, so the hook of a coding agent
// need not ask again.
package wrapped

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/strictjson"
)

// Server is one server whose entry in a client's settings was rewritten.
type Server struct {
	Name     string    `json:"name"`     // the entry's, in the settings
	File     string    `json:"file"`     // the settings, by absolute path
	Keys     []string  `json:"keys"`     // of the objects that lead to the entry, and its own
	Digest   string    `json:"digest"`   // Digest of the entry as it was written
	Written  string    `json:"written"`  // text of the entry as it was written
	Original string    `json:"original"` // text of the entry as it was before
	At       time.Time `json:"at"`
}

// Record is everything that was wrapped and not undone.
type Record struct {
	Servers []Server `json:"servers"`
}

// File returns where a user's record is, given their folder for settings (os.UserConfigDir).
func File(config string) string { return filepath.Join(config, "pawl", "wrapped.json") }

// Read reads a record. Without a file there is nothing in it.
func Read(file string) (Record, error) {
	var r Record
	doc, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = strictjson.Decode(doc, &r)
	}
	if err != nil {
		return Record{}, fmt.Errorf("the record of wrapped servers, %s: %w", file, err)
	}
	return r, nil
}

// Write replaces a record. Only its owner may read it: entries may hold secrets.
func (r Record) Write(file string) error {
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return osfile.Replace(file, append(doc, '\n'), 0o600)
}

// Digest identifies an entry of settings, however it is laid out. It is empty for what is no JSON
// object without duplicate keys.
func Digest(entry []byte) string {
	if strictjson.CheckObject("entry", entry, len(entry)) != nil {
		return ""
	}
	canonical, err := strictjson.Canonical(json.RawMessage(entry))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// Covers reports whether every server of this name that Claude Code may mean, with its settings in the
// folder home and a project at the folder project, goes through the gateway by this record: there is
// one, and all of them are as they were written. The name is as tools have it: mcp__NAME__TOOL.
func (r Record) Covers(name, home, project string) bool {
	found := false
	for _, place := range places(home, project) {
		var entries map[string]json.RawMessage
		settings, err := ReadSettings(place.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			entries, err = objectAt(settings.Text, place.keys)
		}
		if err != nil {
			return false // what can't be read can't be judged
		}
		for key, entry := range entries {
			if toolName(key) != name {
				continue
			}
			known := slices.ContainsFunc(r.Servers, func(s Server) bool {
				return s.File == place.file && slices.Equal(s.Keys, append(slices.Clone(place.keys), key)) &&
					s.Digest != "" && s.Digest == Digest(entry)
			})
			if !known {
				return false
			}
			found = true
		}
	}
	return found
}

type place struct {
	file string
	keys []string
}

// places are where Claude Code looks for servers: its own file, for everything and for one project, and
// the file of the project, which may be above the folder where it runs.
func places(home, project string) []place {
	own := filepath.Join(home, ".claude.json")
	all := []place{{own, []string{"mcpServers"}}}
	for dir := filepath.Clean(project); ; dir = filepath.Dir(dir) {
		all = append(all, place{own, []string{"projects", dir, "mcpServers"}},
			place{filepath.Join(dir, ".mcp.json"), []string{"mcpServers"}})
		if dir == filepath.Dir(dir) {
			return all
		}
	}
}

// objectAt returns the object to which keys lead; without one there is nothing in it.
func objectAt(doc []byte, keys []string) (map[string]json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(doc, []byte(mark)), &object); err != nil {
		return nil, err
	}
	for _, key := range keys {
		inner, there := object[key]
		if object = nil; !there {
			return nil, nil
		}
		if err := json.Unmarshal(inner, &object); err != nil {
			return nil, err
		}
	}
	return object, nil
}

var unusual = regexp.MustCompile(`[^A-Za-z0-9_-]`)

// toolName is how a server's name is written in the names of its tools.
func toolName(server string) string { return unusual.ReplaceAllString(server, "_") }
