package audit

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/strictjson"
)

// line is an entry in an export, as one line of JSON. The payload is the last field and stands there
// byte for byte, as does the text of metadata: what follows `,"payload":` up to the last brace is what
// was hashed. No string before it can hold that, since quotation marks are escaped in strings.
type line struct {
	Index    *int64          `json:"index,omitempty"` // missing: it is not sealed yet
	Subject  string          `json:"call_id"`
	Step     string          `json:"step"`
	Kind     Kind            `json:"kind"`
	At       time.Time       `json:"at"`
	Leaf     Hash            `json:"leaf_hash"`
	Metadata string          `json:"metadata"`
	Payload  json.RawMessage `json:"payload"` // null: removed by retention
}

// checkpointLine is a signed checkpoint in an export, behind the last entry that it covers.
type checkpointLine struct {
	Checkpoint string `json:"checkpoint"`
}

// ExportLine is an entry as a line of an export, with its line feed.
func ExportLine(e Entry) ([]byte, error) {
	payload := e.Payload
	if payload == nil {
		payload = json.RawMessage("null")
	}
	doc, err := strictjson.Marshal(line{
		e.Index, e.Subject, e.Step, e.Kind, e.At.UTC(), e.Leaf, string(e.Metadata), payload,
	})
	return append(doc, '\n'), err
}

// ExportCheckpoint is a signed checkpoint as a line of an export, with its line feed.
func ExportCheckpoint(signed string) ([]byte, error) {
	doc, err := strictjson.Marshal(checkpointLine{signed})
	return append(doc, '\n'), err
}

// ReadExport reads a line of an export: an entry, with its Damage if it has any, or else a signed
// checkpoint.
func ReadExport(doc []byte) (e Entry, checkpoint string, err error) {
	var both struct {
		line
		checkpointLine
	}
	if err := json.Unmarshal(doc, &both); err != nil {
		return e, "", fmt.Errorf("the line is not one of an export: %w", err)
	}
	if both.Checkpoint != "" {
		return e, both.Checkpoint, nil
	}
	l := both.line
	if l.Subject == "" || l.Metadata == "" {
		return e, "", fmt.Errorf("the line is not one of an export: it has no call_id or no metadata")
	}
	e = Entry{
		Subject: l.Subject, Step: l.Step, Kind: l.Kind, At: l.At, Payload: l.Payload,
		Metadata: []byte(l.Metadata), Index: l.Index,
	}
	if string(e.Payload) == "null" {
		e.Payload = nil
	}
	return Stored(e, l.Leaf[:], l.Leaf[:]), "", nil
}
