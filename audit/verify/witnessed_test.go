package verify_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/rest"
)

// cosigner is a witness of a log.
type cosigner struct {
	name string
	key  ed25519.PrivateKey
}

func newCosigner(name string) cosigner {
	sum := sha256.Sum256([]byte(name))
	return cosigner{name, ed25519.NewKeyFromSeed(sum[:])}
}

// public is its key as https://c2sp.org/tlog-cosignature has it.
func (c cosigner) public() (text string, hash []byte) {
	raw := append([]byte{4}, c.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(c.name+"\n"), raw...))
	return fmt.Sprintf("%s+%x+%s", c.name, sum[:4], base64.StdEncoding.EncodeToString(raw)), sum[:4]
}

// sign is its line for a checkpoint.
func (c cosigner) sign(checkpoint string) string {
	text, _, _ := strings.Cut(checkpoint, "\n\n")
	_, hash := c.public()
	line := append(binary.BigEndian.AppendUint64(hash, 1_790_000_000),
		ed25519.Sign(c.key, fmt.Appendf(nil, "cosignature/v1\ntime 1790000000\n%s\n", text))...)
	return fmt.Sprintf("— %s %s\n", c.name, base64.StdEncoding.EncodeToString(line))
}

// TestWitnessed asks for the signatures of witnesses, two of three.
func TestWitnessed(t *testing.T) {
	honest := log(t, nil) // with checkpoints in the lines 40, 81 and 102
	north, south, east, stranger := newCosigner("north"), newCosigner("south"), newCosigner("east"), newCosigner("stranger")
	var file strings.Builder
	for _, w := range []cosigner{north, south, east} {
		public, _ := w.public()
		fmt.Fprintf(&file, "witness %s %s https://%s.example.com\n", w.name[:1], public, w.name)
	}
	file.WriteString("group two 2 n s e\nquorum two\n")
	path := filepath.Join(t.TempDir(), "witnesses")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	policy, err := tree.LoadPolicy(path)
	if err != nil {
		t.Fatal(err)
	}
	with := func(line int, by ...string) func(lines []string) {
		return func(lines []string) {
			doc, err := json.Marshal(rest.ExportedCheckpoint{Checkpoint: noteOf(t, lines[line]) + strings.Join(by, "")})
			if err != nil {
				t.Fatal(err)
			}
			lines[line] = string(doc) + "\n"
		}
	}
	last, before := noteOf(t, honest[102]), noteOf(t, honest[81])
	for _, c := range []struct {
		name string
		sign func(lines []string)
		want int64 // so many entries are witnessed
	}{
		{"by nobody", func([]string) {}, 0},
		{"by one", with(102, north.sign(last)), 0},
		{"by two", with(102, north.sign(last), east.sign(last)), 100},
		{"by all", with(102, north.sign(last), south.sign(last), east.sign(last)), 100},
		{"by one twice", with(102, north.sign(last), north.sign(last)), 0},
		{"by one and somebody else", with(102, north.sign(last), stranger.sign(last)), 0},
		{"by one, and by another one of what was before", with(102, north.sign(last), south.sign(before)), 0},
		{"before by two", with(81, north.sign(before), south.sign(before)), 80},
	} {
		lines := slices.Clone(honest)
		c.sign(lines)
		k, _ := known(t)
		source := func() verify.Source { return verify.FromExport(strings.NewReader(strings.Join(lines, ""))) }
		r, err := verify.Run(t.Context(), source(), verify.Options{Known: k, Witnesses: &policy})
		if err != nil || r.OK != (c.want == 100) || r.Witnessed != c.want || !r.OK && (r.Problem.Fault != verify.Forged || *r.Problem.Index != c.want) {
			t.Errorf("signed %s: %+v %v, %v", c.name, r, r.Problem, err)
		}
		if r, err := verify.Run(t.Context(), source(), verify.Options{Known: k}); err != nil || !r.OK {
			t.Errorf("signed %s, which nobody asks for: %v, %v", c.name, r.Problem, err)
		}
	}
}
