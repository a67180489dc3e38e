package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// Policies keeps policy sets and says which one is active. What was once written never changes and
// is never deleted, so the text behind any verdict can be shown.
type Policies interface {
	// ApplyPolicy keeps the set and makes it the active one, as the version after a.Expect, and puts
	// that on record. If the very set is active already, nothing is written and its version comes back
	// with fresh false, so a repeat does no harm. Errors: ErrPolicyChanged, with the version that is
	// active, if that is not a.Expect; ErrReadOnly.
	ApplyPolicy(ctx context.Context, a ApplyParams) (v PolicyVersion, fresh bool, err error)
	// ActivePolicy returns the active version, or ErrNotFound before the first. Every worker asks
	// every few seconds: it must cost next to nothing.
	ActivePolicy(ctx context.Context) (PolicyVersion, error)
	// Policy returns the set with this digest, or the only one whose digest begins so. Errors:
	// ErrNotFound, also for an empty digest; ErrAmbiguous.
	Policy(ctx context.Context, digest string) (PolicySet, error)
	// PolicyVersions returns one page, the latest version first.
	PolicyVersions(ctx context.Context, q Paging) (Page[PolicyVersion], error)
}

// ApplyParams makes a set the active one.
type ApplyParams struct {
	Set    PolicySet
	Expect int64 // the version it is to replace; 0: none was applied yet

	At            time.Time
	By, Channel   string
	Authenticated bool
	Method        string // by which they were known, for the record
	Note          string
}

var policyDigest = regexp.MustCompile("^[0-9a-f]{64}$")

// Check refuses what could not be read back, or does not say who applies what and when.
func (a ApplyParams) Check() error {
	invalid := func(what string) error { return approval.Errorf(approval.CodeInvalid, "policy: %s", what) }
	switch {
	case !policyDigest.MatchString(a.Set.Digest):
		return invalid("its digest is not 64 digits in hex")
	case len(a.Set.Layers) == 0:
		return invalid("it has no layers")
	case a.Expect < 0:
		return invalid("no version is below 0")
	case a.At.IsZero():
		return invalid("the time is missing")
	case a.By == "":
		return invalid("who applies it is missing")
	case a.Channel == "":
		return invalid("the channel is missing")
	}
	for _, l := range a.Set.Layers {
		if l.Name == "" {
			return invalid("a layer has no name")
		}
		if err := approval.CheckName("policy: a layer's name", l.Name); err != nil {
			return err
		}
		if !utf8.ValidString(l.Text) || strings.ContainsRune(l.Text, 0) {
			return invalid("a layer is not valid UTF-8, or holds a NUL character")
		}
	}
	for field, value := range map[string]string{"who applies it": a.By, "the channel": a.Channel} {
		if err := approval.CheckName("policy: "+field, value); err != nil {
			return err
		}
	}
	return approval.CheckNotes(a.Note)
}

// Version is what ApplyParams makes active.
func (a ApplyParams) Version() PolicyVersion {
	return PolicyVersion{
		Version: a.Expect + 1, Digest: a.Set.Digest, At: a.At.UTC().Truncate(time.Microsecond),
		By: a.By, Channel: a.Channel, Authenticated: a.Authenticated, Note: a.Note,
	}
}

// Entry is the record of it, which a backend writes in the same transaction. It names each layer's
// hash, so that a text can be checked against the log.
func (a ApplyParams) Entry() (audit.Entry, error) {
	var layers []audit.PolicyLayer
	for _, l := range a.Set.Layers {
		sum := sha256.Sum256([]byte(l.Text))
		layers = append(layers, audit.PolicyLayer{Name: l.Name, SHA256: hex.EncodeToString(sum[:])})
	}
	v := a.Version()
	return audit.New(audit.SubjectPolicy, fmt.Sprintf("version/%d", v.Version), v.At,
		audit.PolicyApplied{Policy: v, Layers: layers, Method: a.Method})
}
