package backend

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// List says what one page of a list is read from. A table is in the order of its column seq.
type List[T any] struct {
	Doing  string // for errors
	Table  string
	Newest bool // newest first, else oldest first

	By    string // the order, and among equals that of seq: an expression of times; empty: by seq alone
	Order string // what cursors are named by beside the table, where lists of it are in several orders

	Columns string // that Scan reads
	Given   []any  // the arguments of Columns
	Size    string // a row's bytes, as SQL that does not read them
	Where   Filter // what an index finds

	Sift func(*Filter) // adds what is looked for in store.MaxLook of those rows; nil: nothing

	Cursor string
	Limit  int
	Scan   func(row Row, first ...any) (T, error) // seq is the first of first, an *int64
}

// Dialect is what the databases do not write alike in lists.
type Dialect struct {
	Requests string // the condition by which partial indexes know a request
	Hint     string // goes before columns that tell fewer calls apart than their status does
	Holds    string // the condition that a payload holds %s
	Plain    string // the condition that a payload is not packed, as the schema has it
	InView   string // the condition that a view holds %s
	SealLock string // takes the lock of sealers until the transaction ends: 1, or 0 if another has it
	Settled  string // the place in the log in front of which nothing comes any more
}

// Calls implements store.Reader. A call that is committed late, with a number lower than one listed
// already, is found on a later page.
func (b Base) Calls(ctx context.Context, q store.CallQuery) (store.Page[approval.View], error) {
	l, err := b.dialect.calls(q)
	if err != nil {
		return store.Page[approval.View]{}, err
	}
	p, _, err := page(ctx, b.db, l)
	if q.By != "" { // of what is not theirs, Scan reads nothing
		p.Items = slices.DeleteFunc(p.Items, func(v approval.View) bool { return v.ID == "" })
	}
	return p, err
}

// Entries implements store.Reader.
func (b Base) Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error) {
	p, _, err := b.EntrySeqs(ctx, q)
	return p, err
}

// EntrySeqs is Entries, with the place of each entry in the log.
func (b Base) EntrySeqs(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], []int64, error) {
	l, err := b.dialect.entries(q)
	if err != nil {
		return store.Page[audit.Entry]{}, nil, err
	}
	p, seqs, err := page(ctx, b.db, l)
	if err == nil && q.By != "" {
		if p.Items, seqs = named(q.By, p.Items, seqs); q.Cursor == "" && p.Next == "" {
			p.Total = len(p.Items) // which was of what only looked like the name, too
		}
	}
	return p, seqs, err
}

// Tokens implements store.TokenReader.
func (b Base) Tokens(ctx context.Context, q store.Paging) (store.Page[store.Token], error) {
	p, _, err := page(ctx, b.db, List[store.Token]{
		Doing: "list tokens", Table: "tokens", Newest: true,
		Columns: tokenColumns, Size: "octet_length(token)", Cursor: q.Cursor, Limit: q.Limit, Scan: scanToken,
	})
	return p, err
}

// SigningKeys implements store.KeyReader.
func (b Base) SigningKeys(ctx context.Context, q store.Paging) (store.Page[store.SigningKey], error) {
	p, _, err := page(ctx, b.db, List[store.SigningKey]{
		Doing: "list signing keys", Table: "signing_keys", Newest: true,
		Columns: keyColumns, Size: "octet_length(key)", Cursor: q.Cursor, Limit: q.Limit, Scan: scanKey,
	})
	return p, err
}

// PolicyVersions implements store.Policies.
func (b Base) PolicyVersions(ctx context.Context, q store.Paging) (store.Page[store.PolicyVersion], error) {
	p, _, err := page(ctx, b.db, List[store.PolicyVersion]{
		Doing: "list the versions of the policy", Table: "policy_versions", Newest: true,
		Columns: VersionColumns, Size: "octet_length(note)", Cursor: q.Cursor, Limit: q.Limit, Scan: scanVersion,
	})
	return p, err
}

// page reads one page, with the seqs of its items, and counts, all from one snapshot. It looks at the
// sizes first, because everything that is sent would have to be read.
func page[T any](ctx context.Context, db DB, l List[T]) (p store.Page[T], seqs []int64, err error) {
	rest, limit, err := l.Page()
	if err != nil {
		return p, nil, err
	}
	table, ordered := "pawl."+l.Table, " ORDER BY "+l.order()
	err = db.Snapshot(ctx, l.Doing, func(tx Querier) error {
		p, seqs = store.Page[T]{}, nil // of an attempt before
		counted, from := l.sifted(l.Where)
		count := "SELECT count(*) FROM (SELECT 1 FROM " + from + " LIMIT " +
			strconv.Itoa(store.ExactTotal+1) + ") AS counted"
		totals, err := all(ctx, tx, count, counted, scanNumber)
		if err != nil {
			return err
		}
		p.Total = totals[0]
		if l.Sift != nil {
			last := "SELECT seq FROM " + table + rest.SQL() + ordered + " LIMIT 1 OFFSET " +
				strconv.Itoa(store.MaxLook-1)
			ends, err := all(ctx, tx, last, rest.Args, scanNumber)
			if err != nil {
				return err
			}
			if len(ends) > 0 { // more may fit behind what is looked at
				p.Next = l.cursor(int64(ends[0]))
			}
		}
		// One row more than the limit shows whether there are more.
		args, from := l.sifted(rest)
		sizes := "SELECT seq, size FROM " + from + ordered + " LIMIT " + strconv.Itoa(limit+1)
		var chosen []string
		choose := func(rows Rows) error {
			var seq int64
			for held, size := 0, 0; rows.Next(); held += size {
				if len(seqs) == limit || held >= store.PageBytes {
					p.Next = l.cursor(seqs[len(seqs)-1])
					return nil
				}
				if err := rows.Scan(&seq, &size); err != nil {
					return err
				}
				seqs, chosen = append(seqs, seq), append(chosen, strconv.FormatInt(seq, 10))
			}
			return rows.Err()
		}
		if err := tx.Query(ctx, sizes, args, choose); err != nil || len(seqs) == 0 {
			return err
		}
		items := "SELECT seq, " + l.Columns + " FROM " + table + " WHERE seq IN (" +
			strings.Join(chosen, ", ") + ")" + ordered
		p.Items, err = all(ctx, tx, items, l.Given, func(row Row, _ ...any) (T, error) {
			return l.Scan(row, new(int64))
		})
		return err
	})
	if errors.Is(err, store.ErrDamagedRow) {
		return store.Page[T]{Next: p.Next}, nil, err
	}
	if err != nil {
		return store.Page[T]{}, nil, err
	}
	return p, seqs, nil
}

func (d Dialect) calls(q store.CallQuery) (List[approval.View], error) {
	l := List[approval.View]{
		Doing: "list calls", Table: "calls", Newest: true,
		Columns: documentColumns("calls"), Size: "octet_length(view) + coalesce(octet_length(packed), 0)",
		Cursor: q.Cursor, Limit: q.Limit, Scan: scanView,
	}
	if q.Risk != "" {
		if _, err := approval.ParseRisk(string(q.Risk)); err != nil {
			return l, err
		}
	}
	var statuses []string
	for _, status := range q.Statuses {
		if _, err := approval.ParseStatus(string(status)); err != nil {
			return l, err
		}
		statuses = append(statuses, string(status))
	}
	const pending = string(approval.StatusPending)
	if q.Nearest && !slices.Equal(statuses, []string{pending}) {
		return l, approval.Errorf(approval.CodeInvalid,
			"order: by deadline, only calls that wait are listed: the status must be %s alone", pending)
	}
	days := (!q.Since.IsZero() || !q.Until.IsZero()) && !q.Nearest
	hint, dayHint := "", "" // the list goes by days, whatever else is asked for
	q.Requests = q.Requests || q.Nearest
	if q.Requests && (len(statuses) > 0 || q.Unsettled || days) {
		hint = d.Hint
	}
	if q.Requests && days {
		dayHint = d.Hint
	}
	created := "created_at"
	switch {
	case days:
		l.By = created
	case q.Nearest:
		l.By, l.Order, l.Newest = "coalesce(deadline, created_at)", "-deadline", false
		l.Where.add("status = '" + pending + "'") // by which the index knows them
		created, statuses = d.Hint+created, nil
	}
	l.Where.equal(hint+"tool", q.Tool)
	l.Where.equal(hint+"agent", q.Agent)
	l.Where.equal(hint+"session", q.Session)
	l.Where.equal(dayHint+"requester", q.Requester) // its index has the status, too
	l.Where.within(created, q.Since, q.Until)
	l.Where.equal(hint+"risk", string(q.Risk))
	if q.Requests {
		l.Where.add(d.Requests)
	}
	if q.Unsettled {
		l.Where.add("status = '" + string(approval.StatusOutcomeUnknown) + "' AND settled_at IS NULL")
	}
	if q.Ended {
		l.Where.add(d.Hint + "ended_at IS NOT NULL")
	}
	if len(statuses) > 0 {
		slices.Sort(statuses)
		l.Where.in(dayHint+"status", slices.Compact(statuses))
	}
	if q.By != "" {
		return l, d.ofPerson(&l, q.By)
	}
	return l, nil
}

// Page is which rows one page is made of, up to limit: those of Where behind the cursor, which is the
// seq of the last row before the page, so rows that are added never shift it. The error's code is
// approval.CodeInvalid.
func (l List[T]) Page() (rest Filter, limit int, err error) {
	switch limit = l.Limit; {
	case limit == 0:
		limit = store.DefaultPage
	case limit < 0 || limit > store.MaxPage:
		err := approval.Errorf(approval.CodeInvalid, "limit %d is not in 1 to %d", limit, store.MaxPage)
		return rest, 0, err
	}
	rest = l.Where.clone()
	if l.Cursor != "" {
		after, err := ParseCursor(l.Table+l.Order, l.Cursor)
		if err != nil {
			return rest, 0, err
		}
		l.behind(&rest, after)
	}
	return rest, limit, nil
}

// order is the order of the list.
func (l List[T]) order() string {
	down := ""
	if l.Newest {
		down = " DESC"
	}
	if l.By != "" {
		return l.By + down + ", seq" + down
	}
	return "seq" + down
}

// behind asks for the rows that come after one of the list.
func (l List[T]) behind(f *Filter, seq int64) {
	is := " > "
	if l.Newest {
		is = " < "
	}
	if l.By != "" {
		f.add("("+l.By+", seq)"+is+"((SELECT "+l.By+" FROM pawl."+l.Table+" WHERE seq = %s), %s)", seq, seq)
	} else {
		f.add("seq"+is+"%s", seq)
	}
}

func (l List[T]) cursor(seq int64) string { return Cursor(l.Table+l.Order, seq) }

// sifted is what rows are taken from, as SQL: those that fit the filter and, of the first
// store.MaxLook of them, Sift.
func (l List[T]) sifted(where Filter) (args []any, from string) {
	from = "(SELECT *, " + l.Size + " AS size FROM pawl." + l.Table + where.SQL()
	if l.Sift != nil {
		from += " ORDER BY " + l.order() + " LIMIT " + strconv.Itoa(store.MaxLook)
	}
	from += ") AS looked"
	if l.Sift == nil {
		return where.Args, from
	}
	sift := Filter{Args: slices.Clone(where.Args)}
	l.Sift(&sift)
	return sift.Args, from + sift.SQL()
}
