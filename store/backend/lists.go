package backend

import (
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

// Calls lists views. requests is the condition by which the database's partial indexes know a
// request. hint goes before columns that tell fewer calls apart than their status does.
func Calls(q store.CallQuery, requests, hint string) (List[approval.View], error) {
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
	if !q.Requests || len(statuses) == 0 {
		hint = ""
	}
	l.Where.equal(hint+"tool", q.Tool)
	l.Where.equal(hint+"agent", q.Agent)
	l.Where.equal(hint+"session", q.Session)
	l.Where.equal("requester", q.Requester) // its index has the status, too
	l.Where.equal(hint+"risk", string(q.Risk))
	if q.Requests {
		l.Where.add(requests)
	}
	if len(statuses) > 0 {
		slices.Sort(statuses)
		l.Where.in("status", slices.Compact(statuses))
	}
	return l, nil
}

// Entries lists the audit log. holds is the condition that a payload holds some bytes.
func Entries(q store.EntryQuery, holds string) (List[audit.Entry], error) {
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
		l.Where.add("("+strings.Join(slices.Repeat([]string{holds}, len(acts)), " OR ")+")", acts...)
	}
	return l, nil
}

// actKinds are the kinds of entries that record what somebody did, and say who.
var actKinds = []string{
	string(audit.KindDecided), string(audit.KindRefused), string(audit.KindPolicyApplied),
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

// Tokens lists tokens.
func Tokens(q store.Paging) List[store.Token] {
	return List[store.Token]{
		Doing: "list tokens", Table: "tokens", Newest: true,
		Columns: tokenColumns, Size: "octet_length(token)", Cursor: q.Cursor, Limit: q.Limit, Scan: scanToken,
	}
}

// Keys lists signing keys.
func Keys(q store.Paging) List[store.SigningKey] {
	return List[store.SigningKey]{
		Doing: "list signing keys", Table: "signing_keys", Newest: true,
		Columns: keyColumns, Size: "octet_length(key)", Cursor: q.Cursor, Limit: q.Limit, Scan: scanKey,
	}
}

// Versions lists the versions of the policy.
func Versions(q store.Paging) List[store.PolicyVersion] {
	return List[store.PolicyVersion]{
		Doing: "list the versions of the policy", Table: "policy_versions", Newest: true,
		Columns: VersionColumns, Size: "octet_length(note)", Cursor: q.Cursor, Limit: q.Limit, Scan: scanVersion,
	}
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
