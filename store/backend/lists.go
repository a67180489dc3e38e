package backend

import (
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// List says what one page of a list is read from. A table is in the order of its column seq.
type List[T any] struct {
	Doing  string // for errors
	Table  string
	Newest bool // newest first, else oldest first

	Columns string // that Scan reads
	Size    string // a row's bytes, as SQL that does not read them

	Cursor string
	Limit  int
	Scan   func(row Row, first ...any) (T, error) // seq is the first of first, an *int64
}

// Calls lists views.
func Calls(q store.CallQuery) List[approval.View] {
	return List[approval.View]{
		Doing: "list calls", Table: "calls", Newest: true,
		Columns: "view", Size: "octet_length(view)", Cursor: q.Cursor, Limit: q.Limit, Scan: scanView,
	}
}

// CheckQuery refuses a query for a risk or a status that there is not. The error's code is
// approval.CodeInvalid.
func CheckQuery(q store.CallQuery) error {
	if q.Risk != "" {
		if _, err := approval.ParseRisk(string(q.Risk)); err != nil {
			return err
		}
	}
	for _, status := range q.Statuses {
		if _, err := approval.ParseStatus(string(status)); err != nil {
			return err
		}
	}
	return nil
}

// Entries lists the audit log.
func Entries(q store.EntryQuery) List[audit.Entry] {
	return List[audit.Entry]{
		Doing: "list audit entries", Table: "entries", Columns: EntryColumns,
		Size:   "octet_length(metadata) + coalesce(octet_length(payload), 0)",
		Cursor: q.Cursor, Limit: q.Limit, Scan: scanEntry,
	}
}

// Tokens lists tokens.
func Tokens(q store.Paging) List[store.Token] {
	return List[store.Token]{
		Doing: "list tokens", Table: "tokens", Newest: true,
		Columns: TokenColumns, Size: "octet_length(token)", Cursor: q.Cursor, Limit: q.Limit, Scan: Token,
	}
}

// Keys lists signing keys.
func Keys(q store.Paging) List[store.SigningKey] {
	return List[store.SigningKey]{
		Doing: "list signing keys", Table: "signing_keys", Newest: true,
		Columns: KeyColumns, Size: "octet_length(key)", Cursor: q.Cursor, Limit: q.Limit, Scan: Key,
	}
}

// Versions lists the versions of the policy.
func Versions(q store.Paging) List[store.PolicyVersion] {
	return List[store.PolicyVersion]{
		Doing: "list the versions of the policy", Table: "policy_versions", Newest: true,
		Columns: VersionColumns, Size: "octet_length(note)", Cursor: q.Cursor, Limit: q.Limit, Scan: scanVersion,
	}
}
