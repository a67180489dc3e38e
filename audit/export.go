package audit

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/strictjson"
)

// Exported is the entry as a line of an export shows it.
func (e Entry) Exported() rest.ExportedEntry {
	return rest.ExportedEntry{
		Entry: rest.Entry{
			CallID: e.Subject, Step: e.Step, Kind: string(e.Kind), At: e.At.UTC(), Payload: e.Payload,
			LeafHash: e.Leaf.String(), Damage: e.Damage,
		},
		Index: e.Index, Metadata: string(e.Metadata), Salt: hex.EncodeToString(e.Salt), Cursor: e.Cursor,
	}
}

// ExportLine is the entry as a line of an export. Its payload stands there byte for byte.
func ExportLine(e Entry) ([]byte, error) {
	doc, err := strictjson.Marshal(e.Exported())
	return append(doc, '\n'), err
}

// ReadExport reads a line of an export: an entry, with its Damage if it has any, or else a signed
// checkpoint.
func ReadExport(doc []byte) (e Entry, checkpoint string, err error) {
	var l struct {
		rest.ExportedEntry
		Checkpoint string `json:"checkpoint"`
	}
	err = json.Unmarshal(doc, &l)
	if err == nil {
		err = membersOnce(doc)
	}
	if err != nil {
		return e, "", fmt.Errorf("the line is not one of an export: %w", err)
	}
	switch {
	case l.Problem != "":
		return e, "", fmt.Errorf("the export ended early: %s", l.Problem)
	case l.Checkpoint != "":
		if err := strictjson.Decode(doc, &rest.ExportedCheckpoint{}); err != nil {
			return e, "", fmt.Errorf("the line of a checkpoint holds more than that: %w", err)
		}
		return e, l.Checkpoint, nil
	case l.CallID == "" || l.Metadata == "":
		return e, "", errors.New("the line is not one of an export: it has no call_id or no metadata")
	}
	var leaf Hash
	if err := leaf.UnmarshalText([]byte(l.LeafHash)); err != nil {
		return e, "", fmt.Errorf("the line's leaf_hash: %w", err)
	}
	salt, err := hex.DecodeString(l.Salt)
	if err != nil {
		return e, "", errors.New("the line is not one of an export: its salt is not hex")
	}
	e = Entry{
		Salt: salt, Subject: l.CallID, Step: l.Step, Kind: Kind(l.Kind), At: l.At, Payload: l.Payload,
		Metadata: []byte(l.Metadata), Index: l.Index,
	}
	if string(e.Payload) == "null" {
		e.Payload = nil
	}
	e = Stored(e, leaf[:], leaf[:])
	if e.Damage == "" {
		e.Damage = l.Damage // that the store's own reader found
	}
	return e, "", nil
}

// membersOnce refuses a valid JSON object that has a member twice, or one whose name is not written as Pawl
// writes names: readers that tell these apart in another way than this one would see another entry.
func membersOnce(doc []byte) error {
	var names []string
	var last []byte // string
	for i, depth := 0, 0; i < len(doc); i++ {
		switch doc[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			from := i + 1
			for i++; doc[i] != '"'; i++ {
				if doc[i] == '\\' {
					i++
				}
			}
			last = doc[from:i]
		case ':':
			if depth != 1 {
				continue
			}
			name := string(last)
			if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" || slices.Contains(names, name) {
				return fmt.Errorf("it has %q twice, or written in another way", name)
			}
			names = append(names, name)
		}
	}
	return nil
}
