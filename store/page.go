package store

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// What backends have in common beside their promises.

// PageLimit is the number of items that a query's limit asks for. The error's
// code is approval.CodeInvalid.
func PageLimit(limit int) (int, error) {
	switch {
	case limit == 0:
		return DefaultPage, nil
	case limit < 0 || limit > MaxPage:
		return 0, approval.Errorf(approval.CodeInvalid, "limit %d is not in 1 to %d", limit, MaxPage)
	}
	return limit, nil
}

// Cursor marks a place in a list. It names its table, so that one list's
// cursor is not taken by another.
func Cursor(table string, seq int64) string { return table + "-" + strconv.FormatInt(seq, 10) }

// ParseCursor is the place that Cursor marked. The error's code is
// approval.CodeInvalid.
func ParseCursor(table, text string) (int64, error) {
	number, ok := strings.CutPrefix(text, table+"-")
	seq, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || seq < 1 || text != Cursor(table, seq) {
		return 0, approval.Errorf(approval.CodeInvalid, "cursor: it is not one this list gave out; start again without one")
	}
	return seq, nil
}

// Added checks a new token or key, and returns what is written of it: its JSON
// and its record.
func Added(v interface {
	Check() error
	Entry() (audit.Entry, error)
}) (doc string, entry audit.Entry, err error) {
	if err := v.Check(); err != nil {
		return "", audit.Entry{}, err
	}
	if entry, err = v.Entry(); err != nil {
		return "", audit.Entry{}, err
	}
	doc, err = Encode(v)
	return doc, entry, err
}

// Encode writes JSON as it came: unlike json.Marshal, which spells <, > and &
// inside raw arguments and results in another way. The error's code is
// approval.CodeInvalid.
func Encode(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", approval.Errorf(approval.CodeInvalid, "the store can't keep it: %w", err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}
