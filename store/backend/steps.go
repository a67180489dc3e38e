package backend

import (
	"context"
	"errors"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Claim implements store.Calls.
func (b Base) Claim(ctx context.Context, c store.ClaimParams) (store.Record, error) {
	if err := c.Check(); err != nil {
		return store.Record{}, err
	}
	r, _, err := b.step(ctx, "claim a call", c.ID, SelectClaim, func(row Row, w *Writes) (store.Record, error) {
		seq, stored, now, err := callNow(c.ID, row)
		if err != nil {
			return stored, err
		}
		next, changed, err := store.ApplyClaim(stored, now, c)
		if err != nil || !changed {
			return next, About("call", c.ID, err)
		}
		p := next.Permit
		w.add(InsertPermit, seq, p.Run, p.At, p.GoodUntil, p.Queue, p.Evidence, c.Policy,
			string(p.Executor))
		w.Entries = c.Entries
		return w.save(seq, next, told{})
	})
	return r, err
}

// Tighten implements store.Calls.
func (b Base) Tighten(ctx context.Context, p store.TightenParams) (store.Record, error) {
	if err := p.Check(); err != nil {
		return store.Record{}, err
	}
	const doing = "ask more of a call"
	r, _, err := b.step(ctx, doing, p.ID, SelectCall, func(row Row, w *Writes) (store.Record, error) {
		seq, stored, err := Call(p.ID, row)
		if err != nil {
			return stored, err
		}
		next, changed, err := store.ApplyTighten(stored, p)
		if err != nil || !changed {
			return next, About("call", p.ID, err)
		}
		docs, next, err := documents(next, told{})
		w.add(TightenCall, docs.View, next.Revision, seq)
		w.Entries = p.Entries
		return next, err
	})
	return r, err
}

// Use implements store.Calls.
func (b Base) Use(ctx context.Context, u store.UseParams) error {
	if err := u.Check(); err != nil {
		return err
	}
	return b.db.Step(ctx, "use a permit", u.ID, SelectPermit, func(row Row, w *Writes) error {
		seq, state, err := Permit(u.ID, row)
		if err != nil {
			return err
		}
		fresh, err := store.ApplyUse(state, u)
		if err != nil || !fresh {
			return About("call", u.ID, err)
		}
		w.add(UsePermit, u.At, u.Run, u.Activity, u.Token, seq)
		entries := u.Entries
		if u.Unchanged != nil && !state.IsRequest && state.Policy == u.Policy {
			entries = u.Unchanged
		}
		w.Entries = packedEntries(entries, state.IsRequest)
		return nil
	})
}

// Start implements store.Calls.
func (b Base) Start(ctx context.Context, p store.StartParams) (r store.Record, fresh bool, err error) {
	if err := p.Check(); err != nil {
		return store.Record{}, false, err
	}
	return b.step(ctx, "start a call", p.ID, SelectStart, func(row Row, w *Writes) (store.Record, error) {
		var now time.Time
		var docs stored
		seq, stored, err := docs.call(p.ID, row, (*instant)(&now))
		if err != nil {
			return stored, err
		}
		next, changed, err := store.ApplyStart(stored, now, p)
		if err != nil || !changed {
			return next, About("call", p.ID, err)
		}
		w.add(StartPermit, next.Permit.UsedAt, p.Start, seq)
		said := audit.Started{Digest: p.Digest, Start: p.Start, Actor: p.By}
		if p.Policy != (approval.PolicyRef{}) && (stored.IsRequest || p.Policy != stored.Verdict.Policy) {
			said.Policy = &p.Policy
		}
		e, err := audit.New(p.ID, "start", next.Permit.UsedAt, said)
		if err != nil {
			return next, err
		}
		w.Entries = packedEntries([]audit.Entry{e}, stored.IsRequest)
		return w.save(seq, next, docs.told)
	})
}

// Report implements store.Calls.
func (b Base) Report(ctx context.Context, p store.ReportParams) (r store.Record, fresh bool, err error) {
	if err := p.Check(); err != nil {
		return store.Record{}, false, err
	}
	id := p.Outcome.ID
	return b.step(ctx, "keep a report", id, SelectCall, func(row Row, w *Writes) (store.Record, error) {
		var docs stored
		seq, stored, err := docs.call(id, row)
		if err != nil {
			return stored, err
		}
		next, changed, late, err := store.ApplyReport(stored, p)
		if err != nil || !changed {
			return next, About("call", id, err)
		}
		docs.report, docs.end = payloadOf("report", p.Entries), payloadOf("end", p.Entries)
		if w.Entries = packedEntries(p.Entries, stored.IsRequest); late {
			w.Entries, w.Ended, docs.told = p.Late, true, told{}
		}
		return w.save(seq, next, docs.told)
	})
}

// Finish implements store.Calls.
func (b Base) Finish(ctx context.Context, f store.FinishParams) (r store.Record, fresh bool, err error) {
	if err := f.Check(); err != nil {
		return store.Record{}, false, err
	}
	id := f.Outcome.ID
	return b.step(ctx, "end a call", id, SelectCall, func(row Row, w *Writes) (store.Record, error) {
		var docs stored
		seq, stored, err := docs.call(id, row)
		if err != nil {
			return stored, err
		}
		next, changed, err := store.ApplyFinish(stored, f)
		if err != nil || !changed {
			return next, About("call", id, err)
		}
		if next.Permit != stored.Permit {
			w.add(VoidPermit, seq)
		}
		w.Entries = packedEntries(f.Entries, stored.IsRequest)
		docs.end = payloadOf("end", f.Entries)
		return w.save(seq, next, docs.told)
	})
}

// Settle implements store.Calls.
func (b Base) Settle(ctx context.Context, p store.SettleParams) (r store.Record, fresh bool, err error) {
	if err := p.Check(); err != nil {
		return store.Record{}, false, err
	}
	var before store.Record
	const doing = "keep what became of a call"
	r, fresh, err = b.step(ctx, doing, p.ID, SelectCall, func(row Row, w *Writes) (store.Record, error) {
		seq, stored, err := Call(p.ID, row)
		if err != nil {
			return stored, err
		}
		next, changed, err := store.ApplySettle(stored, p)
		if before = stored; err != nil || !changed {
			return next, About("call", p.ID, err)
		}
		docs, next, err := documents(next, told{})
		w.Ended = true
		w.add(SettleCall, p.Settled.At, docs.View, docs.Packed, seq)
		w.Entries = p.Entries
		return next, err
	})
	if errors.Is(err, store.ErrSettled) {
		r = before
	}
	return r, fresh, err
}

// step is DB.Step for steps that return the record as it is after them. It reports whether anything
// was written.
func (b Base) step(
	ctx context.Context, doing, id, query string, step func(Row, *Writes) (store.Record, error),
) (r store.Record, changed bool, err error) {
	err = b.db.Step(ctx, doing, id, query, func(row Row, w *Writes) (err error) {
		r, err = step(row, w)
		changed = len(w.Statements) > 0
		return err
	})
	if err != nil {
		return store.Record{}, false, err
	}
	return r, changed, nil
}

// save writes a changed record, and returns it as it will be read back. l is as in documents.
func (w *Writes) save(seq int64, r store.Record, l told) (store.Record, error) {
	docs, r, err := documents(r, l)
	if err != nil {
		return r, err
	}
	w.add(UpdateCall, string(r.View.Status), r.View.EndedAt, docs.View, docs.Packed, seq)
	return r, nil
}
