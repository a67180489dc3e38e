package operate

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/store"
)

// maxLag is how long an entry may wait for its index where the log is sealed every few seconds.
const maxLag = time.Minute

// sealer makes what seals the audit log. It is nil where another process has the key.
func (w *workerCommand) sealer(ctx context.Context, s store.Store) (*tree.Sealer, error) {
	files := w.LogKeys
	if len(files) == 0 {
		files = []string{settings.DefaultLogKey}
	}
	keys, err := tree.OpenKeys(ctx, s, files...)
	if errors.Is(err, tree.ErrKey) {
		w.log.WarnContext(ctx, "this worker does not seal the audit log: others do, which have its key",
			"error", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	origins, err := s.Origins(ctx)
	if err != nil || len(origins) == 0 {
		return nil, errors.Join(err, store.ErrDamaged)
	}
	public, err := keys.Verifiers(origins[len(origins)-1])
	if err != nil {
		return nil, err
	}
	w.log.InfoContext(ctx, "this worker seals the audit log; auditors need the public key", "key", public)
	o := tree.Options{Store: s, Keys: keys, Logger: w.log}
	if w.Witnesses != "" { // first, so that their signatures are published, too
		policy, err := tree.LoadPolicy(w.Witnesses)
		if err != nil {
			return nil, err
		}
		o.Places = append(o.Places, tree.NewWitnesses(policy, s))
	}
	if w.CheckpointFile != "" {
		o.Places = append(o.Places, tree.File(w.CheckpointFile))
	}
	if w.CheckpointWebhook != "" {
		hook, err := tree.NewWebhook(w.CheckpointWebhook)
		if err != nil {
			return nil, err
		}
		o.Places = append(o.Places, hook)
	}
	return tree.NewSealer(o)
}

// logCheck looks how far the sealing of the audit log is behind.
func logCheck(log store.LogReader) health.Check {
	var said atomic.Pointer[string]
	look := func(ctx context.Context) error {
		lag, err := sealingLag(ctx, log, time.Now())
		said.Store(&lag)
		return err
	}
	return health.Check{
		Name: "audit_log", Needs: "store", Optional: true, Look: look, Says: func() string { return *said.Load() },
		Advice: "Nobody who has the log's key seals it, or it can't be sealed: the logs of the workers say why.",
	}
}

var errLag = errors.New("the audit log is not sealed")

// sealingLag says how many entries wait to be sealed. It is an error that one waits too long.
func sealingLag(ctx context.Context, log store.LogReader, now time.Time) (said string, err error) {
	count, since, err := log.Unsealed(ctx)
	if err != nil {
		return "", err
	}
	if count == 0 {
		return "every entry is sealed", nil
	}
	more := ""
	if count > store.ExactTotal {
		count, more = store.ExactTotal, "more than "
	}
	lag := max(now.Sub(since), 0).Round(time.Second)
	said = fmt.Sprintf("entries that wait to be sealed: %s%d, the first of %v ago", more, count, lag)
	if lag > maxLag {
		err = fmt.Errorf("%w: %s", errLag, said)
	}
	return said, err
}

// sealing reports how far the sealing of the audit log is behind.
func (d *doctorCommand) sealing(ctx context.Context) finding {
	const what = "audit log"
	lag, err := sealingLag(ctx, d.store, time.Now())
	if errors.Is(err, errLag) {
		return failed(what, err, "start a worker that has the log's key (--log-key); if one runs, its log says why")
	}
	if err != nil {
		return failed(what, err, "")
	}
	return found(what, stateOK, "%s", lag)
}
