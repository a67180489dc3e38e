package tree_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/audit/tree"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// aWitness signs as https://c2sp.org/tlog-witness says, for one log.
type aWitness struct {
	*httptest.Server
	name string
	key  ed25519.PrivateKey
	log  note.Verifiers

	mu   sync.Mutex
	last tlog.Tree
	down bool
}

func newWitness(t *testing.T, name string, log note.Verifiers) *aWitness {
	w := &aWitness{name: name, key: key(byte(len(name)) + 100), log: log}
	w.Server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.Close)
	return w
}

// public is the key as a policy names it, of the algorithm of cosignatures.
func (w *aWitness) public() (text string, hash []byte) {
	raw := append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(w.name+"\n"), raw...))
	return w.name + "+" + hex.EncodeToString(sum[:4]) + "+" + base64.StdEncoding.EncodeToString(raw), sum[:4]
}

func (w *aWitness) serve(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	head, signed, _ := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	var old int64
	_, err := fmt.Sscanf(lines[0], "old %d", &old)
	_, now, openErr := tree.Open(signed, w.log)
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		openErr = errors.Join(openErr, err)
		proof = append(proof, hash)
	}
	switch {
	case w.down || r.URL.Path != "/sub/add-checkpoint" || r.Method != http.MethodPost:
		out.WriteHeader(http.StatusNotFound)
	case err != nil || openErr != nil:
		out.WriteHeader(http.StatusForbidden)
	case old != w.last.N || old == now.N && w.last.Hash != now.Hash || old > now.N:
		out.Header().Set("Content-Type", "text/x.tlog.size")
		out.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprintf(out, "%d\n", w.last.N)
	case old > 0 && tlog.CheckTree(proof, now.N, now.Hash, old, w.last.Hash) != nil:
		out.WriteHeader(http.StatusUnprocessableEntity)
	default:
		w.last = now
		text, _, _ := strings.Cut(signed, "\n\n")
		const at = 1_790_000_000
		signature := ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at, text))
		_, hash := w.public()
		line := append(binary.BigEndian.AppendUint64(hash, at), signature...)
		_, _ = fmt.Fprintf(out, "— %s %s\n", w.name, base64.StdEncoding.EncodeToString(line))
	}
}

func policy(t *testing.T, text string) (tree.Policy, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "witnesses")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return tree.LoadPolicy(path)
}

// TestWitnesses seals with two witnesses of whom one is down for a while, and goes back to an older
// store then.
func TestWitnesses(t *testing.T) {
	dir := t.TempDir()
	path, keys := filepath.Join(dir, "pawl.db"), tree.Keys{key(1)}
	s := open(t, path)
	origins, err := s.Origins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.Verifiers(origins[0])
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public[0])
	if err != nil {
		t.Fatal(err)
	}
	known := note.VerifierList(v)
	north, south := newWitness(t, "north", known), newWitness(t, "a.south", known)
	northKey, _ := north.public()
	southKey, _ := south.public()
	text := fmt.Sprintf("# both\nwitness n %s %s/sub/\nwitness s %s %s/sub\ngroup both all n s\n", northKey, north.URL, southKey, south.URL)
	both, err := policy(t, text+"quorum both")
	if err != nil {
		t.Fatal(err)
	}
	either, err := policy(t, text+"group one any n s\nquorum one # is enough\n")
	if err != nil {
		t.Fatal(err)
	}
	file := tree.File(filepath.Join(dir, "checkpoint"))
	cosigned := func() int {
		t.Helper()
		last, err := s.LastCheckpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if last.Cosigned != "" && !strings.HasPrefix(last.Cosigned, last.Note) {
			t.Errorf("the witnesses' note is %q", last.Cosigned)
		}
		if _, _, err := tree.Open(last.Cosigned, known); last.Cosigned != "" && err != nil {
			t.Error(err)
		}
		return strings.Count(last.Cosigned, "\n— ") - strings.Count(last.Cosigned, "\n— pawl/")
	}
	write(t, s, "1", "2", "3")
	if err := seal(t, s, keys, tree.NewWitnesses(both, s), file); err != nil || cosigned() != 2 {
		t.Fatalf("%d witnesses signed, %v", cosigned(), err)
	}
	if signed, err := file.Published(t.Context()); err != nil || !strings.Contains(signed, "— a.south ") {
		t.Errorf("the file holds %q, %v", signed, err)
	}
	south.down = true
	write(t, s, "4", "5")
	if err := seal(t, s, keys, tree.NewWitnesses(both, s)); err == nil || !strings.Contains(err.Error(), "witness s") || cosigned() != 2 {
		t.Errorf("after a restart with a witness that is down, %d signed: %v", cosigned(), err)
	}
	if err := seal(t, s, keys, tree.NewWitnesses(either, s)); err != nil || cosigned() != 1 {
		t.Errorf("where one is enough, %d signed: %v", cosigned(), err)
	}
	south.down = false
	if err := seal(t, s, keys, tree.NewWitnesses(both, s)); err != nil || cosigned() != 2 {
		t.Errorf("when it is back, %d signed: %v", cosigned(), err)
	}

	// An older store, and one with other entries.
	for _, last := range []tlog.Tree{{N: 100, Hash: tlog.Hash{1}}, {N: 5, Hash: tlog.Hash{1}}, {N: 3, Hash: tlog.Hash{1}}} {
		north.last = last
		size := func() int64 {
			c, err := s.LastCheckpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return c.Size
		}
		before := size()
		write(t, s, fmt.Sprint("after ", last.N))
		if err := seal(t, s, keys, tree.NewWitnesses(both, s)); !errors.Is(err, tree.ErrAhead) || size() != before {
			t.Errorf("a witness has seen %d other entries; %d are sealed, %d before: %v", last.N, size(), before, err)
		}
	}
}

func TestPoliciesThatAreRefused(t *testing.T) {
	text, _ := (&aWitness{name: "n", key: key(3)}).public()
	good := "witness n " + text + " https://n.example.com\n"
	for _, bad := range []string{
		"", good, "quorum none", good + "quorum m", good + "quorum n\nquorum n", good + good + "quorum n",
		"witness n x https://n\nquorum n", "witness n " + text + " ftp://n\nquorum n", "witness n " + text + "\nquorum n",
		strings.Replace(good, "+", "+0", 1) + "quorum n", good + "group g 2 n\nquorum g", good + "group g any m\nquorum g",
		good + "group n any n\nquorum n", good + "group g 0 n\nquorum g", good + "log x\nquorum n",
		strings.Replace(good, "witness n", "witness none", 1) + "quorum none",
	} {
		if _, err := policy(t, bad); err == nil || !strings.HasPrefix(err.Error(), "witnesses: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := policy(t, good+"group g all n\nquorum g\n"); err != nil {
		t.Error(err)
	}
}
