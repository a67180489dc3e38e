package active

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/store"
)

// lookEvery is how often a Policy looks which version is active.
const lookEvery = 2 * time.Second

// lookTimeout bounds one look.
const lookTimeout = 10 * time.Second

// Options says which policy to follow.
type Options struct {
	Store  store.Policies // required; reading will do
	Logger *slog.Logger   // default: discard
}

func (o *Options) validate() error {
	if o.Store == nil {
		return errors.New("active: Options.Store is missing")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return nil
}

// UnusableError means that the active version is there, and this process can't judge by it: it was
// applied by a newer Pawl, for instance.
type UnusableError struct {
	Version store.PolicyVersion
	err     error
}

func (e *UnusableError) Error() string {
	return fmt.Sprintf("version %d of the policy can't be used by this version of Pawl: %v",
		e.Version.Version, e.err)
}

// Unwrap returns what is wrong: yamlfile.Problems, mostly.
func (e *UnusableError) Unwrap() error { return e.err }

// Policy judges calls by the active policy. It is safe for concurrent use.
type Policy struct {
	o   Options
	now atomic.Pointer[inForce] // never nil

	turn    chan struct{} // one look at a time
	trouble atomic.Pointer[trouble]

	stop    context.CancelFunc
	stopped chan struct{}
}

// inForce is what calls are judged by.
type inForce struct {
	*policy.Set
	version store.PolicyVersion
}

// trouble is why the last look failed.
type trouble struct{ err error }

// Follow loads the active policy and goes on to follow it until Close. It fails if the store does
// not answer, or with UnusableError.
func Follow(ctx context.Context, o Options) (*Policy, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	p := &Policy{o: o, turn: make(chan struct{}, 1), stopped: make(chan struct{})}
	v, set, err := Load(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	p.now.Store(&inForce{set, v})
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	go p.run(ctx)
	return p, nil
}

// Load returns the active version and its set. Errors: the store's, or UnusableError.
func Load(ctx context.Context, s store.Policies) (store.PolicyVersion, *policy.Set, error) {
	v, err := Version(ctx, s)
	if err != nil {
		return v, nil, err
	}
	set, err := load(ctx, s, v)
	return v, set, err
}

func load(ctx context.Context, s store.Policies, v store.PolicyVersion) (*policy.Set, error) {
	if v.Digest == none.Digest() {
		return none, nil
	}
	source, err := s.Policy(ctx, v.Digest)
	if err != nil {
		return nil, err
	}
	set, err := compile(source)
	if err != nil {
		return nil, &UnusableError{v, err}
	}
	return set, nil
}

// Reader loads the active policy, now and then, for those who do not follow it. It compiles a set
// once. The zero value is ready, and safe for concurrent use.
type Reader struct {
	mu   sync.Mutex
	last store.PolicyVersion
	set  *policy.Set
	err  error // an UnusableError; set is nil then
}

// Load is the function of that name.
func (r *Reader) Load(ctx context.Context, s store.Policies) (store.PolicyVersion, *policy.Set, error) {
	v, err := Version(ctx, s)
	if err != nil {
		return v, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v != r.last || r.set == nil && r.err == nil {
		set, err := load(ctx, s, v)
		if err != nil && !errors.As(err, new(*UnusableError)) {
			return v, nil, err
		}
		r.last, r.set, r.err = v, set, err
	}
	return v, r.set, r.err
}

// Close ends the following. The policy that is in force stays.
func (p *Policy) Close() {
	p.stop()
	<-p.stopped
}

// Evaluate judges a call, at now, by the policy that is in force.
func (p *Policy) Evaluate(c approval.Call, now time.Time) approval.Verdict {
	return p.now.Load().Evaluate(c, now)
}

// Redacts reports whether the policy in force hides values of any call.
func (p *Policy) Redacts() bool { return p.now.Load().Redacts() }

// Judge is Evaluate, and says which version judged.
func (p *Policy) Judge(c approval.Call, now time.Time) (approval.Verdict, int64) {
	inForce := p.now.Load()
	return inForce.Evaluate(c, now), inForce.version.Version
}

// Version returns the version that is in force here.
func (p *Policy) Version() store.PolicyVersion { return p.now.Load().version }

// Check returns nil if the policy in force is the active one, as far as the last look could tell:
// else what kept that look from it.
func (p *Policy) Check(context.Context) error {
	if t := p.trouble.Load(); t != nil {
		return t.err
	}
	return nil
}

func (p *Policy) run(ctx context.Context) {
	defer close(p.stopped)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = p.Refresh(ctx) // it has logged
		}
	}
}

// Refresh looks at once which version is active, and takes it up. On an error the policy in force
// stays. It waits for its turn no longer than it may look, and no longer than ctx.
func (p *Policy) Refresh(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-within.Done():
		return within.Err() // whose turn it is says what the trouble is
	}
	err := p.look(within)
	if ctx.Err() != nil {
		return ctx.Err() // the process stops: no trouble of the policy's
	}
	p.tell(ctx, err)
	return err
}

func (p *Policy) look(ctx context.Context) error {
	v, err := Version(ctx, p.o.Store)
	if err != nil {
		return err
	}
	was := p.now.Load()
	set := was.Set
	if v.Digest != set.Digest() {
		var known *UnusableError
		if errors.As(p.Check(ctx), &known) && known.Version.Digest == v.Digest {
			return known // compiling it once is enough
		}
		if set, err = load(ctx, p.o.Store, v); errors.As(err, &known) {
			err = cmp.Or(p.fallBack(ctx, v), err)
		}
		if err != nil {
			return err
		}
	}
	if v.Version != was.version.Version || set != was.Set {
		p.take(ctx, set, v)
	}
	return nil
}

// fallBack takes up the last usable version before one that is not. It may have come between two
// looks, and the other workers may have seen it: they shall all judge by the same.
func (p *Policy) fallBack(ctx context.Context, unusable store.PolicyVersion) error {
	page, err := p.o.Store.PolicyVersions(ctx, store.Paging{})
	if err != nil {
		return err
	}
	for _, v := range page.Items {
		if v.Version >= unusable.Version {
			continue
		}
		if v.Version <= p.Version().Version {
			return nil
		}
		set, err := load(ctx, p.o.Store, v)
		if errors.As(err, new(*UnusableError)) {
			continue
		}
		if err == nil {
			p.take(ctx, set, v)
		}
		return err
	}
	return nil
}

// take makes a version the one that calls are judged by.
func (p *Policy) take(ctx context.Context, set *policy.Set, v store.PolicyVersion) {
	was := p.now.Swap(&inForce{set, v})
	p.o.Logger.InfoContext(ctx, "another policy is in force",
		"version", v.Version, "digest", v.Digest,
		"by", approval.Display(v.By, 80), "was", was.version.Version, "was_digest", was.version.Digest)
}

// tell logs what kept the look from the active policy, once until that changes.
func (p *Policy) tell(ctx context.Context, err error) {
	before := p.Check(ctx)
	if err == nil {
		p.trouble.Store(nil)
		if before != nil {
			p.o.Logger.InfoContext(ctx, "the policy in force is the active one again", "version", p.Version().Version)
		}
		return
	}
	p.trouble.Store(&trouble{err})
	var unusable, was *UnusableError
	switch {
	case errors.As(err, &unusable):
		if !errors.As(before, &was) || was.Version.Digest != unusable.Version.Digest {
			v := unusable.Version
			LogProblems(ctx, p.o.Logger, "THE ACTIVE POLICY CAN'T BE USED HERE; calls are judged by the "+
				"previous one: upgrade this Pawl, or apply a policy that it knows", unusable.err,
				"version", v.Version, "digest", v.Digest, "in_force", p.Version().Version)
		}
	case before == nil || errors.As(before, &was):
		p.o.Logger.WarnContext(ctx,
			"can't find out which policy is active; calls are judged by the previous one",
			"in_force", p.Version().Version, "error", err)
	}
}

// mostProblems is how many problems of one policy are logged.
const mostProblems = 20

// LogProblems logs why a policy can't be used, each problem on its own line.
func LogProblems(ctx context.Context, l *slog.Logger, message string, err error, attrs ...any) {
	problems, ok := errors.AsType[yamlfile.Problems](err)
	if !ok {
		l.ErrorContext(ctx, message, append(attrs, "error", err)...)
		return
	}
	l.ErrorContext(ctx, message, append(attrs, "problems", len(problems))...)
	logEach(ctx, l, slog.LevelError, "a problem of the policy", problems)
}

// LogWarnings logs what is hardly meant in files that are the policy now.
func LogWarnings(ctx context.Context, l *slog.Logger, warnings yamlfile.Problems) {
	logEach(ctx, l, slog.LevelWarn, "a warning about the policy", warnings)
}

func logEach(ctx context.Context, l *slog.Logger, level slog.Level, message string,
	problems yamlfile.Problems) {
	for i, p := range problems {
		if i == mostProblems {
			l.Log(ctx, level, message,
				"what", "more of this policy are not logged; 'pawl policy check' shows all", "more", len(problems)-i)
			return
		}
		what := p.Message
		if p.Hint != "" {
			what += "; " + p.Hint
		}
		// The text handler would escape every quotation mark.
		l.Log(ctx, level, message, "at", p.Where(), "what", strings.ReplaceAll(what, `"`, "'"))
	}
}
