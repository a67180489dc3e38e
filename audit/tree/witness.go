package tree

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Policy says which witnesses a log has, and how many of them are enough. It is read from a file of
// lines, as other programs of transparency logs take them; # begins a comment:
//
//	witness NAME PUBLIC-KEY URL
//	group NAME any|all|NUMBER MEMBER…
//	quorum NAME|none
type Policy struct {
	witnesses []witness
	groups    map[string]group
	quorum    string
}

type witness struct {
	name, url string
	key       note.Verifier
}

type group struct {
	need    int
	members []string
}

// LoadPolicy reads the file of a Policy.
func LoadPolicy(path string) (p Policy, err error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return p, fmt.Errorf("witnesses: %w", err)
	}
	p.groups = map[string]group{}
	for i, line := range strings.Split(string(doc), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			if err := p.add(fields); err != nil {
				return p, fmt.Errorf("witnesses: %s, line %d: %w", path, i+1, err)
			}
		}
	}
	switch {
	case len(p.witnesses) == 0:
		return p, fmt.Errorf("witnesses: %s names none: write witness NAME PUBLIC-KEY URL", path)
	case p.quorum == "":
		return p, fmt.Errorf("witnesses: %s does not say how many are enough: "+
			"write quorum NAME, or quorum none", path)
	}
	return p, nil
}

func (p *Policy) add(fields []string) error {
	switch word, rest := fields[0], fields[1:]; {
	case word == "witness" && len(rest) == 3:
		key, err := newCosignatureVerifier(rest[1])
		if err != nil {
			return err
		}
		if _, err := NewWebhook(rest[2]); err != nil {
			return errors.New("the witness's address must be like https://HOST/PATH")
		}
		p.witnesses = append(p.witnesses, witness{rest[0], strings.TrimSuffix(rest[2], "/"), key})
		return p.define(rest[0], group{need: 1})
	case word == "group" && len(rest) > 2:
		members := rest[2:]
		need, err := strconv.Atoi(rest[1])
		switch rest[1] {
		case "any":
			need, err = 1, nil
		case "all":
			need, err = len(members), nil
		}
		if err != nil || need < 1 || need > len(members) {
			return fmt.Errorf("%q of the %d members of the group can't be had", rest[1], len(members))
		}
		for _, member := range members {
			if _, known := p.groups[member]; !known {
				return fmt.Errorf("the group's member %q is not defined above", member)
			}
		}
		return p.define(rest[0], group{need, members})
	case word == "quorum" && len(rest) == 1 && p.quorum == "":
		if _, known := p.groups[rest[0]]; !known && rest[0] != "none" {
			return fmt.Errorf("the quorum %q is not defined above", rest[0])
		}
		p.quorum = rest[0]
		return nil
	}
	return errors.New("write witness NAME PUBLIC-KEY URL, " +
		"group NAME any|all|NUMBER MEMBER…, or, once, quorum NAME")
}

func (p *Policy) define(name string, g group) error {
	if _, known := p.groups[name]; known || name == "none" {
		return fmt.Errorf("the name %q is taken", name)
	}
	p.groups[name] = g
	return nil
}

// Signed reports whether enough witnesses signed a checkpoint.
func (p *Policy) Signed(checkpoint string) bool {
	signed := map[string]bool{}
	for _, w := range p.witnesses {
		_, err := note.Open([]byte(checkpoint), note.VerifierList(w.key))
		signed[w.name] = err == nil
	}
	return p.met(p.quorum, signed)
}

// met reports whether the signatures of some witnesses are enough for a witness or a group.
func (p *Policy) met(name string, signed map[string]bool) bool {
	g := p.groups[name]
	if len(g.members) == 0 {
		return signed[name] || name == "none"
	}
	count := 0
	for _, member := range g.members {
		if p.met(member, signed) {
			count++
		}
	}
	return count >= g.need
}

// algorithmCosignature is the type of a witness's key: see https://c2sp.org/tlog-cosignature.
const algorithmCosignature = 4

// cosignatureVerifier checks a witness's signature, which covers the time at which it was made.
type cosignatureVerifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosignatureVerifier(text string) (v cosignatureVerifier, err error) {
	fields := strings.SplitN(text, "+", 3)
	bad := errors.New("the witness's public key must read NAME+HASH+KEY, for cosignatures with Ed25519")
	if len(fields) != 3 || fields[0] == "" {
		return v, bad
	}
	key, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != algorithmCosignature {
		return v, bad
	}
	sum := sha256.Sum256(append([]byte(fields[0]+"\n"), key...))
	if hex.EncodeToString(sum[:4]) != fields[1] {
		return v, bad
	}
	return cosignatureVerifier{fields[0], binary.BigEndian.Uint32(sum[:]), key[1:]}, nil
}

func (v cosignatureVerifier) Name() string    { return v.name }
func (v cosignatureVerifier) KeyHash() uint32 { return v.hash }

func (v cosignatureVerifier) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(signature)
	return ed25519.Verify(v.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), signature[8:])
}

// Witnesses is a Place: others who sign that the log only ever grows, see https://c2sp.org/tlog-witness.
// What enough of them sign is kept beside the checkpoint.
type Witnesses struct {
	policy Policy
	log    store.Log
	known  []int64 // the size that each witness signed last, as far as is known
	done   string  // the note that enough of them signed last
}

// NewWitnesses asks the witnesses of a policy about a log.
func NewWitnesses(p Policy, log store.Log) *Witnesses {
	return &Witnesses{policy: p, log: log, known: make([]int64, len(p.witnesses))}
}

// errQuorum: too few witnesses signed, or said what they signed before.
var errQuorum = errors.New("which is not the quorum")

func (w *Witnesses) String() string { return fmt.Sprintf("%d witnesses", len(w.policy.witnesses)) }

// Published implements Place: only a witness knows, and says so when it is asked to sign.
func (w *Witnesses) Published(context.Context) (string, error) { return "", nil }

// Publish implements Place.
func (w *Witnesses) Publish(ctx context.Context, c store.Checkpoint) error {
	if c.Note == w.done {
		return nil // only their own signatures are new
	}
	lines, failed := make([]string, len(w.policy.witnesses)), make([]error, len(w.policy.witnesses))
	var asked sync.WaitGroup
	for i := range w.policy.witnesses {
		asked.Go(func() { lines[i], failed[i] = w.ask(ctx, i, c) })
	}
	asked.Wait()
	signed, cosigned := map[string]bool{}, c.Note
	for i, line := range lines {
		if failed[i] != nil {
			failed[i] = fmt.Errorf("witness %s: %w", w.policy.witnesses[i].name, failed[i])
		} else {
			signed[w.policy.witnesses[i].name] = true
			cosigned += line
		}
	}
	if err := errors.Join(failed...); errors.Is(err, ErrAhead) || !w.policy.met(w.policy.quorum, signed) {
		return fmt.Errorf("%d of %d witnesses signed, %w: %w", len(signed), len(failed), errQuorum, err)
	}
	if len(signed) > 0 {
		if err := w.log.Cosign(ctx, c.Size, cosigned); err != nil {
			return err
		}
	}
	w.done = c.Note
	return nil
}

// ask asks a witness to sign, and returns its line of the note.
func (w *Witnesses) ask(ctx context.Context, i int, c store.Checkpoint) (line string, err error) {
	for range 3 { // what it signed last may be news, and change meanwhile
		old := w.known[i]
		status, answer, err := w.post(ctx, w.policy.witnesses[i], old, c)
		if err != nil {
			return "", err
		}
		switch status {
		case http.StatusOK:
			w.known[i] = c.Size
			return cosignature(answer, w.policy.witnesses[i], c)
		case http.StatusConflict:
			size, err := strconv.ParseInt(string(answer), 10, 64)
			switch {
			case err != nil || size == old && size != c.Size:
				return "", errors.New("it refuses, and does not say what it signed last")
			case size > c.Size:
				return "", fmt.Errorf("%w: it signed one of %d entries, and the database has sealed %d",
					ErrAhead, size, c.Size)
			case size == old:
				return "", fmt.Errorf("%w: it signed another one of %d entries", ErrAhead, size)
			}
			w.known[i] = size // and once more from there
		case http.StatusUnprocessableEntity:
			return "", fmt.Errorf("%w: it signed one of %d entries, from which the log does not go on", ErrAhead, old)
		default:
			return "", fmt.Errorf("it answered %d: does it know the log %q and its key?", status, c.Origin)
		}
	}
	return "", errors.New("it does not say for long what it signed last")
}

// post sends a checkpoint with the proof that it goes on from an older size.
func (w *Witnesses) post(
	ctx context.Context, to witness, old int64, c store.Checkpoint,
) (status int, answer []byte, err error) {
	body := fmt.Sprintf("old %d\n", old)
	if old > 0 && old < c.Size {
		proof, err := tlog.ProveTree(c.Size, old, Nodes(func(level int, from, to int64) ([]audit.Hash, error) {
			return w.log.Nodes(ctx, level, from, to)
		}))
		if err != nil {
			return 0, nil, err
		}
		for _, hash := range proof {
			body += hash.String() + "\n"
		}
	}
	address, err := url.JoinPath(to.url, "add-checkpoint")
	if err != nil {
		return 0, nil, err
	}
	return post(ctx, address, body+"\n"+c.Note)
}

// cosignature picks a witness's own line out of its answer, if the signature is good.
func cosignature(answer []byte, by witness, c store.Checkpoint) (line string, err error) {
	text, _, _ := strings.Cut(c.Note, "\n\n")
	for line := range strings.Lines(string(answer) + "\n") {
		one := []byte(text + "\n\n" + line)
		if n, err := note.Open(one, note.VerifierList(by.key)); err == nil && len(n.Sigs) == 1 {
			return line, nil
		}
	}
	return "", errors.New("its answer holds no signature of its key")
}
