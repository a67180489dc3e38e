package verify

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/pawlhq/pawl/audit"
)

// callHash stands for a call's ID: a log of years has many erased calls, and this is all that is kept of
// each in memory.
type callHash [16]byte

func hashOf(call string) (h callHash) {
	sum := sha256.Sum256([]byte(call))
	copy(h[:], sum[:])
	return h
}

// emptied is a call of which an entry has no payload, and the number of that entry, if it has one.
type emptied struct {
	call  callHash
	index *int64
}

// erasures compares the calls whose details are gone with those that were erased on record: whoever has
// the database can empty an entry, but not say so in the log without being seen.
type erasures struct {
	emptied  []emptied
	onRecord []callHash
}

func (x *erasures) add(e *audit.Entry) {
	if e.Payload == nil {
		call := hashOf(e.Subject)
		if n := len(x.emptied); n == 0 || x.emptied[n-1].call != call { // entries of one call often stand together
			x.emptied = append(x.emptied, emptied{call, e.Index})
		}
		return
	}
	if e.Kind != audit.KindErased {
		return
	}
	payload, err := audit.ReadPayload(e.Kind, e.Payload)
	if erased, ok := payload.(audit.Erased); ok && err == nil {
		for _, call := range erased.Calls {
			x.onRecord = append(x.onRecord, hashOf(call))
		}
	}
}

// unrecorded is the first entry whose details are gone without a record.
func (x *erasures) unrecorded() (found emptied, ok bool) {
	compare := func(a, b callHash) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(x.onRecord, compare)
	for _, e := range x.emptied {
		if _, recorded := slices.BinarySearchFunc(x.onRecord, e.call, compare); !recorded {
			return e, true
		}
	}
	return emptied{}, false
}
