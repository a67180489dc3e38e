package backend

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
)

// List says what one page of a list is read from. A table is in the order of its column seq.
type List[T any] struct {
	Doing  string // for errors
	Table  string
	Newest bool // newest first, else oldest first

	Columns string // that Scan reads
	Size    string // a row's bytes, as SQL that does not read them
	Where   Filter

	Cursor string
	Limit  int
	Scan   func(row Row, first ...any) (T, error) // seq is the first of first, an *int64
}

// Dialect is what the databases do not write alike in lists.
type Dialect struct {
	Requests string // the condition by which partial indexes know a request
	Hint     string // goes before columns that tell fewer calls apart than their status does
	Holds    string // the condition that a payload holds %s
}

// Calls implements store.Reader. A call that is committed late, with a number lower than one listed
// already, is found on a later page.
func (b Base) Calls(ctx context.Context, q store.CallQuery) (store.Page[approval.View], error) {
	l, err := b.dialect.calls(q)
	if err != nil {
		return store.Page[approval.View]{}, err
	}
	p, _, err := page(ctx, b.db, l)
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
	return page(ctx, b.db, l)
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
	rest, order, limit, err := l.Page()
	if err != nil {
		return p, nil, err
	}
	from, ordered := " FROM pawl."+l.Table, " ORDER BY "+order
	// One row more than the limit shows whether there are more.
	sizes := "SELECT seq, " + l.Size + from + rest.SQL() + ordered + " LIMIT " + strconv.Itoa(limit+1)
	err = db.Snapshot(ctx, l.Doing, func(tx Querier) error {
		p, seqs = store.Page[T]{}, nil // of an attempt before
		totals, err := all(ctx, tx, l.Count(), l.Where.Args, scanNumber)
		if err != nil {
			return err
		}
		p.Total = totals[0]
		var chosen []string
		choose := func(rows Rows) error {
			var seq int64
			for held, size := 0, 0; rows.Next(); held += size {
				if len(seqs) == limit || held >= store.PageBytes {
					p.Next = Cursor(l.Table, seqs[len(seqs)-1])
					return nil
				}
				if err := rows.Scan(&seq, &size); err != nil {
					return err
				}
				seqs, chosen = append(seqs, seq), append(chosen, strconv.FormatInt(seq, 10))
			}
			return rows.Err()
		}
		if err := tx.Query(ctx, sizes, rest.Args, choose); err != nil || len(seqs) == 0 {
			return err
		}
		items := "SELECT seq, " + l.Columns + from + " WHERE seq IN (" + strings.Join(chosen, ", ") + ")" + ordered
		p.Items, err = all(ctx, tx, items, nil, func(row Row, _ ...any) (T, error) {
			return l.Scan(row, new(int64))
		})
		return err
	})
	if err != nil {
		return store.Page[T]{}, nil, err
	}
	return p, seqs, nil
}

func (d Dialect) calls(q store.CallQuery) (List[approval.View], error) {
	l := List[approval.View]{
		Doing: "list calls", Table: "calls", Newest: true,
		Columns: "view", Size: "octet_length(view)", Cursor: q.Cursor, Limit: q.Limit, Scan: scanView,
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
	hint := ""
	if q.Requests && (len(statuses) > 0 || q.Unsettled) {
		hint = d.Hint
	}
	l.Where.equal(hint+"tool", q.Tool)
	l.Where.equal(hint+"agent", q.Agent)
	l.Where.equal(hint+"session", q.Session)
	l.Where.equal("requester", q.Requester) // its index has the status, too
	l.Where.equal(hint+"risk", string(q.Risk))
	if q.Requests {
		l.Where.add(d.Requests)
	}
	if q.Unsettled {
		l.Where.add("status = '" + string(approval.StatusOutcomeUnknown) + "' AND settled_at IS NULL")
	}
	if len(statuses) > 0 {
		slices.Sort(statuses)
		l.Where.in("status", slices.Compact(statuses))
	}
	return l, nil
}

func (d Dialect) entries(q store.EntryQuery) (List[audit.Entry], error) {
	l := List[audit.Entry]{
		Doing: "list audit entries", Table: "entries", Newest: q.Newest, Columns: entryColumns,
		Size:   "octet_length(metadata) + coalesce(octet_length(payload), 0)",
		Cursor: q.Cursor, Limit: q.Limit, Scan: scanEntry,
	}
	l.Where.equal("call", q.Subject)
	l.Where.equal("kind", string(q.Kind))
	if !q.Since.IsZero() {
		l.Where.add("at >= %s", q.Since)
	}
	l.Where.ofCall("tool", q.Tool)
	l.Where.ofCall("agent", q.Agent)
	if q.By != "" {
		acts, err := acts(q.By)
		if err != nil {
			return l, err
		}
		l.Where.in("kind", actKinds)
		l.Where.add("("+strings.Join(slices.Repeat([]string{d.Holds}, len(acts)), " OR ")+")", acts...)
	}
	return l, nil
}

// actKinds are the kinds of entries that record what somebody did, and say who.
var actKinds = []string{
	string(audit.KindDecided), string(audit.KindRefused), string(audit.KindSettled),
	string(audit.KindPolicyApplied),
	string(audit.KindTokenCreated), string(audit.KindTokenRevoked),
	string(audit.KindKeyAdded), string(audit.KindKeyRetired), string(audit.KindKeyRevoked),
}

// acts are what the payload of an entry of actKinds holds one of if somebody of that name did it.
// Payloads are canonical JSON, so a field and its value have one form; and a quotation mark in a
// text is escaped, so no text can hold that form.
func acts(name string) (found []any, err error) {
	for _, field := range []string{"reviewer", "by", "created_by", "revoked_by", "retired_by"} {
		object, err := strictjson.Canonical(map[string]string{field: name})
		if err != nil {
			return nil, err
		}
		found = append(found, object[1:len(object)-1])
	}
	return found, nil
}

// Count is the query for how many rows fit, which stops above store.ExactTotal. Its arguments are
// those of Where.
func (l List[T]) Count() string {
	return "SELECT count(*) FROM (SELECT 1 FROM pawl." + l.Table + l.Where.SQL() +
		" LIMIT " + strconv.Itoa(store.ExactTotal+1) + ") AS counted"
}

// Page is which rows one page is made of: those that fit rest, in this order, up to limit. A cursor
// is the seq of the last row before the page, so rows that are added never shift it. The error's
// code is approval.CodeInvalid.
func (l List[T]) Page() (rest Filter, order string, limit int, err error) {
	compare, order, limit := "seq > %s", "seq", l.Limit
	if l.Newest {
		compare, order = "seq < %s", "seq DESC"
	}
	switch {
	case limit == 0:
		limit = store.DefaultPage
	case limit < 0 || limit > store.MaxPage:
		err := approval.Errorf(approval.CodeInvalid, "limit %d is not in 1 to %d", limit, store.MaxPage)
		return rest, "", 0, err
	}
	rest = Filter{slices.Clone(l.Where.conditions), slices.Clone(l.Where.Args)}
	if l.Cursor != "" {
		after, err := ParseCursor(l.Table, l.Cursor)
		if err != nil {
			return rest, "", 0, err
		}
		rest.add(compare, after)
	}
	return rest, order, limit, nil
}

// Filter is a WHERE clause of conditions that must all hold, and its arguments.
type Filter struct {
	conditions []string
	Args       []any
}

// add takes a condition, with %s where each of its values goes.
func (f *Filter) add(condition string, values ...any) {
	names := make([]any, len(values))
	for i, value := range values {
		f.Args = append(f.Args, value)
		names[i] = "$" + strconv.Itoa(len(f.Args))
	}
	f.conditions = append(f.conditions, fmt.Sprintf(condition, names...))
}

// equal asks for a value; an empty one does not restrict.
func (f *Filter) equal(column, value string) {
	if value != "" {
		f.in(column, []string{value})
	}
}

// ofCall asks for a value in the row of the call that an entry is about.
func (f *Filter) ofCall(column, value string) {
	switch {
	case value == "":
	case !Storable(value):
		f.add("false")
	default:
		f.add("EXISTS (SELECT 1 FROM pawl.calls AS c WHERE c.id = entries.call AND c."+column+" = %s)", value)
	}
}

// in asks for one of some values. A single one is an equality, whose rows an index has in order.
func (f *Filter) in(column string, values []string) {
	var known []any
	for _, value := range values {
		if Storable(value) {
			known = append(known, value)
		}
	}
	switch len(known) {
	case 0:
		f.add("false")
	case 1:
		f.add(column+" = %s", known...)
	default:
		f.add(column+" IN (%s"+strings.Repeat(", %s", len(known)-1)+")", known...)
	}
}

// SQL is the clause, empty without conditions.
func (f Filter) SQL() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}
