// Package packed writes the JSON of calls and of audit entries in few bytes: names that are in each of
// them take one byte, and hashes, run IDs and times are binary. What people wrote stays as it is.
// Postgres reads it by the function pawl.unpacked, so that whoever has the database needs no Pawl.
package packed

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxSize bounds a document that is packed, in bytes: larger ones have a small share of names. So it
// also bounds what comes of a few bytes.
const MaxSize = 4096

// The first byte of a packed document, and the bytes that stand for something else than themselves. No
// JSON text has any of them.
const (
	version = 0x01

	opPhrase = 0x00 // and the place of a phrase behind the short ones
	opHex    = 0x01 // and 32 bytes: 64 digits
	opUUID   = 0x02 // and 16 bytes
	opTime   = 0x03 // and 7 bytes: microseconds since 1970
	opKnown  = 0x04 // and the place of a text that the reader knows
	opAgain  = 0x05 // and the place of a hash, a UUID or a time among those of the document
)

// short are the bytes that stand for the first phrases: those that are left of the ones which are no
// JSON text.
var short = []byte{
	0x06, 0x07, 0x08, 0x0b, 0x0c, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a,
	0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0xc0, 0xc1, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
}

// begin finds phrases by their first two bytes, the longest first.
var begin = func() map[string][]int {
	found := map[string][]int{}
	for i, p := range phrases {
		found[p[:2]] = append(found[p[:2]], i)
	}
	for _, places := range found {
		slices.SortFunc(places, func(a, b int) int { return len(phrases[b]) - len(phrases[a]) })
	}
	return found
}()

// codes is which phrase a byte stands for, or -1.
var codes = func() (phrase [256]int) {
	for i := range phrase {
		phrase[i] = slices.Index(short, byte(i))
	}
	return phrase
}()

// Pack packs a JSON document. known are texts that Unpack will be given, too. What can't be packed
// comes back as it is.
func Pack(doc []byte, known ...string) []byte {
	if len(doc) == 0 || len(doc) > MaxSize || !packable(doc) {
		return doc
	}
	out := append(make([]byte, 0, len(doc)/2+16), version)
	var again []string
	for i := 0; i < len(doc); {
		if code, n := phrase(doc[i:]); n > 0 {
			if out = append(out, code...); doc[i+n-1] != '"' {
				i += n
				continue
			}
			i += n
		} else {
			out = append(out, doc[i])
			if i++; doc[i-1] != '"' {
				continue
			}
		}
		// What is packed as a value stands at the beginning of a text.
		var code []byte
		var n int
		if code, n, again = value(doc[i:], known, again); n > 0 {
			out, i = append(out, code...), i+n
		}
	}
	if back, err := Unpack(out, known...); err != nil || !bytes.Equal(back, doc) {
		return doc // a fault of this package must not lose a record
	}
	return out
}

// packable reports whether every byte of a document stands for itself.
func packable(doc []byte) bool {
	return utf8.Valid(doc) && !slices.ContainsFunc(doc, func(c byte) bool {
		return c < ' ' && c != '\t' && c != '\n' && c != '\r'
	})
}

// phrase is the code of the phrase that a text begins with, and how long it is.
func phrase(text []byte) (code []byte, n int) {
	if len(text) < 2 || !strings.ContainsRune(`"{}[,`, rune(text[0])) {
		return nil, 0
	}
	for _, i := range begin[string(text[:2])] {
		switch p := phrases[i]; {
		case len(text) < len(p) || string(text[:len(p)]) != p:
		case i < len(short):
			return short[i : i+1], len(p)
		default:
			return []byte{opPhrase, byte(i - len(short))}, len(p)
		}
	}
	return nil, 0
}

// value is the code of the value that a text begins with, and how long it is. again are the values of
// before, and with this one.
func value(text []byte, known, again []string) (code []byte, n int, now []string) {
	for i, k := range known {
		if len(k) > 2 && len(text) > len(k) && text[len(k)] == '"' && string(text[:len(k)]) == k {
			return []byte{opKnown, byte(i)}, len(k), again
		}
	}
	end := slices.Index(text[:min(len(text), 65)], '"')
	if end < 0 {
		return nil, 0, again
	}
	found := string(text[:end])
	if i := slices.Index(again, found); i >= 0 {
		return []byte{opAgain, byte(i)}, end, again
	}
	if code = binaryOf(found); code == nil || len(again) == 256 {
		return nil, 0, again
	}
	return code, end, append(again, found)
}

// Value is what stands for a text in a packed document, the first time that it is a whole text of it.
func Value(text string) []byte {
	if code := binaryOf(text); code != nil {
		return code
	}
	return []byte(text)
}

// binaryOf is the code of a hash, a UUID or a time, or nil.
func binaryOf(text string) []byte {
	var op byte
	var value []byte
	switch {
	case len(text) == 64:
		op, value = opHex, unhex(text)
	case len(text) == 36:
		op, value = opUUID, unhex(strings.ReplaceAll(text, "-", ""))
	case len(text) >= 20 && text[len(text)-1] == 'Z':
		at, err := time.Parse(time.RFC3339Nano, text)
		if micros := at.UnixMicro(); err == nil && micros >= 0 {
			op, value = opTime, binary.BigEndian.AppendUint64(nil, uint64(micros))[1:]
		}
	}
	if op == 0 || len(value) != sizes[op] || textOf(op, value) != text { // or it is written in another way
		return nil
	}
	return append([]byte{op}, value...)
}

func unhex(text string) []byte {
	value, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return value
}

// sizes are how many bytes a binary value has.
var sizes = [256]int{opHex: 32, opUUID: 16, opTime: 7}

// textOf is the text of a binary value.
func textOf(op byte, value []byte) string {
	switch op {
	case opHex:
		return hex.EncodeToString(value)
	case opUUID:
		digits := hex.EncodeToString(value)
		return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
	case opTime:
		micros := binary.BigEndian.Uint64(append([]byte{0}, value...))
		return time.UnixMicro(int64(micros)).UTC().Format(time.RFC3339Nano)
	}
	return ""
}

// ErrDamaged: what should be a packed document is none, or was packed with other known texts.
var ErrDamaged = errors.New("a packed document is damaged")

// Is reports whether a document is packed.
func Is(doc []byte) bool { return len(doc) > 0 && doc[0] == version }

// Unpack is the document that Pack was given. One that is not packed comes back as it is.
func Unpack(packed []byte, known ...string) ([]byte, error) {
	if !Is(packed) {
		return packed, nil
	}
	out := make([]byte, 0, 3*len(packed))
	var again []string
	for rest := packed[1:]; len(rest) > 0; {
		op := rest[0]
		if rest = rest[1:]; codes[op] >= 0 {
			out = append(out, phrases[codes[op]]...)
			continue
		}
		if op > opAgain {
			out = append(out, op)
			continue
		}
		n := max(1, sizes[op])
		if len(rest) < n {
			return nil, ErrDamaged
		}
		var text string
		switch place := int(rest[0]); {
		case sizes[op] > 0:
			text = textOf(op, rest[:n])
			again = append(again, text)
		case op == opPhrase && len(short)+place < len(phrases):
			text = phrases[len(short)+place]
		case op == opKnown && place < len(known):
			text = known[place]
		case op == opAgain && place < len(again):
			text = again[place]
		default:
			return nil, ErrDamaged
		}
		out, rest = append(out, text...), rest[n:]
	}
	return out, nil
}
