package wrapped

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/pawlhq/pawl/internal/osfile"
)

// Settings is the file in which a client keeps its settings.
type Settings struct {
	Text []byte // without its byte-order mark
	file string
	mark bool
}

// ReadSettings reads a client's settings. Without a file the error is fs.ErrNotExist, and Write makes one.
func ReadSettings(file string) (Settings, error) {
	s := Settings{file: file}
	doc, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	s.Text, s.mark = bytes.CutPrefix(doc, []byte(mark))
	switch {
	case bytes.HasPrefix(s.Text, []byte(mark)):
		return s, fmt.Errorf("%s, line 1: it is not JSON: two byte-order marks", file)
	case bytes.HasPrefix(doc, []byte("\xff\xfe")), bytes.HasPrefix(doc, []byte("\xfe\xff")):
		return s, fmt.Errorf("%s is in UTF-16: save it as UTF-8", file)
	case !utf8.Valid(doc):
		return s, fmt.Errorf("%s is not in UTF-8: save it as UTF-8", file)
	}
	return s, nil
}

// Writable returns why the settings can't be written. Replacing a file would get around its being
// read-only, which somebody meant.
func (s Settings) Writable() error {
	info, err := os.Stat(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.file, os.O_WRONLY, 0)
	if err == nil {
		err = f.Close()
	}
	const ownerWrites = 0o200
	if err != nil || info.Mode().Perm()&ownerWrites == 0 {
		return fmt.Errorf("%s can't be written, so nothing was changed:\n"+
			"make it writable, or ask whoever manages it", s.file)
	}
	return nil
}

// Write replaces the settings, whole or not at all; a byte-order mark stays.
func (s Settings) Write(text []byte) error {
	if err := s.Writable(); err != nil {
		return err
	}
	if s.mark {
		text = slices.Concat([]byte(mark), text)
	}
	if err := osfile.Replace(s.file, text, 0o600); err != nil {
		return fmt.Errorf("%s was not written: %w", s.file, err)
	}
	return nil
}
