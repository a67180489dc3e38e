package store

import (
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

// Encode writes JSON as it came: unlike json.Marshal, which spells <, > and & inside raw arguments
// and results in another way. The error's code is approval.CodeInvalid.
func Encode(v any) (string, error) {
	doc, err := strictjson.Marshal(v)
	if err != nil {
		return "", approval.Errorf(approval.CodeInvalid, "the store can't keep it: %w", err)
	}
	return string(doc), nil
}
