//go:build unix

package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/rest"
)

// hardening is what a hardened world has beside a plain one: its API knows callers by their tokens,
// only signed decisions count, and Temporal sees nothing but ciphertext. During the storm both
// kinds of keys are replaced.
type hardening struct {
	w        *world
	keyring  string            // file of the payload keys, in the world's folder
	root     string            // file of the administrator's token, there
	database string            // where the store has no process of its own: its URL
	tokens   map[string]string // by subject

	rotating sync.WaitGroup
	rotated  atomic.Int32 // signing keys
	rekeyed  atomic.Int32 // payload keys

	store    string   // its ID, which forgers know
	stranger sign.Key // which nobody trusts
}

// signingKeyFile is the file of an API's signing key: for every other two seeds, all APIs have one
// in common.
func signingKeyFile(seed uint64, api string) string {
	if seed/2%2 == 0 {
		return "signing-key.pem"
	}
	return "signing-key-" + api + ".pem"
}

func (h *hardening) keys() string { return "PAWL_PAYLOAD_KEYS=" + h.keyring }

func (h *hardening) token(name string) string {
	token, known := h.tokens[name]
	if !known {
		h.w.t.Errorf("nobody gave %s a token", name)
	}
	return token
}

// enrol gives everybody a token, once the world serves.
func (h *hardening) enrol() {
	h.w.t.Helper()
	if h.database != "" {
		h.must("token", "new", "root", "--role", "admin", "--direct", "--out", h.root)
	}
	text, err := os.ReadFile(filepath.Join(h.w.dir, h.root))
	if err != nil {
		h.w.t.Fatal(err)
	}
	if h.stranger, err = sign.NewKey(); err != nil {
		h.w.t.Fatal(err)
	}
	reader, done, err := h.w.open(h.w.t.Context())
	if err != nil {
		h.w.t.Fatal(err)
	}
	h.store, err = reader.ID(h.w.t.Context())
	if err = errors.Join(err, done()); err != nil {
		h.w.t.Fatal(err)
	}
	h.w.t.Cleanup(h.rotating.Wait)
	h.tokens = map[string]string{"root": strings.TrimSpace(string(text))}
	root := h.w.as("root")
	give := func(spec rest.TokenSpec) {
		if h.tokens[spec.Subject], _, err = root.NewToken(h.w.t.Context(), spec); err != nil {
			h.w.t.Fatal(err)
		}
	}
	for name, groups := range groupsOf {
		give(rest.TokenSpec{Subject: name, Groups: groups, Roles: []rest.Role{rest.RoleReviewer}})
	}
	for n := range actorCount {
		give(rest.TokenSpec{Subject: actorName(n), Owner: ownerName, Roles: []rest.Role{rest.RoleAgent}})
	}
	for _, k := range h.w.askers {
		subject := "agent:" + k.as // as the SDK calls itself
		give(rest.TokenSpec{
			Subject: subject, Owner: ownerName, Agents: []string{k.as}, Roles: []rest.Role{rest.RoleAgent},
		})
		file := filepath.Join(h.w.dir, k.as+".token")
		if err := os.WriteFile(file, []byte(h.tokens[subject]), 0o600); err != nil {
			h.w.t.Fatal(err)
		}
		k.args = append(k.args, "--token-file", file)
	}
	h.w.people = h.w.newPeople()
}

// run runs the command line, as an administrator does.
func (h *hardening) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, h.w.program("pawl"), args...)
	cmd.Dir = h.w.dir
	cmd.Env = programs.Environment(h.keys(), "PAWL_TOKEN_FILE="+h.root, "PAWL_DATABASE_URL="+h.database)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pawl %v: %w: %s", args, err, out)
	}
	return nil
}

func (h *hardening) must(args ...string) {
	h.w.t.Helper()
	if err := h.run(h.w.t.Context(), args...); err != nil {
		h.w.t.Fatal(err)
	}
}

// load reads the keyring as it is now.
func (h *hardening) load() (*codec.Keyring, error) {
	return codec.Load(filepath.Join(h.w.dir, h.keyring))
}

// addPayloadKey is the first of two steps to another payload key. Everybody who uses it is started
// again between the two: see schedule.
func (h *hardening) addPayloadKey() {
	h.w.t.Helper()
	h.must("keyring", "add")
}

func (h *hardening) activatePayloadKey() {
	h.w.t.Helper()
	ring, err := h.load()
	if err != nil {
		h.w.t.Fatal(err)
	}
	keys := ring.Keys()
	h.must("keyring", "activate", keys[len(keys)-1].ID)
	h.rekeyed.Add(1)
}

// rotate replaces the signing key of some API, by the API itself or, where that is possible, on the
// store beside it. It goes on in the background until that has succeeded: parts die meanwhile.
func (h *hardening) rotate(direct bool) {
	h.rotating.Go(func() {
		var last error
		ctx := h.w.t.Context()
		if !poll(ctx, h.w.stormPatience, func() bool {
			args := []string{"key", "rotate"}
			if direct && h.database != "" {
				args = append(args, "--direct", "--signing-key", signingKeyFile(h.w.seed, "A"))
			} else {
				x, err := h.w.serving(ctx, h.w.apis...)
				if err != nil {
					return false
				}
				args = append(args, "--api", x.at.API)
			}
			within, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			if last = h.run(within, args...); last != nil {
				<-time.After(300 * time.Millisecond)
			}
			return last == nil
		}) {
			if ctx.Err() != nil { // the test has failed
				return
			}
			h.w.t.Errorf("the signing key was not rotated within %v: %v", h.w.stormPatience, last)
			return
		}
		h.rotated.Add(1)
	})
}
