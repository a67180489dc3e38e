package wrapped_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/wrapped"
)

const (
	ours  = `{"command": "/bin/pawl", "args": ["mcp", "--server", "github", "--", "npx", "x"]}`
	other = `{"command": "npx", "args": ["x"]}`
)

func TestRecordIsKept(t *testing.T) {
	file := wrapped.File(t.TempDir())
	if r, err := wrapped.Read(file); err != nil || len(r.Servers) != 0 {
		t.Fatalf("%v, %v", r, err)
	}
	want := wrapped.Record{Servers: []wrapped.Server{{
		Name: "github", File: "/x", Keys: []string{"mcpServers", "github"}, Digest: wrapped.Digest([]byte(ours)),
		Written: ours, Original: other, At: time.Unix(1, 0).UTC(),
	}}}
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	if got, err := wrapped.Read(file); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(file, []byte(`{"servers": [{"names": "x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := wrapped.Read(file); err == nil {
		t.Error("an unknown field was read")
	}
}

func TestCovers(t *testing.T) {
	home, project := t.TempDir(), t.TempDir()
	below := filepath.Join(project, "src")
	user, shared := filepath.Join(home, ".claude.json"), filepath.Join(project, ".mcp.json")
	one := func(name, entry string) string { return fmt.Sprintf(`{"mcpServers": {%q: %s}}`, name, entry) }
	local := func(name, entry string) string {
		return fmt.Sprintf(`{"mcpServers": {"github": %s}, "projects": {%q: %s}}`, ours, project, one(name, entry))
	}
	elsewhere := func(top, entry string) string {
		return fmt.Sprintf(`{"mcpServers": {%s}, "projects": {"C:/other/place": %s}}`, top, one("github", entry))
	}
	record := wrapped.Record{Servers: []wrapped.Server{
		{File: user, Keys: []string{"mcpServers", "github"}, Digest: wrapped.Digest([]byte(ours))},
		{File: shared, Keys: []string{"mcpServers", "github"}, Digest: wrapped.Digest([]byte(ours))},
		{File: user, Keys: []string{"mcpServers", "my.files"}, Digest: wrapped.Digest([]byte(ours))},
		{File: user, Keys: []string{"mcpServers", "a_b"}, Digest: wrapped.Digest([]byte(ours))},
		{File: user, Keys: []string{"projects", "C:/other/place", "mcpServers", "github"},
			Digest: wrapped.Digest([]byte(ours))},
	}}
	for name, c := range map[string]struct {
		user, shared, server string
		want                 bool
	}{
		"wrapped for the user":             {one("github", ours), "", "github", true},
		"laid out otherwise":               {one("github", " "+ours+"\n"), "", "github", true},
		"wrapped in the project":           {"", one("github", ours), "github", true},
		"with a byte-order mark":           {"\uFEFF" + one("github", ours), "", "github", true},
		"in both":                          {one("github", ours), one("github", ours), "github", true},
		"a name with other characters":     {one("my.files", ours), "", "my_files", true},
		"nowhere":                          {"{}", "", "github", false},
		"no settings at all":               {"", "", "github", false},
		"changed since":                    {one("github", other), "", "github", false},
		"the project has another one":      {one("github", ours), one("github", other), "github", false},
		"one of the project by its user":   {local("github", other), "", "github", false},
		"a name that only reads the same":  {one("my.files", ours), one("my files", other), "my_files", false},
		"another server":                   {one("github", ours), "", "git", false},
		"an entry that is given twice":     {`{"mcpServers": {"github": {"command": "a", "command": "b"}}}`, "", "github", false},
		"settings that can't be read":      {one("github", ours), "{", "github", false},
		"settings of an unexpected kind":   {`{"mcpServers": []}`, "", "github", false},
		"an entry like it under a new key": {one("copy", ours), "", "copy", false},
		"one whose name goes on":           {one("github", ours), one("github__evil", other), "github__evil", false},
		"one that is written alike":        {one("a_b", ours), one("a__b", other), "a_b", false},
		"one with a line at its end":       {one("a_b", ours), one("a b!", other), "a_b", false},
		"wrapped in another project only":  {elsewhere("", ours), "", "github", false},
		"another project has another one":  {elsewhere(`"github": `+ours, other), "", "github", false},
	} {
		t.Run(name, func(t *testing.T) {
			for file, text := range map[string]string{user: c.user, shared: c.shared} {
				if text == "" {
					_ = os.Remove(file)
				} else if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := record.Covers(c.server, wrapped.ClaudeAt(home, "", below)); got != c.want {
				t.Errorf("covers: %v, want %v", got, c.want)
			}
		})
	}
}

// A server that administrators set may be the one that Claude Code means, and nobody wrapped it.
func TestCoversLooksAtWhatAdministratorsSet(t *testing.T) {
	at := wrapped.ClaudeAt(t.TempDir(), "", t.TempDir())
	if _, err := os.Stat(filepath.Dir(at.Managed)); err != nil || !filepath.IsAbs(at.Managed) {
		t.Errorf("%s is no folder of this system: %v", at.Managed, err)
	}
	record := wrapped.Record{Servers: []wrapped.Server{
		{File: at.Own, Keys: []string{"mcpServers", "github"}, Digest: wrapped.Digest([]byte(ours))},
	}}
	if err := os.WriteFile(at.Own, []byte(`{"mcpServers": {"github": `+ours+`}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file, text string
		want       bool
	}{
		"nothing":                     {"other.json", "", true},
		"another server":              {"managed-mcp.json", `{"mcpServers": {"jira": ` + other + `}}`, true},
		"one of that name":            {"managed-mcp.json", `{"mcpServers": {"github": ` + other + `}}`, false},
		"what can't be read":          {"managed-mcp.json", "{", false},
		"other settings":              {"managed-settings.json", `{"permissions": {}}`, true},
		"one of that name, in a part": {"managed-settings.d/10-mcp.json", `{"managedMcpServers": {"github": ` + other + `}}`, false},
		"a part that can't be read":   {"managed-settings.d/10-mcp.json", "{", false},
		"another part":                {"managed-settings.d/10-mcp.json", `{"managedMcpServers": {"jira": ` + other + `}}`, true},
		"one of that name, provided":  {"managed-settings.json", `{"managedMcpServers": {"github": ` + other + `}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			at.Managed = t.TempDir()
			file := filepath.Join(at.Managed, c.file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(c.text), 0o600)); err != nil {
				t.Fatal(err)
			}
			if got := record.Covers("github", at); got != c.want {
				t.Errorf("covers: %v, want %v", got, c.want)
			}
		})
	}
}

// A file of a subagent can bring servers along.
func TestOwnAgents(t *testing.T) {
	for name, folder := range map[string]string{
		"the user's": "home/.claude/agents", "the project's": "work/.claude/agents",
		"one of a folder below": "work/src/.claude/agents", "none": "work/.claude/commands",
		"another project's": "play/.claude/agents", "the user's, kept elsewhere": "config/agents",
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, filepath.FromSlash(folder)), 0o700); err != nil {
				t.Fatal(err)
			}
			config := ""
			if name == "the user's, kept elsewhere" {
				config = filepath.Join(root, "config")
			}
			at := wrapped.ClaudeAt(filepath.Join(root, "home"), config, filepath.Join(root, "work", "src"))
			if got, want := at.OwnAgents(), name != "none" && name != "another project's"; got != want {
				t.Errorf("own subagents: %v, want %v", got, want)
			}
		})
	}
}
