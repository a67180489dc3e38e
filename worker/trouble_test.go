package worker

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

// change changes the store in a file as its owner, whom nothing keeps from that.
func change(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file://"+path+"?_pragma=busy_timeout(10000)")
	if err == nil {
		_, err = db.ExecContext(t.Context(), statements)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A row that can't be read keeps no worker from starting and stands in no other call's way.
func TestReconcileGoesOnPastTrouble(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	several := func(status approval.Status, names ...string) map[string]approval.Status {
		all := map[string]approval.Status{}
		for i := range 8 { // Temporal lists them in any order
			id := fmt.Sprint("damaged ", names[0], i)
			if _, err := s.Call(t.Context(), id); errors.Is(err, store.ErrNotFound) {
				admitted(t, s, id, 24*time.Hour, status.Ended())
			}
			all[id] = status
		}
		for _, name := range names {
			all[name] = status
		}
		return all
	}
	temporal := &otherTemporal{
		running: several(approval.StatusPending, "waits", "repeated"), completed: several(approval.StatusExecuted, "ran"),
		closed: []string{"damaged", "terminated"},
	}
	for _, id := range []string{"terminated", "damaged", "missing", "repeated", "damaged missing"} { // lists have the newest first
		admitted(t, s, id, 24*time.Hour, id == "repeated")
	}
	behind := &otherTemporal{completed: several(approval.StatusExecuted, "missing")}
	known := &otherTemporal{completed: several(approval.StatusExecuted, "ran")}
	delete(known.completed, "ran")
	change(t, path, `UPDATE calls SET view = '{"status":5}' WHERE id LIKE 'damaged%'`)

	var said bytes.Buffer
	o := Options{Client: behind, Namespace: "default", TaskQueue: "pawl", Store: s, Logger: slog.New(slog.NewTextHandler(&said, nil))}
	if err := awaitCompared(t.Context(), o); !errors.Is(err, ErrRestored) {
		t.Errorf("a call that waits here has ended: %v", err)
	}
	o.Client = known
	said.Reset()
	if err := awaitCompared(t.Context(), o); err != nil {
		t.Errorf("a damaged row keeps a worker from starting: %v", err)
	}
	for id := range known.completed {
		if strings.Count(said.String(), fmt.Sprintf("call=%q", id)) != 1 {
			t.Errorf("the log does not tell once of %s", id)
		}
	}
	if !strings.Contains(said.String(), "pawl audit verify") {
		t.Errorf("the log does not say what to do: %s", &said)
	}

	sayRestored(t, s)
	o.Client = temporal
	w := newSweeper(o)
	if err := w.look(t.Context()); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "call damaged") {
		t.Errorf("the trouble is not told: %v", err)
	}
	if !slices.Equal(temporal.terminated, []string{"waits"}) {
		t.Errorf("terminated: %v", temporal.terminated)
	}
	for _, id := range []string{"terminated", "missing"} {
		if r, err := s.Call(t.Context(), id); err != nil || r.View.Status != approval.StatusCancelled {
			t.Errorf("%s is %s, %v", id, r.View.Status, err)
		}
	}
	log, err := s.Entries(t.Context(), store.EntryQuery{Kind: audit.KindLost})
	if err != nil || len(log.Items) != 1 || log.Items[0].Subject != "ran" {
		t.Errorf("on record: %+v, %v", log.Items, err)
	}
}

// What is wrong with more than a row is not passed over.
func TestDamagedFileIsNotServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	admitted(t, s, "ended", time.Hour, true)
	o := Options{
		Client:    &otherTemporal{completed: map[string]approval.Status{"ended": approval.StatusRejected}},
		Namespace: "default", TaskQueue: "pawl", Store: s, Logger: slog.New(slog.DiscardHandler),
	}
	if err := awaitCompared(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	change(t, path, `PRAGMA writable_schema = ON; PRAGMA schema_version = 4711;
		UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_calls_1') WHERE name = 'claims'`)
	if err := awaitCompared(t.Context(), o); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a store whose file is damaged is served: %v", err)
	}
}
