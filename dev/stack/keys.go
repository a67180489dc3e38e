package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/health"
)

// KeysPath is the keyring's file, or empty where payloads are plain.
func (s *Stack) KeysPath() string {
	switch {
	case s.o.PayloadKeys != "":
		return s.o.PayloadKeys
	case s.o.Encrypt:
		return filepath.Join(s.o.Data, "payload-keys.json")
	}
	return ""
}

// readKeys reads the keyring. The stack's own is made if it is missing; calls that are in the data
// directory already are plain, and stay readable.
func (s *Stack) readKeys() error {
	path := s.KeysPath()
	if path == "" {
		return nil
	}
	var err error
	if _, missing := os.Stat(path); s.o.PayloadKeys == "" && errors.Is(missing, fs.ErrNotExist) {
		_, begun := os.Stat(filepath.Join(s.o.Data, "temporal.db"))
		s.keys, err = codec.Create(path, begun == nil)
		s.newKeys = err == nil && begun == nil
	} else {
		s.keys, err = codec.Load(path)
	}
	return err
}

// checkNewKeys takes a keyring back that was made for a data directory whose own is lost. Nothing
// has been written with it yet.
func (s *Stack) checkNewKeys(ctx context.Context) error {
	if !s.newKeys {
		return nil
	}
	err := health.SamePayloads(ctx, s.Client, approval.TaskQueue)
	if errors.Is(err, health.ErrUnreadable) {
		path := s.KeysPath()
		err = fmt.Errorf("what is in %s was encrypted by a keyring that is missing: put it back as %s; "+
			"without it, calls there can't go on, and only another --data starts afresh: %w", s.o.Data, path, err)
		return errors.Join(err, os.Remove(path))
	}
	return err
}

// codec lets the UI's pages decode, where both are served.
func (s *Stack) codec() (*api.CodecOptions, error) {
	if s.keys == nil || s.UI == "" {
		return nil, nil
	}
	ui, err := url.Parse(s.UI)
	if err != nil {
		return nil, fmt.Errorf("the UI's address: %w", err)
	}
	// People open the UI under either name, and signal from it.
	origins := []string{s.UI, "http://localhost:" + ui.Port()}
	return &api.CodecOptions{Keyring: s.keys, Encode: true, Origins: origins}, nil
}
