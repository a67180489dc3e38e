// Package witness tests the audit log with a witness that others wrote.
package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/store/storetest"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	_ "modernc.org/sqlite" // the witness's list of logs is in a file of it
)

// torchwood is the module of litewitness. It is in no module of Pawl: it needs large libraries.
const torchwood = "filippo.io/torchwood@v0.9.0"

// build builds litewitness, and testdata/proofs.go, with the libraries that this module has anyway.
func build(t *testing.T) (witness, proofs string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "\t{{.Path}} {{.Version}}", "modernc.org/sqlite",
		"modernc.org/libc", "golang.org/x/crypto", "golang.org/x/net", "golang.org/x/sys", "golang.org/x/mod")
	versions, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, version, _ := strings.Cut(torchwood, "@")
	mod := fmt.Sprintf("module witness\n\ngo 1.26\n\nrequire (\n\t%s %s\n%s)\n", path, version, versions)
	source, err := os.ReadFile("testdata/proofs.go")
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600),
		os.WriteFile(filepath.Join(dir, "proofs.go"), source, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for program, of := range map[string]string{"litewitness": path + "/cmd/litewitness", "proofs": "./proofs.go"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", program, of)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			if os.Getenv("CI") != "true" {
				t.Skipf("SKIPPED: %s could not be fetched and built, so no witness was asked: %v\n%s", program, err, out)
			}
			t.Fatalf("build %s: %v\n%s", program, err, out)
		}
	}
	return filepath.Join(dir, "litewitness"), filepath.Join(dir, "proofs")
}

// keyholder is an ssh-agent with the witness's key, and its socket.
func keyholder(t *testing.T, key ed25519.PrivateKey) (socket string) {
	t.Helper()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "w") // t.TempDir's names may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn) }()
		}
	}()
	return listener.Addr().String()
}

// knowing makes the witness's database, in which it knows a log.
func knowing(t *testing.T, origin, public string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "witness.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	empty := sha256.Sum256(nil)
	for _, statement := range []string{
		`CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL)`,
		`CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin))`,
		fmt.Sprintf(`INSERT INTO log VALUES ('%s', 0, '%s')`, origin, base64.StdEncoding.EncodeToString(empty[:])),
		fmt.Sprintf(`INSERT INTO key VALUES ('%s', '%s')`, origin, public),
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// start runs a witness, and returns the file that names it.
func start(t *testing.T, program, origin, public string) (policy string) {
	t.Helper()
	const name = "witness.example.com/w"
	public = strings.TrimSpace(public)
	key := ed25519.NewKeyFromSeed(slices.Repeat([]byte{7}, ed25519.SeedSize))
	shown, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	var log strings.Builder
	cmd := exec.CommandContext(t.Context(), program, "-name", name, "-db", knowing(t, origin, public),
		"-ssh-agent", keyholder(t, key), "-key", ssh.FingerprintSHA256(shown), "-listen", address)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the witness said:\n%s", log.String())
		}
	})
	for begin := time.Now(); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the witness ended: %v\n%s", err, log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("the witness does not listen")
		}
	}
	raw := append([]byte{4}, key.Public().(ed25519.PublicKey)...) // cosignature/v1
	id := sha256.Sum256(append([]byte(name+"\n"), raw...))
	text := fmt.Sprintf("witness w %s+%s+%s http://%s\nquorum w\n",
		name, hex.EncodeToString(id[:4]), base64.StdEncoding.EncodeToString(raw), address)
	policy = filepath.Join(t.TempDir(), "witnesses")
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return policy
}

// TestLitewitness seals a log with a real witness, and goes on from an older copy then.
func TestLitewitness(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "pawl.db"), filepath.Join(dir, "backup.db")
	keys := tree.Keys{ed25519.NewKeyFromSeed(slices.Repeat([]byte{1}, ed25519.SeedSize))}
	open := func(path string) *sqlite.Store {
		t.Helper()
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s := open(path)
	origins, err := s.Origins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.Verifiers(origins[0])
	if err != nil {
		t.Fatal(err)
	}
	litewitness, proofs := build(t)
	witnesses := start(t, litewitness, origins[0], public[0])
	policy, err := tree.LoadPolicy(witnesses)
	if err != nil {
		t.Fatal(err)
	}
	a, err := storetest.Sample(call, true)
	if err == nil {
		_, _, err = s.Admit(t.Context(), a)
	}
	if err != nil {
		t.Fatal(err)
	}
	grow := func(s *sqlite.Store, steps ...string) error {
		t.Helper()
		for _, step := range steps {
			e, err := audit.New("call", step, time.Now(), audit.Refused{})
			if err == nil {
				err = s.Append(t.Context(), e)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		sealer, err := tree.NewSealer(tree.Options{Store: s, Keys: keys, Places: []tree.Place{tree.NewWitnesses(policy, s)}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = sealer.Seal(t.Context())
		return err
	}
	signed := func(s *sqlite.Store, size int64) {
		t.Helper()
		last, err := s.LastCheckpoint(t.Context())
		if err != nil || last.Size != size || !strings.Contains(last.Cosigned, "\n— witness.example.com/w ") {
			t.Errorf("of %d entries the witness signed %d: %q, %v", size, last.Size, last.Cosigned, err)
		}
	}
	if err := grow(s, "1", "2", "3"); err != nil {
		t.Fatal(err)
	}
	signed(s, 4)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(backup, whole, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s = open(path)
	for size := int64(5); size < 40; size += 5 { // each with a proof that the log only grew
		steps := []string{fmt.Sprint(size, "a"), fmt.Sprint(size, "b"), fmt.Sprint(size, "c"), fmt.Sprint(size, "d"), fmt.Sprint(size, "e")}
		if err := grow(s, steps...); err != nil {
			t.Fatal(err)
		}
		signed(s, size-5+9)
	}
	old := open(backup)
	if err := grow(old, "another", "log"); !errors.Is(err, tree.ErrAhead) {
		t.Errorf("an older copy goes on: %v", err)
	}
	if last, err := old.LastCheckpoint(t.Context()); err != nil || last.Size != 4 {
		t.Errorf("the older copy was sealed up to %d, %v", last.Size, err)
	}
	if err := grow(s, "last"); err != nil {
		t.Errorf("the log itself goes on: %v", err)
	}
	prove(t, path, proofs, witnesses, public[0])
}

const call = "pawl-abcdefgh"

// prove has 'pawl audit prove' write a proof, and a reader that others wrote check it by the keys of the
// log and the witness.
func prove(t *testing.T, database, reader, witnesses, public string) {
	t.Helper()
	dir := t.TempDir()
	pawl := exec.CommandContext(t.Context(), filepath.Join(programs.Build(t, "pawl"), "pawl"),
		"audit", "prove", call, "--database-url", "sqlite://"+database, "--dir", dir)
	pawl.Dir, pawl.Env = dir, programs.Environment()
	if out, err := pawl.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file, policy := filepath.Join(dir, "00000000.tlog-proof"), filepath.Join(dir, "policy")
	proof, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(witnesses)
	if err = errors.Join(err, os.WriteFile(policy, fmt.Appendf(text, "log %s\n", public), 0o600)); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(proof), "\n") // header, extra, index, hashes
	extra, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(lines[1]), "extra "))
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.ReplaceAll(string(extra), "call.requested", "call.blocked")
	another := func(line string) string { // another hash, or signature
		letter := map[bool]string{true: "B", false: "A"}
		return line[:len(line)-20] + letter[line[len(line)-20] == 'A'] + line[len(line)-19:]
	}
	for name, c := range map[string]struct {
		from, to string
		want     string // that it says
	}{
		"as it was written":       {"", "", "ok: " + string(extra)},
		"another entry":           {lines[1], "extra " + base64.StdEncoding.EncodeToString([]byte(edited)) + "\n", "proof verification failed"},
		"another number":          {"index 0\n", "index 1\n", "proof verification failed"},
		"another hash":            {lines[3], another(lines[3]), "proof verification failed"},
		"a hash removed":          {lines[3], "", "proof verification failed"},
		"another size":            {public[:strings.Index(public, "+")] + "\n", public[:strings.Index(public, "+")] + "\n1", "invalid signature"},
		"another signature":       {lines[len(lines)-3], another(lines[len(lines)-3]), "invalid signature"},
		"without the log's":       {lines[len(lines)-3], "", "policy"},
		"without the witness's":   {lines[len(lines)-2], "", "policy"},
		"another kind of a proof": {"tlog-proof@v1", "tlog-proof@v0", "malformed"},
	} {
		changed := strings.Replace(string(proof), c.from, c.to, 1)
		if c.from != c.to && changed == string(proof) {
			t.Fatalf("%s: %q is not in the proof", name, c.from)
		}
		if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), reader, policy, file).CombinedOutput()
		if ok := c.from == ""; !strings.Contains(string(out), c.want) || (err == nil) != ok {
			t.Errorf("%s: the reader says %q, %v, want %q", name, out, err, c.want)
		}
	}
}
