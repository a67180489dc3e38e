package backend

import (
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
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
		l.ByTime = "at"
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
	var done []any
	if q.By != "" {
		l.Where.add("kind IN (" + literals(actKinds) + ")")
		var err error
		if done, err = acts(q.By); err != nil {
			return l, err
		}
	}
	if q.Tool != "" || q.Agent != "" || q.Status != "" || q.Risk != "" || q.By != "" {
		l.Sift = func(f *Filter) {
			f.ofCall([][2]string{
				{"tool", q.Tool}, {"agent", q.Agent}, {"status", string(q.Status)}, {"risk", string(q.Risk)},
			})
			if len(done) > 0 {
				f.add(d.holdsOne(done), done...)
			}
		}
	}
	return l, nil
}

// frequentKinds are the kinds of entries that every call has: no index but that of time finds them.
// The schema says the same.
var frequentKinds = []audit.Kind{audit.KindRequested, audit.KindClaimed, audit.KindStarted, audit.KindEnded}

// actKinds are the kinds of entries that record what somebody did, and say who. The schema says the
// same.
var actKinds = []audit.Kind{
	audit.KindDecided, audit.KindRefused, audit.KindSettled, audit.KindPolicyApplied,
	audit.KindTokenCreated, audit.KindTokenRevoked,
	audit.KindKeyAdded, audit.KindKeyRetired, audit.KindKeyRevoked,
	audit.KindErased, audit.KindRestored, audit.KindLogRenamed, audit.KindForbidden,
}

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

// acts are what the payload of an entry of actKinds holds one of if somebody of that name did it.
// Payloads are canonical JSON, so a field and its value have one form; and a quotation mark in a
// text is escaped, so no text can hold that form.
func acts(name string) (found []any, err error) {
	for _, field := range []string{"reviewer", "by", "created_by", "revoked_by", "retired_by", "renamed_by"} {
		object, err := strictjson.Canonical(map[string]string{field: name})
		if err != nil {
			return nil, err
		}
		found = append(found, object[1:len(object)-1])
	}
	return found, nil
}
