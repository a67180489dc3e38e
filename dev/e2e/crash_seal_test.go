//go:build unix

package e2e_test

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

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/codec"
)

// crashSeal is what a sealed world has beside a plain one: its API knows callers
// by their tokens, only signed decisions count, and Temporal sees nothing but
// ciphertext. While the storm rages both kinds of keys are replaced.
type crashSeal struct {
	w        *crashWorld
	pawl     string            // the command line
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

// crashOwner answers for all agents of a sealed world, and so may approve
// nothing that they ask for.
const crashOwner = "olga"

// crashPeople are the people of a world.
type crashPeople struct {
	api            *client.Client // ana's; in a plain world it asks for calls, too
	ana, bo, owner crashPerson    // owner is there in sealed worlds only
	withdraws      *client.Client // what the agent asked for
}

type crashPerson struct {
	*client.Client
	name string
}

// crashSent is one decision that somebody made.
type crashSent struct {
	by, call string
	kind     approval.DecisionKind
}

func (w *crashWorld) people() crashPeople {
	p := crashPeople{ana: crashPerson{w.as("ana"), "ana"}, bo: crashPerson{w.as("bo"), "bo"}}
	p.api, p.withdraws = p.ana.Client, p.ana.Client
	if w.seal != nil {
		p.withdraws, p.owner = w.as("root"), crashPerson{w.as(crashOwner), crashOwner}
	}
	return p
}

// asker is the client by which an actor asks for calls, and who that is to Pawl.
func (w *crashWorld) asker(n int) (c *client.Client, requester string) {
	if w.seal == nil {
		return w.api, "local"
	}
	requester = crashActorName(n)
	return w.as(requester), requester
}

func crashActorName(n int) string { return fmt.Sprintf("agent:actor-%d", n) }

// decide lets somebody decide, and remembers that they did before they do.
func (w *crashWorld) decide(ctx context.Context, who crashPerson, id string, d client.Decision) (client.Answer, error) {
	w.mu.Lock()
	w.sent[d.ID] = crashSent{who.name, id, d.Kind}
	w.mu.Unlock()
	d.Notes = crashPlant("notes")
	return who.Decide(ctx, id, d)
}

// crashSigningKey is the file of an API's signing key: for every other two
// seeds, all APIs have one in common.
func crashSigningKey(seed uint64, api string) string {
	if seed/2%2 == 0 {
		return "signing-key.pem"
	}
	return "signing-key-" + api + ".pem"
}

func (s *crashSeal) keys() string { return "PAWL_PAYLOAD_KEYS=" + s.keyring }

func (s *crashSeal) token(name string) string {
	token, known := s.tokens[name]
	if !known {
		s.w.t.Errorf("nobody gave %s a token", name)
	}
	return token
}

// enrol gives everybody a token, once the world serves.
func (s *crashSeal) enrol() {
	s.w.t.Helper()
	if s.database != "" {
		s.must("token", "new", "root", "--role", "admin", "--direct", "--out", s.root)
	}
	text, err := os.ReadFile(filepath.Join(s.w.dir, s.root))
	if err != nil {
		s.w.t.Fatal(err)
	}
	if s.stranger, err = sign.NewKey(); err != nil {
		s.w.t.Fatal(err)
	}
	reader, done, err := s.w.open(s.w.t.Context())
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.store, err = reader.ID(s.w.t.Context())
	if err = errors.Join(err, done()); err != nil {
		s.w.t.Fatal(err)
	}
	s.w.t.Cleanup(s.rotating.Wait)
	s.tokens = map[string]string{"root": strings.TrimSpace(string(text))}
	root := s.w.as("root")
	give := func(spec auth.TokenSpec) {
		if s.tokens[spec.Subject], _, err = root.NewToken(s.w.t.Context(), spec); err != nil {
			s.w.t.Fatal(err)
		}
	}
	for _, name := range []string{"ana", "bo", crashOwner} {
		give(auth.TokenSpec{Subject: name, Roles: []auth.Role{auth.RoleReviewer}})
	}
	for n := range crashActors {
		give(auth.TokenSpec{Subject: crashActorName(n), Owner: crashOwner, Roles: []auth.Role{auth.RoleAgent}})
	}
	if s.w.agent != nil {
		subject := "agent:" + crashAgent // as the SDK calls itself
		give(auth.TokenSpec{Subject: subject, Owner: crashOwner, Agents: []string{crashAgent}, Roles: []auth.Role{auth.RoleAgent}})
		file := filepath.Join(s.w.dir, "agent.token")
		if err := os.WriteFile(file, []byte(s.tokens[subject]), 0o600); err != nil {
			s.w.t.Fatal(err)
		}
		s.w.agent.args = append(s.w.agent.args, "--token-file", file)
	}
	s.w.crashPeople = s.w.people()
}

// run runs the command line, as an administrator does.
func (s *crashSeal) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, s.pawl, args...)
	cmd.Dir = s.w.dir
	cmd.Env = append(os.Environ(), s.keys(), "PAWL_TOKEN_FILE="+s.root, "PAWL_DATABASE_URL="+s.database)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pawl %v: %w: %s", args, err, out)
	}
	return nil
}

func (s *crashSeal) must(args ...string) {
	s.w.t.Helper()
	if err := s.run(s.w.t.Context(), args...); err != nil {
		s.w.t.Fatal(err)
	}
}

// load reads the keyring as it is now.
func (s *crashSeal) load() (*codec.Keyring, error) {
	return codec.Load(filepath.Join(s.w.dir, s.keyring))
}

// rekey is one step toward another payload key. Everybody is started again
// between the two steps: see crashSchedule.
func (s *crashSeal) rekey(step string) {
	s.w.t.Helper()
	if step == crashAddKey {
		s.must("keyring", "add")
		return
	}
	ring, err := s.load()
	if err != nil {
		s.w.t.Fatal(err)
	}
	keys := ring.Keys()
	s.must("keyring", "activate", keys[len(keys)-1].ID)
	s.rekeyed.Add(1)
}

// rotate replaces the signing key of some API, by the API itself or, where that
// is possible, on the store beside it. It goes on in the background until that
// has succeeded: parts die meanwhile.
func (s *crashSeal) rotate(direct bool) {
	s.rotating.Go(func() {
		var last error
		ctx := s.w.t.Context()
		if !crashPoll(ctx, s.w.patience, func() bool {
			args := []string{"key", "rotate"}
			if direct && s.database != "" {
				args = append(args, "--direct", "--signing-key", crashSigningKey(s.w.seed, "A"))
			} else {
				l, err := s.w.serving(ctx, s.w.apis...)
				if err != nil {
					return false
				}
				args = append(args, "--api", l.at.API)
			}
			within, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			if last = s.run(within, args...); last != nil {
				<-time.After(300 * time.Millisecond)
			}
			return last == nil
		}) {
			if ctx.Err() != nil { // the test has failed
				return
			}
			s.w.t.Errorf("the signing key was not rotated within %v: %v", s.w.patience, last)
			return
		}
		s.rotated.Add(1)
	})
}
