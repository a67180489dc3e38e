package postgres

import (
	"bytes"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/packed"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

// docs/performance.md says what of it each table and index takes.
func TestSizeOfACall(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	conn := connect(t, url)
	storetest.Size(t, s, func() (bytes int64) {
		run(t, conn, `VACUUM FULL`) // tests have no autovacuum, which makes room for new rows
		const query = `SELECT sum(pg_relation_size(oid)) FROM pg_class
			WHERE relnamespace = 'pawl'::regnamespace AND relkind IN ('r', 'i')`
		if err := conn.QueryRow(t.Context(), query).Scan(&bytes); err != nil {
			t.Fatal(err)
		}
		return bytes
	}, 2750)
}

// The database reads what is packed as this program does.
func TestUnpacked(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	conn := connect(t, url)
	same := func(query string, want []byte, args ...any) {
		t.Helper()
		var got []byte
		if err := conn.QueryRow(t.Context(), query, args...).Scan(&got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v is %q, %v\nwant %q", args, got, err, want)
		}
	}
	var every []byte // code, with the first known text and the first value of before
	for op := range 256 {
		if op < 1 || op > 3 {
			every = append(every, byte(op), 0)
		}
	}
	for _, doc := range [][]byte{
		append([]byte("\x01\x03\x06\x61\x7d\x4f\x69\x62\x25"), every...),
		{1, 3, 0, 0, 0, 0, 15, 66, 64, 3, 0, 0, 0, 0, 7, 161, 32}, // seconds, and tenths
		[]byte("{}"), {1, 1, 2}, {1, 4, 1}, {1, 5, 0}, {1, 0, 255}, {},
	} {
		want, err := packed.Unpack(doc, "known")
		if err != nil {
			want = doc
		}
		same(`SELECT pawl.unpacked($1, 'known')`, want, doc)
	}
	for i := range 255 { // every phrase of two bytes
		doc := []byte{1, 0, byte(i)}
		if want, err := packed.Unpack(doc); err == nil {
			same(`SELECT pawl.unpacked($1, '')`, want, doc)
		}
	}
	storetest.Live(t, s, 1)
	page, err := s.Entries(t.Context(), store.EntryQuery{})
	if err != nil || len(page.Items) != 4 {
		t.Fatal(page.Items, err)
	}
	for _, e := range page.Items {
		same(`SELECT pawl.unpacked(payload, call) FROM pawl.entries WHERE step = $1`, e.Payload, e.Step)
	}
	// Until it is erased, the row has only what its entries do not say.
	id := page.Items[0].Subject
	erased, err := audit.New(audit.SubjectRetention, "1", page.Items[0].At, audit.Erased{Calls: []string{id}, By: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), store.EraseParams{IDs: []string{id}, Erase: store.ErasePayloads, Entry: erased}); err != nil {
		t.Fatal(err)
	}
	same(`SELECT convert_to(convert_from(pawl.unpacked(packed, id, digest, tool, agent, session, requester),
		'UTF8')::json -> 0 ->> 'id', 'UTF8') FROM pawl.calls`, []byte(id))
}
