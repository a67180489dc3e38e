package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store/sqlite"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

var logKey = tree.Keys{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}

// sealed is a log in a store: so many entries, sealed so many at a time, and two that are not.
func sealed(t testing.TB, entries, each int) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	sealer, err := tree.NewSealer(tree.Options{Store: s, Keys: logKey})
	if err != nil {
		t.Fatal(err)
	}
	write := func(from, to int) {
		var batch []audit.Entry
		for i := from; i < to; i++ {
			batch = append(batch, anEntry(t, i))
		}
		if err := s.Append(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < entries; i += each {
		write(i, min(i+each, entries))
		if _, err := sealer.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write(entries, entries+2)
	return s
}

func anEntry(t testing.TB, i int) audit.Entry {
	t.Helper()
	step := "step"
	if i < 100 {
		step = "stép" // most are ASCII
	}
	var salt []byte // as in entries of before, in some; and the same in every log
	if i%3 > 0 {
		sum := sha256.Sum256([]byte{byte(i)})
		salt = sum[:audit.SaltSize]
	}
	e, err := audit.NewSalted(fmt.Sprintf("call-%d", i/5), fmt.Sprintf("%s-%d", step, i%5),
		time.UnixMicro(int64(i)*100_000),
		audit.TokenCreated{Token: rest.Token{CreatedBy: fmt.Sprintf(`an "a" %d, "payload": <&>`, i)}}, salt)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// export is a whole log as lines.
func export(t testing.TB, s *sqlite.Store) (lines []string) {
	t.Helper()
	source := verify.FromStore(s)
	for {
		e, signed, err := source.Next(t.Context())
		var line []byte
		switch {
		case err != nil:
			return lines
		case e != nil:
			line, err = audit.ExportLine(*e)
		default:
			line, err = json.Marshal(rest.ExportedCheckpoint{Checkpoint: signed})
			line = append(line, '\n')
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
}

// knownOf is the key of a store's log.
func knownOf(t testing.TB, s *sqlite.Store) note.Verifiers {
	t.Helper()
	v, err := note.NewVerifier(publicOf(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return note.VerifierList(v)
}

func publicOf(t testing.TB, s *sqlite.Store) string {
	t.Helper()
	origins, err := s.Origins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	public, err := logKey.Verifiers(origins[0])
	if err != nil {
		t.Fatal(err)
	}
	return public[0]
}

func known(t testing.TB) (note.Verifiers, string) {
	t.Helper()
	return knownAs(t, logKey)
}

func knownAs(t testing.TB, keys tree.Keys) (note.Verifiers, string) {
	t.Helper()
	public, err := keys.Verifiers("pawl/test")
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public[0])
	if err != nil {
		t.Fatal(err)
	}
	return note.VerifierList(v), public[0]
}

func TestFromStore(t *testing.T) {
	s := sealed(t, 1200, 250)
	r, err := verify.Run(t.Context(), verify.FromStore(s), verify.Options{Known: knownOf(t, s)})
	if err != nil || !r.OK || r.Size != 1200 || r.Signed != 5 || r.Unsealed != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	origin, signed := r.Last()
	if !strings.HasPrefix(signed, origin+"\n1200\n") {
		t.Errorf("the last checkpoint is of %q: %q", origin, signed)
	}
}

// log is an export of 100 entries, made without a store: checkpoints behind 40, 80 and 100, and one
// that is not sealed.
func log(t *testing.T, edit func(i int, e *audit.Entry)) []string {
	t.Helper()
	var r tree.Range
	var lines []string
	for i := range 101 {
		e := anEntry(t, i)
		if edit != nil {
			edit(i, &e)
		}
		if n := int64(i); i < 100 {
			e.Index = &n
			r.Add(tlog.Hash(e.Leaf), nil)
		}
		line, err := audit.ExportLine(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
		if i == 39 || i == 79 || i == 99 {
			lines = append(lines, signed(t, "pawl/test", r.Size(), r.Root(), logKey))
		}
	}
	return lines
}

func entryOf(t *testing.T, subject, step string, payload audit.Payload) audit.Entry {
	t.Helper()
	e, err := audit.New(subject, step, time.UnixMicro(0), payload)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// emptied is an export without the payloads of some of its first 40 entries.
func emptied(t *testing.T, lines []string, at ...int) []string {
	t.Helper()
	for _, i := range at {
		e, _, err := audit.ReadExport([]byte(lines[i]))
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = strings.Replace(lines[i], string(e.Payload), "null", 1)
	}
	return lines
}

func signed(t *testing.T, origin string, size int64, root tlog.Hash, keys tree.Keys) string {
	t.Helper()
	line, err := json.Marshal(rest.ExportedCheckpoint{Checkpoint: rawSigned(t, origin, size, root, keys)})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

func rawSigned(t *testing.T, origin string, size int64, root tlog.Hash, keys tree.Keys) string {
	t.Helper()
	text := tree.Text(origin, tlog.Tree{N: size, Hash: root})
	public, err := keys.Verifiers(origin)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public[0])
	if err != nil {
		t.Fatal(err)
	}
	doc, err := note.Sign(&note.Note{Text: text}, signer{v, keys[0]})
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

type signer struct {
	note.Verifier
	key ed25519.PrivateKey
}

func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// noteOf is the checkpoint in a line.
func noteOf(t *testing.T, line string) string {
	t.Helper()
	var doc struct{ Checkpoint string }
	if err := json.Unmarshal([]byte(line), &doc); err != nil || doc.Checkpoint == "" {
		t.Fatalf("no checkpoint: %q, %v", line, err)
	}
	return doc.Checkpoint
}

// TestTamperedExports tampers with exports in every way. Go's verifier and the one in Python, which
// shares nothing with it, find the same.
func TestTamperedExports(t *testing.T) {
	honest := log(t, nil)
	another := log(t, func(i int, e *audit.Entry) {
		if i == 70 {
			*e = anEntry(t, 999)
		}
	})
	erasing := func(at int) []string { // call-1, which has entries 5 to 9
		return log(t, func(i int, e *audit.Entry) {
			if i == at {
				*e = entryOf(t, "@retention", "erase", audit.Erased{Calls: []string{"call-1"}, By: "retention"})
			}
		})
	}
	stranger := tree.Keys{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
	last := slices.Index(honest, honest[102]) // the last checkpoint; entry n before 40 is line n, before 80 n+1
	swap := func(lines []string, i, j int) []string {
		lines[i], lines[j] = lines[j], lines[i]
		return lines
	}
	renumber := func(line string, from, to int) string {
		return strings.Replace(line, fmt.Sprintf(`"index":%d,`, from), fmt.Sprintf(`"index":%d,`, to), 1)
	}
	without := func(lines []string, i, j int) []string { return slices.Delete(lines, i, j) }
	type lines = []string
	for _, c := range []struct {
		name   string
		tamper func(lines) lines
		want   verify.Fault // empty: nothing
		at     int64        // the number of the bad entry; -1: not said
	}{
		{"nothing", func(l lines) lines { return l }, "", 0},
		{"a payload removed", func(l lines) lines { return emptied(t, l, 5) }, verify.Edited, 5},
		{"a payload erased", func(lines) lines { return emptied(t, erasing(94), 5, 6) }, "", 0},
		{"a payload erased, which is not sealed yet", func(lines) lines { return emptied(t, erasing(100), 6) }, "", 0},
		{"a payload removed of another call than was erased", func(lines) lines { return emptied(t, erasing(94), 5, 17) }, verify.Edited, 17},
		{"the record of an erasure removed, too", func(lines) lines { return emptied(t, erasing(30), 5, 30) }, verify.Edited, 5},
		{"a payload", func(l lines) lines { l[5] = strings.Replace(l[5], `an \"a\" 5,`, `an \"b\" 5,`, 1); return l }, verify.Edited, 5},
		{"a space in a payload", func(l lines) lines {
			l[5] = strings.Replace(l[5], `"payload":{`, `"payload":{ `, 1)
			return l
		}, verify.Edited, 5},
		{"a call", func(l lines) lines { l[6] = strings.Replace(l[6], `"call-1"`, `"call-9"`, 1); return l }, verify.Edited, 6},
		{"a step", func(l lines) lines { l[7] = strings.Replace(l[7], `"stép-2"`, `"stép-3"`, 1); return l }, verify.Edited, 7},
		{"a kind", func(l lines) lines { l[7] = strings.Replace(l[7], `"token.created"`, `"token.revoked"`, 1); return l }, verify.Edited, 7},
		{"a time", func(l lines) lines { l[7] = strings.Replace(l[7], `00:00:00.7Z`, `00:00:00.8Z`, 1); return l }, verify.Edited, 7},
		{"metadata", func(l lines) lines { l[7] = strings.ReplaceAll(l[7], `call-1`, `call-9`); return l }, verify.Edited, 7},
		{"an entry with all its hashes", func(l lines) lines { l[71] = another[71]; return l }, verify.Changed, 40},
		{"an entry deleted", func(l lines) lines { return without(l, 10, 11) }, verify.Deleted, 10},
		{"an entry deleted, the others numbered anew", func(l lines) lines {
			for i := 11; i < 40; i++ {
				l[i] = renumber(l[i], i, i-1)
			}
			return without(l, 10, 11)
		}, verify.Truncated, 39},
		{"a sealed entry in an open place", func(l lines) lines {
			l[12] = strings.Replace(l[12], `"index":12,`, ``, 1)
			return l
		}, verify.Inserted, -1},
		{"an entry inserted", func(l lines) lines {
			return slices.Insert(l, 12, strings.Replace(l[103], `"metadata"`, `"index":11,"metadata"`, 1))
		}, verify.Inserted, 11},
		{"an entry twice", func(l lines) lines { return slices.Insert(l, 12, l[11]) }, verify.Inserted, 11},
		{"entries exchanged", func(l lines) lines { return swap(l, 20, 21) }, verify.Reordered, 20},
		{"entries exchanged far apart", func(l lines) lines { return swap(l, 20, 90) }, verify.Reordered, 20},
		{"entries exchanged, with their numbers", func(l lines) lines {
			l[20], l[21] = renumber(l[21], 21, 20), renumber(l[20], 20, 21)
			return l
		}, verify.Changed, 0},
		{"the end cut off, but for the checkpoint", func(l lines) lines { return without(l, last-3, last) }, verify.Truncated, 97},
		{"the last checkpoint cut off", func(l lines) lines { return without(l, last, last+1) }, verify.Forged, 80},
		{"all checkpoints cut off", func(l lines) lines {
			return slices.DeleteFunc(l, func(line string) bool { return strings.HasPrefix(line, `{"checkpoint"`) })
		}, verify.Forged, 0},
		{"another root, with a bad signature", func(l lines) lines {
			l[last] = strings.Replace(l[last], `\n100\n`, `\n101\n`, 1)
			return l
		}, verify.Forged, -1},
		{"a stranger's checkpoint", func(l lines) lines {
			_, at, err := tree.Open(noteOf(t, l[last]), first(known(t)))
			if err != nil {
				t.Fatal(err)
			}
			l[last] = signed(t, "pawl/test", 100, at.Hash, stranger)
			return l
		}, verify.Forged, -1},
		{"a stranger's root in between", func(l lines) lines {
			l[81] = signed(t, "pawl/test", 80, tlog.Hash{1}, stranger)
			return l
		}, verify.Forged, -1},
		{"a checkpoint that can't be read", func(l lines) lines {
			l[81] = `{"checkpoint":"garbage"}` + "\n"
			return l
		}, verify.Forged, -1},
		{"a checkpoint with a line too much", func(l lines) lines {
			l[81] = strings.Replace(l[81], `\n"`, `\ngarbage\n"`, 1)
			return l
		}, verify.Forged, -1},
		{"a checkpoint of another log", func(l lines) lines {
			_, at, err := tree.Open(noteOf(t, l[81]), first(known(t)))
			if err != nil {
				t.Fatal(err)
			}
			l[81] = signed(t, "pawl/other", 80, at.Hash, logKey)
			return l
		}, verify.Forged, -1},
		{"everything", func(lines) lines { return nil }, verify.Empty, -1},
		{"everything that was sealed", func(l lines) lines { return l[103:] }, verify.Empty, -1},
		{"a checkpoint in another place", func(l lines) lines { return swap(l, 40, 41) }, verify.Forged, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			tampered := c.tamper(slices.Clone(honest))
			k, public := known(t)
			r, err := verify.Run(t.Context(), verify.FromExport(strings.NewReader(strings.Join(tampered, ""))), verify.Options{Known: k})
			if err != nil {
				t.Fatal(err)
			}
			found := verify.Fault("")
			if r.Problem != nil {
				found = r.Problem.Fault
				if index := r.Problem.Index; c.at >= 0 && (index == nil || *index != c.at) || c.at < 0 && index != nil {
					t.Errorf("the bad entry is %v, want %d: %v", index, c.at, r.Problem)
				}
			}
			if found != c.want || r.OK != (c.want == "") {
				t.Errorf("found %v; want %q", r.Problem, c.want)
			}
			python(t, public, c.want, tampered)
		})
	}
}

func first[A, B any](a A, _ B) A { return a }

// python runs the verifier in Python on an export. It may want any fault, "?".
func python(t *testing.T, public string, want verify.Fault, lines []string, more ...string) {
	t.Helper()
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "export")
	if err := errors.Join(os.WriteFile(key, []byte(public+"\n"), 0o600), os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("python3", slices.Concat([]string{"../../examples/verify/verify.py", "--key", key}, more, []string{file})...).CombinedOutput()
	said := strings.TrimPrefix(string(out), file+": ")
	if want == "" && (err != nil || !strings.HasPrefix(said, "ok: ")) ||
		want != "" && !strings.HasPrefix(said, strings.TrimSuffix("NOT OK: "+string(want)+": ", "?: ")) {
		t.Errorf("Python says %q, %v; want %q", out, err, want)
	}
}
