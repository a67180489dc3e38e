package backend

import (
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/packed"
	"github.com/pawlhq/pawl/strictjson"
)

func (d Dialect) entries(q store.EntryQuery) (List[audit.Entry], error) {
	l := List[audit.Entry]{
		Doing: "list audit entries", Table: "entries", Newest: q.Newest, Columns: entryColumns,
		Size:   "300 + coalesce(octet_length(payload), 0)",
		Cursor: q.Cursor, Limit: q.Limit, Scan: scanEntry,
	}
	l.Where.equal("call", q.Subject)
	l.Where.equal("kind", string(q.Kind))
	if q.Kind != "" && !slices.Contains(frequentKinds, q.Kind) {
		l.Where.add("kind NOT IN (" + literals(frequentKinds) + ")") // by which an index knows it
	}
	if q.Newest {
		l.By = "at"
	}
	l.Where.within("at", q.Since, q.Until)
	if q.Status != "" {
		if _, err := approval.ParseStatus(string(q.Status)); err != nil {
			return l, err
		}
	}
	if q.Risk != "" {
		if _, err := approval.ParseRisk(string(q.Risk)); err != nil {
			return l, err
		}
	}
	var names []any
	if q.By != "" {
		var err error
		if names, err = naming(q.By); err != nil {
			return l, err
		}
		if !q.Whole() {
			l.Where.add(d.Plain)
		}
	}
	if q.Tool != "" || q.Agent != "" || q.Status != "" || q.Risk != "" || q.By != "" {
		l.Sift = func(f *Filter) {
			f.ofCall([][2]string{
				{"tool", q.Tool}, {"agent", q.Agent}, {"status", string(q.Status)}, {"risk", string(q.Risk)},
			})
			switch {
			case q.By == "":
			case !Storable(q.By):
				f.add("false")
			case q.Whole() && (q.Kind == "" || slices.Contains(frequentKinds, q.Kind)): // also what is packed
				f.add("("+d.holdsOne(names)+" OR NOT ("+d.Plain+") AND "+d.Holds+")",
					append(slices.Clip(names), packed.Value(text(names[0])))...)
			default:
				f.add(d.holdsOne(names), names...)
			}
		}
	}
	return l, nil
}

// ofPerson looks in a list of calls for those of somebody. Views are searched as texts: what a tool
// answered may be JSON that a database does not read. So what is found, and counted, may be an answer that
// looks like a name: Scan reads nothing of a call that is not theirs otherwise.
func (d Dialect) ofPerson(l *List[approval.View], name string) error {
	done, err := naming(name)
	if err != nil {
		return err
	}
	quoted, err := store.Encode(name)
	if err != nil {
		return err
	}
	if !Storable(name) {
		l.Sift = func(f *Filter) { f.add("false") }
		return nil
	}
	// As the fields of a view follow each other: FinalDecision.By is behind a text.
	values := []any{`,"owner":` + quoted + `,"created_at":"`, `","by":` + quoted, name, done[0], done[1]}
	inView := "(" + d.InView + " OR " + d.InView + ")"
	other := "(requester = %s OR (SELECT 1 FROM pawl.entries AS e WHERE e.call = looked.id AND e.kind IN (" +
		literals(decidingKinds) + ") AND " + d.holdsOne(done[:2]) + " LIMIT 1) = 1)"
	l.Sift = func(f *Filter) { f.add("("+inView+" OR "+other+")", values...) }

	var column Filter
	column.add("CASE WHEN "+inView+" THEN coalesce("+strings.Replace(other, "looked", "calls", 1)+
		", false) ELSE true END, ", values...)
	l.Columns, l.Given = column.conditions[0]+l.Columns, column.Args
	l.Scan = func(row Row, first ...any) (approval.View, error) {
		var theirs bool
		v, err := scanView(row, append(first, &theirs)...)
		if theirs || v.Owner == name || v.Decision != nil && v.Decision.By == name {
			return v, err
		}
		return approval.View{}, err
	}
	return nil
}

// named are the entries of a page that name somebody, and their places. What the database finds may be
// an argument of a call that looks like a name. One that can't be read is not left out.
func named(name string, found []audit.Entry, places []int64) (entries []audit.Entry, seqs []int64) {
	for i, e := range found {
		p, err := audit.ReadPayload(e.Kind, e.Payload)
		if err != nil || slices.Contains(audit.Names(p), name) {
			entries, seqs = append(entries, e), append(seqs, places[i])
		}
	}
	return entries, seqs
}

// frequentKinds are the kinds of entries that every call has: no index but that of time finds them.
// The schema says the same.
var frequentKinds = []audit.Kind{audit.KindRequested, audit.KindClaimed, audit.KindStarted, audit.KindEnded}

// decidingKinds are the kinds of entries by which somebody decided on a call.
var decidingKinds = []audit.Kind{audit.KindDecided, audit.KindSettled}

// holdsOne is the condition that an entry's payload holds one of the given values.
func (d Dialect) holdsOne(values []any) string {
	return "(" + strings.Join(slices.Repeat([]string{d.Holds}, len(values)), " OR ") + ")"
}

// literals are kinds as they stand in the schema's conditions of indexes, which no parameter meets.
func literals(kinds []audit.Kind) string {
	quoted := make([]string, len(kinds))
	for i, kind := range kinds {
		quoted[i] = "'" + string(kind) + "'"
	}
	return strings.Join(quoted, ", ")
}

// naming are what a payload, in JSON, holds one of if it names somebody; see audit.Names. Payloads are
// canonical JSON, so a field and its value have one form; and a quotation mark in a text is escaped, so
// no text can hold that form.
func naming(name string) (found []any, err error) {
	for _, field := range []string{
		"by", "reviewer", "requester", "owner", "subject", "created_by", "revoked_by", "retired_by", "renamed_by",
	} {
		object, err := strictjson.Canonical(map[string]string{field: name})
		if err != nil {
			return nil, err
		}
		found = append(found, object[1:len(object)-1])
	}
	return found, nil
}

// text is the name in the first of naming, as it stands between its quotation marks.
func text(first any) string {
	return strings.TrimSuffix(strings.TrimPrefix(string(first.([]byte)), `"by":"`), `"`)
}
