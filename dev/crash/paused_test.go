//go:build unix

package crash

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// alone lets only the first worker run.
func (w *world) alone() (a, b *part) {
	w.t.Helper()
	a, b = w.workers[0], w.workers[1]
	w.kill(b)
	return a, b
}

// pauseWorker pauses worker A until the end of calls is unknown. Meanwhile something happens, and B
// takes its place.
func (w *world) pauseWorker(a, b *part, meanwhile func(), calls ...client.View) {
	w.t.Helper()
	began := time.Now()
	a.pause()
	meanwhile()
	b.up()
	for _, v := range calls {
		w.ends(v.ID, approval.StatusOutcomeUnknown)
	}
	// Beside the heartbeat's timeout this takes some more: a paused worker is given workflow tasks as
	// long as its connections look alive.
	w.t.Logf("unknown %v after the worker was paused", since(began))
}

// resumeWorker lets a worker that was paused go on, and returns when it has done whatever it was
// about to do.
func (w *world) resumeWorker(a *part) {
	w.t.Helper()
	a.resume()
	a.interrupt() // it lets running tools end
	a.gone()
}

// paused: the worker is paused while its tools run, and over a permit that the store has just
// marked as used. When it goes on its tools answer, and nobody wants to hear it any more; nor does
// a tool start so late.
func paused(w *world) {
	a, b := w.alone()
	approved, allowed, repeatable := w.pending("block", 0), w.call("allowed_block", 0), w.pending("repeatable", 0)
	w.arrival(allowed.ID)
	w.approve(approved)
	w.arrival(approved.ID)
	w.approve(repeatable)
	w.arrival(repeatable.ID)
	release := w.holdPermits()
	permitted := w.pending("guarded", 0)
	w.approve(permitted)
	w.until("the permit is about to be used", w.permitHeld)
	w.pauseWorker(a, b, release, approved, allowed, permitted)
	// A paused worker may be given the other attempts, too.
	w.ends(repeatable.ID, approval.StatusExecuted, approval.StatusOutcomeUnknown)
	for _, v := range []client.View{approved, allowed, repeatable} {
		w.tools.letGo(v.ID)
	}
	w.resumeWorker(a)
	w.ran(map[string]int{approved.ID: 1, allowed.ID: 1, permitted.ID: 0})
	w.check()
}

// pausedBeforePermit: the store breaks down when the permit is about to be used, the worker is
// paused during its retries, and goes on when the call has ended.
func pausedBeforePermit(w *world) {
	a, b := w.alone()
	w.holdPermits() // until Postgres dies
	v := w.pending("guarded", 0)
	w.approve(v)
	w.until("the permit is about to be used", w.permitHeld)
	w.kill(w.database)
	w.until("the worker tries again", func() bool { return a.last().Log.Has("store does not answer; tool waits") })
	w.pauseWorker(a, b, func() { w.database.up() }, v)
	w.resumeWorker(a)
	w.ran(map[string]int{v.ID: 0})
	w.check()
}

func (w *world) ran(want map[string]int) {
	w.t.Helper()
	for id, n := range want {
		if runs := w.tools.ran(id); runs != n {
			w.t.Errorf("the tool of call %s ran %d times, want %d", id, runs, n)
		}
	}
}

// holdPermits makes every use of a permit wait inside Postgres until release, or until Postgres
// dies.
func (w *world) holdPermits() (release func()) {
	w.t.Helper()
	pgtest.Exec(w.t, w.databaseURL, `
		CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM pg_catalog.pg_advisory_xact_lock_shared(4711);
			RETURN NEW;
		END $$`,
		`CREATE TRIGGER hold BEFORE UPDATE ON pawl.claims FOR EACH ROW WHEN (NEW.used_at IS NOT NULL) EXECUTE FUNCTION public.hold()`)
	conn, err := pgx.Connect(w.t.Context(), w.databaseURL)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := conn.Exec(w.t.Context(), `SELECT pg_advisory_lock(4711)`); err != nil {
		w.t.Fatal(err)
	}
	release = func() { _ = conn.Close(context.Background()) } // Postgres may be gone
	w.t.Cleanup(release)                                      // and the connection stays until then
	return release
}

// permitHeld reports whether somebody waits for release.
func (w *world) permitHeld() bool {
	conn, err := pgx.Connect(w.t.Context(), w.databaseURL)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(w.t.Context())
	var n int
	if err := conn.QueryRow(w.t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted`).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n > 0
}
