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
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
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

// Lock keeps other processes from changing a record, and the settings that it is about, until it is closed.
func Lock(file string) (io.Closer, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	return osfile.OpenLocked(file+".lock", os.O_RDWR|os.O_CREATE, osfile.Wait)
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

// Claude is where Claude Code finds what its servers are.
type Claude struct {
	Own     string // its own file, .claude.json
	Agents  string // the folder of the user's own subagents
	Project string // the folder that it was started in
	Managed string // the folder of what administrators set for everybody on this machine
}

// ClaudeAt tells where that is, for a home folder and what CLAUDE_CONFIG_DIR says, if it says something.
func ClaudeAt(home, config, project string) Claude {
	at := Claude{
		Own: filepath.Join(home, ".claude.json"), Agents: filepath.Join(home, ".claude", "agents"),
		Project: project, Managed: managed(),
	}
	if config != "" {
		at.Own, at.Agents = filepath.Join(config, ".claude.json"), filepath.Join(config, "agents")
	}
	return at
}

// managed is a fixed folder of each system: what a variable named, a repository's settings could change.
func managed() string {
	switch runtime.GOOS {
	case "darwin":
		return "/Library/Application Support/ClaudeCode"
	case "windows":
		return `C:\Program Files\ClaudeCode`
	}
	return "/etc/claude-code"
}

// Covers reports whether every server of this name that Claude Code may mean goes through the gateway by
// this record: there is one, and all of them are as they were written. The name is as tools have it:
// mcp__NAME__TOOL.
func (r Record) Covers(name string, at Claude) bool {
	places, err := at.places()
	if err != nil {
		return false
	}
	found := false
	for _, place := range places {
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
			if alike(key) != alike(name) {
				continue
			}
			known := slices.ContainsFunc(r.Servers, func(s Server) bool {
				return s.File == place.file && slices.Equal(s.Keys, append(slices.Clone(place.keys), key)) &&
					s.Digest != "" && s.Digest == Digest(entry)
			})
			if !known {
				return false
			}
			found = found || !place.elsewhere && ToolName(key) == name
		}
	}
	return found
}

// OwnAgents reports whether there may be subagents of the user's or the project's own: their files can
// bring servers along, under any name.
func (at Claude) OwnAgents() bool {
	folders := []string{at.Agents}
	for _, dir := range upwards(at.Project) {
		folders = append(folders, filepath.Join(dir, ".claude", "agents"))
	}
	return slices.ContainsFunc(folders, func(folder string) bool {
		_, err := os.Stat(folder)
		return !errors.Is(err, fs.ErrNotExist)
	})
}

type place struct {
	file      string
	keys      []string
	elsewhere bool // it is for another project, as far as can be told
}

// places are where Claude Code looks for servers: its own file, for everything and for each project, what
// administrators set, and the file of the project, which may be above the folder where it runs. How it
// writes a project's folder differs by system, and a worktree goes by the folder of its repository: so each
// project's servers count.
func (at Claude) places() ([]place, error) {
	all := []place{
		{file: at.Own, keys: []string{"mcpServers"}},
		{file: filepath.Join(at.Managed, "managed-mcp.json"), keys: []string{"mcpServers"}},
		{file: filepath.Join(at.Managed, "managed-settings.json"), keys: []string{"managedMcpServers"}},
	}
	more := filepath.Join(at.Managed, "managed-settings.d")
	parts, err := os.ReadDir(more)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, part := range parts {
		if filepath.Ext(part.Name()) == ".json" {
			all = append(all, place{file: filepath.Join(more, part.Name()), keys: []string{"managedMcpServers"}})
		}
	}
	above := upwards(at.Project)
	for _, dir := range above {
		all = append(all, place{file: filepath.Join(dir, ".mcp.json"), keys: []string{"mcpServers"}})
	}
	doc, err := os.ReadFile(at.Own)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	projects, err := objectAt(doc, []string{"projects"})
	for dir := range projects {
		all = append(all, place{at.Own, []string{"projects", dir, "mcpServers"}, !slices.Contains(above, dir)})
	}
	return all, err
}

// upwards are a folder and those above it.
func upwards(folder string) (all []string) {
	for dir := filepath.Clean(folder); ; dir = filepath.Dir(dir) {
		all = append(all, dir)
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

// ToolName is how a server's name is written in the names of its tools.
func ToolName(server string) string { return unusual.ReplaceAllString(server, "_") }

var underscores = regexp.MustCompile(`_+`)

// alike is the same for names that the host may write alike: some of them it writes with fewer
// underscores.
func alike(server string) string {
	return strings.Trim(underscores.ReplaceAllString(ToolName(server), "_"), "_")
}
