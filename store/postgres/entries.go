package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// settlePoll is how often a reader of the log looks whether the transactions in front of it have
// ended. They last milliseconds.
const settlePoll = 5 * time.Millisecond

// Entries implements store.Reader. In the order written, a page that is not the last ends before the
// first entry that another may still come in front of; if that is its first one, Entries waits for
// the transactions that are writing.
func (s *Store) Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error) {
	if q.Newest { // as in Calls
		return s.Base.Entries(ctx, q)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errSlow)
	defer cancel()
	for {
		settled, err := s.settled(ctx) // before the page's snapshot
		if err != nil {
			return store.Page[audit.Entry]{}, err
		}
		p, seqs, err := s.EntrySeqs(ctx, q)
		if err != nil || p.Next == "" {
			return p, err // no page follows a last one, so it may show all that is there
		}
		next, err := backend.ParseCursor("entries", p.Next)
		if err != nil || next <= settled {
			return p, err
		}
		if keep, _ := slices.BinarySearch(seqs, settled+1); keep > 0 {
			p.Items, p.Next = p.Items[:keep], backend.Cursor("entries", seqs[keep-1])
			return p, nil
		}
		if !retry.Sleep(ctx, settlePoll) {
			const doing = "wait for a transaction that writes to the audit log"
			return store.Page[audit.Entry]{}, explain(ctx, s.where, doing, ctx.Err())
		}
	}
}

// Changes implements store.Reader.
func (s *Store) Changes(ctx context.Context, after int64) ([]store.Change, int64, error) {
	settled, err := s.settled(ctx) // before the list's snapshot
	if err != nil {
		return nil, 0, err
	}
	return s.ChangesUntil(ctx, after, settled)
}

// Notices implements store.Notices.
func (s *Store) Notices(ctx context.Context, after int64) ([]store.Notice, int64, error) {
	settled, err := s.settled(ctx) // before the list's snapshot
	if err != nil {
		return nil, 0, err
	}
	return s.NoticesUntil(ctx, after, settled)
}

// settled is a place in the log before which nothing will appear any more; see the function of that
// name in the schema.
func (s *Store) settled(ctx context.Context) (seq int64, err error) {
	err = s.run(ctx, "list audit entries", func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT pawl.settled()`).Scan(&seq)
	})
	return seq, err
}
