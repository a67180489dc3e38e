package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// inFlight writes an entry in a transaction that stays open.
func inFlight(t *testing.T, conn *pgx.Conn, id string) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insertEntries, entryArgs([]audit.Entry{entry(id, "late", audit.KindRefused)})...); err != nil {
		t.Fatal(err)
	}
	return tx
}

// readOn reads pages from a cursor to the end.
func readOn(t *testing.T, s *Store, limit int, cursor string) (calls []string) {
	t.Helper()
	for {
		page, err := s.Entries(t.Context(), store.EntryQuery{Limit: limit, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			calls = append(calls, e.Subject)
		}
		if cursor = page.Next; cursor == "" {
			return calls
		}
	}
}

func TestPagesOfTheLogMissNothingThatCommitsLate(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	admit(t, s, "a", "b", "c")
	late := inFlight(t, connect(t, url), "late")
	admit(t, s, "d", "e", "f") // behind the late one's number

	page, err := s.Entries(t.Context(), store.EntryQuery{Limit: 5})
	if err != nil || len(page.Items) != 3 || page.Next == "" {
		t.Fatalf("a page that is not the last holds %d entries, next %q, %v; want those before the open transaction", len(page.Items), page.Next, err)
	}
	// There is a row more than this page takes, and none of it is settled.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Entries(ctx, store.EntryQuery{Limit: 2, Cursor: page.Next}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a page behind an open transaction: %v, want %v", err, context.DeadlineExceeded)
	}
	// Nobody goes on from the last page.
	if got := readOn(t, s, 100, page.Next); !slices.Equal(got, []string{"d", "e", "f"}) {
		t.Errorf("the last page lists %q", got)
	}
	if got := steps(t, s, "d"); got != "requested" {
		t.Errorf("a call's own log has %q while another is written", got)
	}
	list := make(chan []string)
	go func() { list <- readOn(t, s, 2, page.Next) }()
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := <-list, []string{"late", "d", "e", "f"}; !slices.Equal(got, want) {
		t.Errorf("the pages go on with %q, want %q", got, want)
	}
}

// What is committed late is found later, though its number is lower than that of what was found.
func TestChangesMissNothingThatCommitsLate(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	admit(t, s, "first")
	look := func(after int64) (ids []string, place int64) {
		t.Helper()
		changed, place, err := s.Changes(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changed {
			ids = append(ids, c.ID)
		}
		return ids, place
	}
	_, place := look(-1)
	run(t, connect(t, url), `UPDATE pawl.calls SET waits = true`)
	late := inFlight(t, connect(t, url), "first")
	admit(t, s, "d")
	run(t, connect(t, url), `UPDATE pawl.calls SET waits = true`)
	ids, place := look(place)
	if len(ids) != 0 {
		t.Errorf("behind an open transaction %q changed", ids)
	}
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ids, _ = look(place); len(ids) != 2 {
		t.Errorf("after it %q changed, want both", ids)
	}
}

// Another database's transactions, others of this one, and those that were rolled back hold nobody
// up.
func TestPagesOfTheLogWaitForNobodyElse(t *testing.T) {
	t.Parallel()
	url, another := pgtest.New(t), pgtest.New(t)
	s := open(t, url)
	open(t, another)
	inFlight(t, connect(t, another), "late")
	reader := connect(t, url)
	run(t, reader, `CREATE TABLE things ()`)
	run(t, reader, `BEGIN`)
	run(t, reader, `INSERT INTO things DEFAULT VALUES`)
	run(t, reader, `SELECT * FROM pawl.entries`)
	run(t, reader, `SELECT pg_advisory_xact_lock_shared(5), pg_advisory_xact_lock_shared(20577, 1)`)
	if err := inFlight(t, connect(t, url), "late").Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	admit(t, s, "a", "b", "c")
	if got := readOn(t, s, 1, ""); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("the pages list %q", got)
	}
}

// Readers go through the log by small pages while many write it. Each must find every entry that
// was there when it began to read, and what it found must be a beginning of the whole log but for
// the last page.
func TestPagesOfTheLogUnderLoad(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	stores := []*Store{open(t, url), open(t, url)}
	const writers, each = 8, 40
	var wg, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			s := stores[w%2]
			for i := range each {
				id := fmt.Sprintf("call-%d-%d", w, i)
				_, _, admitErr := s.Admit(t.Context(), admission(id, nil))
				if err := errors.Join(admitErr, s.Use(t.Context(), using(id))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	type reading struct {
		seen []string
		last int // how many of them were on the last page
	}
	var mu sync.Mutex
	var readings []reading
	for r := range 2 {
		readers.Go(func() {
			for {
				var found reading
				for q := (store.EntryQuery{Limit: 7}); ; {
					page, err := stores[r].Entries(t.Context(), q)
					if err != nil {
						t.Error(err)
						return
					}
					for _, e := range page.Items {
						found.seen = append(found.seen, e.Subject+"/"+e.Step)
					}
					if q.Cursor = page.Next; q.Cursor == "" {
						found.last = len(page.Items)
						break
					}
				}
				mu.Lock()
				readings = append(readings, found)
				mu.Unlock()
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
	close(done)
	readers.Wait()
	var whole []string
	for q := (store.EntryQuery{Limit: store.MaxPage}); ; {
		page, err := stores[0].Entries(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			whole = append(whole, e.Subject+"/"+e.Step)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if len(whole) != 2*writers*each {
		t.Fatalf("the log has %d entries, want %d", len(whole), 2*writers*each)
	}
	for _, r := range readings {
		if paged := r.seen[:len(r.seen)-r.last]; !slices.Equal(paged, whole[:len(paged)]) {
			t.Errorf("%d entries were read by pages, and they are not the first ones of the log", len(paged))
		}
	}
}
