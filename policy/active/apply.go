package active

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// Limits of a policy that is applied. A single file has yamlfile's, too.
const (
	MaxFiles = 100
	MaxSize  = 8 << 20 // bytes of all files
)

// ErrNotApplied: files were given to start with, the store has a policy, and what the files say was
// never applied to it.
var ErrNotApplied = errors.New("the policy files were never applied to the store, which has another policy")

// Change is a policy to be applied, and who does it.
type Change struct {
	Files  []policy.File // at least one; names are kept as they are, see Names
	Expect int64         // the version it is to replace; 0: none was applied yet

	By            string // required
	Channel       string // required: api, cli, file, …
	Authenticated bool
	Method        string // by which they were known, for the record
	Note          string
}

// Prepare compiles files as Apply does, and applies nothing. The error is yamlfile.Problems, or an
// approval.Error with CodeInvalid for what is no matter of a single place: too many files, or two
// of one name.
func Prepare(files ...policy.File) (*policy.Set, error) {
	invalid := func(format string, a ...any) (*policy.Set, error) {
		return nil, approval.Errorf(approval.CodeInvalid, format, a...)
	}
	if len(files) == 0 {
		return invalid("a policy has at least one file")
	}
	if len(files) > MaxFiles {
		return invalid("a policy has at most %d files; these are %d", MaxFiles, len(files))
	}
	size, names := 0, map[string]bool{}
	for _, f := range files {
		switch err := approval.CheckName("a policy file's name", f.Name); {
		case err != nil:
			return nil, err
		case f.Name == "" || approval.Display(f.Name, 0) != f.Name:
			return invalid("a policy file's name is empty, or holds characters that can't be seen")
		case names[f.Name]:
			return invalid("two policy files have the name %s", f.Name)
		}
		names[f.Name] = true
		size += len(f.Data)
	}
	if size > MaxSize {
		return invalid("the policy files are larger than %d KiB together", MaxSize>>10)
	}
	return policy.Compile(files...)
}

// Apply makes the files the active policy. If they are already, nothing is written. Errors: those
// of Prepare, and of store.Policies.ApplyPolicy, which returns the active version with
// store.ErrPolicyChanged.
func Apply(ctx context.Context, s store.Policies, c Change) (a rest.AppliedPolicy, err error) {
	set, err := Prepare(c.Files...)
	if err != nil {
		return a, err
	}
	a.Warnings = set.Warnings()
	a.PolicyVersion, a.Changed, err = s.ApplyPolicy(ctx, store.ApplyParams{
		Set: sources(set), Expect: c.Expect, At: time.Now(),
		By: c.By, Channel: c.Channel, Authenticated: c.Authenticated, Method: c.Method, Note: c.Note,
	})
	return a, err
}

// Try says what Apply would do, and applies nothing. Errors: those of Prepare, and of Version.
func Try(ctx context.Context, s store.Policies, files ...policy.File) (t rest.PolicyTrial, err error) {
	set, err := Prepare(files...)
	if err != nil {
		return t, err
	}
	v, err := Version(ctx, s)
	return rest.PolicyTrial{
		DryRun: true, Changed: v.Digest != set.Digest(), Digest: set.Digest(), Active: v, Warnings: set.Warnings(),
	}, err
}

// Seed makes the files the first policy of a store that has none. If the store has one, nothing is
// written: fits says whether it is what the files say. If it is not, but was once, that is for the
// caller to tell; what was never applied is ErrNotApplied. Without files it does nothing, and they
// fit.
func Seed(ctx context.Context, s store.Policies, c Change) (v store.PolicyVersion, fits bool, err error) {
	if v, err = Version(ctx, s); err != nil || len(c.Files) == 0 {
		return v, err == nil, err
	}
	if v.Version == 0 {
		c.Expect = 0
		var a rest.AppliedPolicy
		if a, err = Apply(ctx, s, c); err == nil {
			return a.PolicyVersion, true, nil
		}
		v = a.PolicyVersion
		if !errors.Is(err, store.ErrPolicyChanged) {
			return v, false, err
		}
	}
	set, err := Prepare(c.Files...)
	if err != nil {
		return v, false, err
	}
	fits, err = Fits(ctx, s, v, set)
	return v, fits, err
}

// Fits says whether the active version v is what files say. If it is not, but was once, that is for
// the caller to tell; what was never applied is ErrNotApplied.
func Fits(ctx context.Context, s store.Policies, v store.PolicyVersion, files *policy.Set) (bool, error) {
	if files.Digest() == v.Digest {
		return true, nil
	}
	_, err := s.Policy(ctx, files.Digest())
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: version %d, applied %s by %s", ErrNotApplied, v.Version,
			v.At.Format(time.RFC3339), approval.Display(v.By, 80))
	}
	return false, err
}

// Names gives the files the names that they are applied under: without their folders, where that
// leaves them different names.
func Names(files []policy.File) []policy.File {
	short := slices.Clone(files)
	seen := map[string]bool{}
	for i, f := range files {
		short[i].Name = filepath.Base(f.Name)
		if seen[short[i].Name] {
			return files
		}
		seen[short[i].Name] = true
	}
	return short
}

// none is the policy before the first version.
var none = func() *policy.Set {
	set, err := policy.Compile()
	if err != nil {
		panic(err) // there is nothing in it to be wrong
	}
	return set
}()

// Version returns the version that is active, which may be version 0.
func Version(ctx context.Context, s store.Policies) (store.PolicyVersion, error) {
	v, err := s.ActivePolicy(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return store.PolicyVersion{Digest: none.Digest()}, nil
	}
	return v, err
}

// Current is the active version with its source.
func Current(ctx context.Context, s store.Policies) (p rest.ActivePolicy, err error) {
	if p.PolicyVersion, err = Version(ctx, s); err != nil {
		return p, err
	}
	set, err := Source(ctx, s, p.Digest)
	p.Layers = set.Layers
	return p, err
}

// Source returns the set with this digest, or the only one whose digest begins so: any set that was
// ever applied, or that of version 0. Errors are those of store.Policies.Policy.
func Source(ctx context.Context, s store.Policies, digest string) (store.PolicySet, error) {
	set, err := s.Policy(ctx, digest)
	if errors.Is(err, store.ErrNotFound) && digest != "" && strings.HasPrefix(none.Digest(), digest) {
		return sources(none), nil
	}
	return set, err
}

func sources(set *policy.Set) store.PolicySet {
	out := store.PolicySet{Digest: set.Digest(), Layers: []store.PolicyLayer{}}
	for _, f := range set.Sources() {
		out.Layers = append(out.Layers, store.PolicyLayer{Name: f.Name, Text: string(f.Data)})
	}
	return out
}

// Files are the files that layers were made of.
func Files(layers []store.PolicyLayer) (files []policy.File) {
	for _, l := range layers {
		files = append(files, policy.File{Name: l.Name, Data: []byte(l.Text)})
	}
	return files
}

// compile makes a set of what is stored.
func compile(source store.PolicySet) (*policy.Set, error) {
	set, err := policy.Compile(Files(source.Layers)...)
	if err == nil && set.Digest() != source.Digest {
		err = errors.New("its text has another digest: it was changed in the database, " +
			"or this version of Pawl computes digests differently")
	}
	return set, err
}
