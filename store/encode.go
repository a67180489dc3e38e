package store

import (
	"bytes"
	"encoding/json"

	"github.com/pawlhq/pawl/approval"
)

// Encode writes JSON as it came: unlike json.Marshal, which spells <, > and & inside raw arguments
// and results in another way. The error's code is approval.CodeInvalid.
func Encode(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", approval.Errorf(approval.CodeInvalid, "the store can't keep it: %w", err)
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}
