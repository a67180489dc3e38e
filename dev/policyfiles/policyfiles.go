// Package policyfiles makes policy files the active policy whenever they change, as the dev stack
// does.
package policyfiles

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// watchEvery is how often files are read. What was just written counts when it is read twice the
// same, so that no half-written file does.
const watchEvery = 500 * time.Millisecond

// Options says which files to apply.
type Options struct {
	Store  store.Policies // required, open for writing
	Paths  []string       // at least one
	By     string         // required: who applies them
	Logger *slog.Logger   // told what is wrong with the files; default: discard

	// Applied is told, from Watch's goroutine, of each version that Watch made active, and of the one
	// before, which is the same if the files say again what it says. Default: nobody is told.
	Applied func(ctx context.Context, was, now store.PolicyVersion)
}

func (o *Options) validate() error {
	switch {
	case o.Store == nil:
		return errors.New("policyfiles: Options.Store is missing")
	case len(o.Paths) == 0:
		return errors.New("policyfiles: Options.Paths is empty")
	case o.By == "":
		return errors.New("policyfiles: Options.By is missing")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Applied == nil {
		o.Applied = func(context.Context, store.PolicyVersion, store.PolicyVersion) {}
	}
	return nil
}

// Files makes files the active policy whenever they change, over whatever others applied: for
// development, where the files are what counts. Its methods are for one goroutine.
type Files struct {
	o             Options
	handled, seen sum  // of the files that were applied or refused, and of the last reading
	away          bool // the store did not take them, which was logged
}

// sum tells readings apart.
type sum [sha256.Size]byte

// Apply makes what the files say now the active policy. The error is yamlfile.Problems, an
// approval.Error with CodeInvalid, or the store's.
func Apply(ctx context.Context, o Options) (*Files, store.PolicyVersion, error) {
	if err := o.validate(); err != nil {
		return nil, store.PolicyVersion{}, err
	}
	f := &Files{o: o}
	files, problems := f.read()
	f.handled = fingerprint(files, problems)
	f.seen = f.handled
	_, v, err := f.apply(ctx, files, problems)
	return f, v, err
}

// Watch applies the files whenever they change, until ctx ends. Broken ones are logged and leave
// the active policy as it is.
func (f *Files) Watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look(ctx)
		}
	}
}

func (f *Files) look(ctx context.Context) {
	files, problems := f.read()
	now := fingerprint(files, problems)
	settled := now == f.seen
	if f.seen = now; !settled || now == f.handled {
		return
	}
	was, v, err := f.apply(ctx, files, problems)
	_, broken := errors.AsType[yamlfile.Problems](err)
	switch {
	case ctx.Err() != nil:
		return
	case err == nil:
		f.handled, f.away = now, false
		f.o.Applied(ctx, was, v)
	case broken, approval.CodeOf(err) == approval.CodeInvalid:
		f.handled = now
		active.LogProblems(ctx, f.o.Logger, "THE POLICY FILES ARE BROKEN; the previous policy stays active", err)
	case !f.away:
		f.away = true
		f.o.Logger.ErrorContext(ctx, "the policy files could not be applied; trying again", "error", err)
	}
}

// apply compiles the files twice: under their paths, for people to find what is wrong, and under
// the names that verdicts use.
func (f *Files) apply(
	ctx context.Context, files []policy.File, problems yamlfile.Problems,
) (was, v store.PolicyVersion, err error) {
	set, err := policy.Compile(files...)
	if err != nil {
		more, ok := errors.AsType[yamlfile.Problems](err)
		if !ok {
			return was, v, err
		}
		problems = append(problems, more...)
	}
	if err := problems.Err(); err != nil {
		return was, v, err
	}
	for range 5 { // others may apply theirs meanwhile: the files go over them
		if was, err = active.Version(ctx, f.o.Store); err != nil {
			return was, v, err
		}
		var a rest.AppliedPolicy
		a, err = active.Apply(ctx, f.o.Store,
			active.Change{Files: active.Names(files), Expect: was.Version, By: f.o.By, Channel: "file"})
		if v = a.PolicyVersion; !errors.Is(err, store.ErrPolicyChanged) {
			break
		}
	}
	if err == nil {
		active.LogWarnings(ctx, f.o.Logger, set.Warnings())
	}
	return was, v, err
}

func (f *Files) read() (files []policy.File, problems yamlfile.Problems) {
	for _, path := range f.o.Paths {
		if data, ok := yamlfile.ReadFile(path, &problems); ok {
			files = append(files, policy.File{Name: path, Data: data})
		}
	}
	return files, problems
}

func fingerprint(files []policy.File, problems yamlfile.Problems) (s sum) {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	for _, f := range files {
		part([]byte(f.Name))
		part(f.Data)
	}
	for _, p := range problems {
		part([]byte(p.String()))
	}
	return sum(h.Sum(nil))
}
