package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

func TestParse(t *testing.T) {
	key, other := bytes.Repeat([]byte{1}, keySize), bytes.Repeat([]byte{2}, keySize)
	const created = `"created":"2026-01-02T03:04:05Z"`
	one := fmt.Sprintf(`{"id":"%s",%s,"key":"%s"}`, idOf(key), created, base64.StdEncoding.EncodeToString(key))
	two := fmt.Sprintf(`{"id":"%s",%s,"key":"%s"}`, idOf(other), created, base64.StdEncoding.EncodeToString(other))
	doc := func(active, plain, keys string) string {
		return fmt.Sprintf(`{"active":"%s","plain":"%s","keys":[%s]}`, active, plain, keys)
	}
	good := doc(idOf(other), "refuse", one+","+two)
	r, err := Parse([]byte(good + "\n"))
	if err != nil || len(r.Keys()) != 2 || r.Active().ID != idOf(other) || r.ReadsPlain() {
		t.Fatalf("%v, %v", r, err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", ``, "not JSON of the form"},
		{"no JSON", `pk-1: hunter2`, "not JSON of the form"},
		{"cut off", good[:40], "not JSON of the form"},
		{"a list", `[]`, "not JSON of the form"},
		{"null", `null`, "not JSON of the form"},
		{"more after it", good + `{}`, "not JSON of the form"},
		{"unknown field", `{"hunter2":1}`, "not JSON of the form"},
		{"capitals", strings.Replace(good, `"active"`, `"Active"`, 1), "not JSON of the form"},
		{"a field twice", strings.Replace(good, `{"active"`, `{"active":"x","active"`, 1), "not JSON of the form"},
		{"a field of a key twice", strings.Replace(good, `{"id"`, `{"id":"x","id"`, 1), "not JSON of the form"},
		{"a number for a key", strings.Replace(good, `"key":"`, `"key":7,"x":"`, 1), "not JSON of the form"},
		{"no base64", strings.Replace(good, `"key":"`, `"key":"!`, 1), "not JSON of the form"},
		{"no plain", strings.Replace(good, `"plain":"refuse",`, ``, 1), "plain"},
		{"another plain", doc(idOf(key), "yes", one), "plain"},
		{"no keys", doc(idOf(key), "read", ""), "keys in it: 0"},
		{"no active key", doc("", "read", one), "active"},
		{"the active key is missing", doc(idOf(other), "read", one), "active"},
		{"a key twice", doc(idOf(key), "read", one+","+one), "there twice"},
		{"an ID of another key", doc(idOf(key), "read", strings.Replace(one, idOf(key), idOf(other), 1)), "does not fit"},
		{"a short key", doc(idOf(key), "read", strings.Replace(one, "AQEB", "", 1)), "wrong length in bytes"},
		{"no time", doc(idOf(key), "read", strings.Replace(one, created+",", "", 1)), "created"},
		{"a time that is none", doc(idOf(key), "read", strings.Replace(one, "2026-01", "hunter2", 1)), "not JSON of the form"},
	} {
		r, err := Parse([]byte(c.text))
		if r != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", c.name, r, err)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "AQEB") {
			t.Errorf("%s: the error quotes the file: %v", c.name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	key := bytes.Repeat([]byte{1}, keySize)
	doc, err := json.Marshal(document{Active: idOf(key), Plain: plainRead, Keys: []documentKey{{ID: idOf(key), Key: key}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc)
	f.Add([]byte(`{"keys":[[{}],{"id":1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if (r == nil) == (err == nil) {
			t.Fatalf("%v, %v", r, err)
		}
		if r != nil {
			sealed(t, r, &commonpb.Payload{})
		}
	})
}

func TestNothingPrintsKeys(t *testing.T) {
	r := ring(t, false, 'K')
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "ring", r)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "ring", r)
	doc, err := json.Marshal(map[string]any{"ring": r})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s %d %x %q", r, r, r, r, r, r, r), log.String(), string(doc)} {
		for _, secret := range []string{"KKKK", "4b4b4b", "75 75 75", "75,75,75", "S0tL"} {
			if strings.Contains(s, secret) {
				t.Errorf("%s shows the key", s)
			}
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "keyring new") {
		t.Errorf("missing: %v", err)
	}
	made, err := Create(path, false)
	if err != nil {
		t.Fatal(err)
	}
	old := sealed(t, made, text("1"))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created again: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	load := func() *Keyring {
		t.Helper()
		r, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Decode([]*commonpb.Payload{old}); err != nil {
			t.Error(err)
		}
		return r
	}
	first := made.Active().ID
	if err := Add(path, false); err != nil || len(load().Keys()) != 2 || load().Active().ID != first {
		t.Errorf("added: %v, %v", load(), err)
	}
	second := load().Keys()[1]
	if err := Activate(path, second.ID[:8]); second.Active || err != nil || load().Active().ID != second.ID {
		t.Errorf("activated %s: %v, %v", second.ID, load(), err)
	}
	if err := Add(path, true); err != nil || len(load().Keys()) != 3 || load().Active().ID != load().Keys()[2].ID {
		t.Errorf("rotated: %v, %v", load(), err)
	}
	third := load().Active()
	for _, id := range []string{"", "pk-", "pk-none", third.ID} {
		if err := Forget(path, id); err == nil {
			t.Errorf("forgot %q", id)
		}
	}
	if err := Activate(path, "pk-none"); err == nil {
		t.Error("activated what is not there")
	}
	if err := Forget(path, second.ID); err != nil || slices.ContainsFunc(load().Keys(), func(k Key) bool { return k.ID == second.ID }) || len(load().Keys()) != 2 {
		t.Errorf("forgot %s: %v, %v", second.ID, load(), err)
	}
	if err := SetPlain(path, true); err != nil || !load().ReadsPlain() {
		t.Error("plain is not read", err)
	}
	if err := SetPlain(path, false); err != nil || load().ReadsPlain() {
		t.Error("plain is read", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	// What can't be read is not replaced.
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Add(path, true); err == nil {
		t.Error("added to a broken keyring")
	}
	if text, _ := os.ReadFile(path); string(text) != "{}" {
		t.Errorf("replaced by %s", text)
	}
}

// A key that is lost in a race may be the one that was written with.
func TestAddTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := Create(path, false); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := Add(path, true); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if r, err := Load(path); err != nil || len(r.Keys()) != 21 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestFileAccess(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	if _, err := Create(path, false); err != nil {
		t.Fatal(err)
	}
	for mode, fine := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o660: false, 0o666: false, 0o700: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if (err == nil) != fine {
			t.Errorf("mode %o: %v", mode, err)
		}
		if err != nil && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("no advice: %v", err)
		}
		if err := Add(path, false); (err == nil) != fine {
			t.Errorf("adding, mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	if err := Add(link, false); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link was replaced", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a folder: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("too large: %v", err)
	}
}

func TestUnreadableIsOneError(t *testing.T) {
	for _, err := range []error{ErrPlain, ErrNotAuthentic, ErrTooLarge, &KeyError{}} {
		if !errors.Is(err, converter.ErrUnableToDecode) {
			t.Error(err)
		}
	}
}
