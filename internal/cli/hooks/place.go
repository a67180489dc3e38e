package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	udiff "github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/hook"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/osfile"
)

// place says which of Claude Code's settings are meant.
type place struct {
	project bool
	dryRun  bool
	config  string // what CLAUDE_CONFIG_DIR says: the folder with the user's settings
}

func (p *place) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&p.project, "project", false,
		"the settings of the project in the current folder, which everybody who works on it shares")
	cmd.Flags().BoolVar(&p.dryRun, "dry-run", false, "show what would change, and change nothing")
}

func (p *place) file() (string, error) {
	if p.project {
		return filepath.Abs(filepath.Join(".claude", "settings.json"))
	}
	if p.config != "" {
		return filepath.Abs(filepath.Join(p.config, "settings.json"))
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".claude", "settings.json"), err
}

// read reads the settings. There are none without the file.
func (p *place) read() (file string, doc []byte, err error) {
	if file, err = p.file(); err != nil {
		return "", nil, err
	}
	doc, err = os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return file, doc, err
}

// check finds out whether the hook can be put into the settings, before anything else is changed.
func (p *place) check() error {
	file, doc, err := p.read()
	if err != nil {
		return err
	}
	if _, err := hook.Uninstall(doc); err != nil {
		return fmt.Errorf("%s:\n%w", file, err)
	}
	if p.dryRun || hook.Installed(doc) {
		return nil
	}
	return writable(file)
}

// edit shows and makes one change of the settings.
func (p *place) edit(a *cli.App, change func(doc []byte) ([]byte, error)) error {
	file, before, err := p.read()
	if err != nil {
		return err
	}
	after, err := change(before)
	if err != nil {
		return fmt.Errorf("%s:\n%w", file, err)
	}
	if string(after) == string(before) {
		return a.Print("This is as it should be:\n  " + approval.Display(file, 0) + "\n")
	}
	if !p.dryRun {
		if err := writable(file); err != nil {
			return err
		}
	}
	shown := udiff.Unified(file, file, string(before), string(after))
	if err := a.Print(approval.DisplayLines(shown, 0)); err != nil {
		return err
	}
	switch {
	case p.dryRun:
		return nil
	case after == nil:
		return remove(a, file)
	}
	return write(file, after)
}

// writable returns what keeps a file from being replaced. A file that its owner made read-only
// could be replaced, where its folder can be written to: they do not mean that.
func writable(file string) error {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	for name := file; ; name = filepath.Dir(name) {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && name != filepath.Dir(name) {
			continue // it is made
		}
		if err == nil && info.Mode().Perm()&0o222 == 0 {
			err = errors.New("it is read-only")
		}
		if err == nil && info.IsDir() {
			var probe *os.File
			if probe, err = os.CreateTemp(name, ".pawl-*"); err == nil {
				return errors.Join(probe.Close(), os.Remove(probe.Name()))
			}
		}
		if err != nil {
			return fmt.Errorf("nothing was changed, as this can't be written to:\n  %s\n%w", name, err)
		}
	}
}

// write replaces the settings, and makes their folder if it is missing.
func write(file string, doc []byte) error {
	dir := filepath.Dir(file)
	_, err := os.Stat(dir)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		if err := changeRecord(func(r *record) { r.Folders = append(r.Folders, dir) }); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := osfile.Replace(file, doc, 0o600); err != nil {
		if missing {
			_ = os.Remove(dir) // it is empty, and else nobody would miss it
		}
		return fmt.Errorf("the settings were not changed: %w", err)
	}
	return nil
}

// remove removes settings of which nothing is left, and their folder, if install has made it and
// nothing else is in it.
func remove(a *cli.App, file string) error {
	if err := os.Remove(file); err != nil {
		return err
	}
	dir, ours := filepath.Dir(file), false
	err := changeRecord(func(r *record) {
		ours = slices.Contains(r.Folders, dir)
		r.Folders = slices.DeleteFunc(r.Folders, func(s string) bool { return s == dir })
	})
	if err != nil {
		return fmt.Errorf("the hook was taken out. Did install make this folder?\n  %s\n%w", dir, err)
	}
	if !ours || os.Remove(dir) != nil { // something else is in it
		return nil
	}
	return a.Print("The folder that install made is empty, and was removed:\n  " + approval.Display(dir, 0) + "\n")
}
