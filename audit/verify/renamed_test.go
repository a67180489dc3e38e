package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/audit/verify"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maker makes an export line by line.
type maker struct {
	t     *testing.T
	r     tree.Range
	lines []string
}

func (m *maker) add(sealed bool, e audit.Entry) {
	if n := m.r.Size(); sealed {
		e.Index = &n
		m.r.Add(tlog.Hash(e.Leaf), nil)
	}
	line, err := audit.ExportLine(e)
	if err != nil {
		m.t.Fatal(err)
	}
	m.lines = append(m.lines, string(line))
}

func (m *maker) entries(number int) {
	for range number {
		m.add(true, anEntry(m.t, len(m.lines)))
	}
}

func (m *maker) signed(origin string) {
	m.lines = append(m.lines, signed(m.t, origin, m.r.Size(), m.r.Root(), logKey))
}

func (m *maker) renaming(subject, from, to string, size int64) audit.Entry {
	m.t.Helper()
	e, err := audit.New(subject, to, time.UnixMicro(1), audit.LogRenamed{Origin: to, Previous: from, Size: size})
	if err != nil {
		m.t.Fatal(err)
	}
	return e
}

// TestRenamedLogs verifies logs that changed their name: with an entry that says so, and without.
func TestRenamedLogs(t *testing.T) {
	const a, b, c = "pawl/a", "pawl/b", "pawl/c"
	stranger := tree.Keys{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
	say := func(from, to string, size int64) func(m *maker) {
		return func(m *maker) { m.add(true, m.renaming(audit.SubjectLog, from, to, size)) }
	}
	honest := say(a, b, 5)
	var atFive tlog.Hash // the root of the first five entries
	at := func(origin string, size int64, root func() tlog.Hash, keys tree.Keys) func() string {
		return func() string { return rawSigned(t, origin, size, root(), keys) }
	}
	same, another := func() tlog.Hash { return atFive }, func() tlog.Hash { return tlog.Hash{1} }
	for _, test := range []struct {
		name   string
		say    func(m *maker) // behind five entries under the name a
		seen   func() string  // before; nil: nothing
		accept bool           // that the end was lost
		want   verify.Fault
	}{
		{"an entry says so", honest, nil, false, ""},
		{"and it was seen before", honest, at(a, 5, same, logKey), false, ""},
		{"no entry", func(m *maker) { m.entries(1) }, nil, false, verify.Forged},
		{"no entry, and it was seen before", func(m *maker) { m.entries(1) }, at(a, 5, same, logKey), false, verify.Forged},
		{"an entry with another size", say(a, b, 6), nil, false, verify.Forged},
		{"an entry with another name before", say(c, b, 5), nil, false, verify.Forged},
		{"an entry with another name after it", say(a, c, 5), nil, false, verify.Forged},
		{"an entry of a call", func(m *maker) { m.add(true, m.renaming("call-1", a, b, 5)) }, nil, false, verify.Forged},
		{"an entry without its payload", func(m *maker) {
			e := m.renaming(audit.SubjectLog, a, b, 5)
			e.Payload, e.Salt = nil, nil
			m.add(true, e)
		}, nil, false, verify.Edited},
		{"an entry that was changed", func(m *maker) {
			honest(m)
			last := &m.lines[len(m.lines)-1]
			*last = strings.Replace(*last, `"size":5`, `"size":4`, 1)
		}, nil, false, verify.Edited},
		{"an entry that is sealed later", func(m *maker) { m.entries(1); m.signed(b); honest(m) }, nil, false, ""},
		{"an entry that is not sealed yet", func(m *maker) {
			m.entries(1)
			m.signed(b)
			m.add(false, m.renaming(audit.SubjectLog, a, b, 5))
		}, nil, false, ""},
		{"two entries", func(m *maker) { say(a, c, 5)(m); say(c, b, 5)(m) }, nil, false, ""},
		{"two entries, and it was seen before", func(m *maker) { say(a, c, 5)(m); say(c, b, 5)(m) }, at(a, 5, same, logKey), false, ""},
		{"two names, and one entry", func(m *maker) { say(a, c, 5)(m); m.signed(c); m.entries(1) }, nil, false, verify.Forged},
		{"two names, and one entry for the second", func(m *maker) { m.entries(1); m.signed(c); say(c, b, 6)(m) }, nil, false, verify.Forged},
		{"two names with their entries", func(m *maker) { say(a, c, 5)(m); m.signed(c); say(c, b, 6)(m) }, at(a, 5, same, logKey), false, ""},
		{"more was seen before", honest, at(a, 7, another, logKey), false, verify.Forked},
		{"much more was seen before", honest, at(a, 70, another, logKey), false, verify.RolledBack},
		{"other entries were seen before", honest, at(a, 5, another, logKey), false, verify.Forked},
		{"more was seen before, which is known", honest, at(a, 7, another, logKey), true, ""},
		{"much more was seen before, which is known", honest, at(a, 70, another, logKey), true, ""},
		{"more was seen under its name now", honest, at(b, 70, another, logKey), true, verify.RolledBack},
		{"other entries were seen under its name now", honest, at(b, 6, another, logKey), true, verify.Forked},
		{"a name was seen that no entry tells of", honest, at(c, 5, same, logKey), false, verify.Forked},
		{"a name was seen that no entry tells of, which is known", honest, at(c, 9, another, logKey), true, ""},
		{"more was seen before, and no entry says so", func(m *maker) { m.entries(1) }, at(a, 7, another, logKey), true, verify.Forged},
		{"a log of another key was seen", honest, at(c, 70, another, stranger), false, ""},
		{"its key was replaced", honest, at(b, 6, another, stranger), false, verify.Forked},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &maker{t: t}
			m.entries(5)
			m.signed(a)
			atFive = m.r.Root()
			test.say(m)
			if !strings.Contains(test.name, "not sealed yet") {
				m.entries(2)
				m.signed(b)
			}
			var public []string
			var known []note.Verifier
			for _, name := range []string{a, b, c} {
				keys, err := logKey.Verifiers(name)
				if err != nil {
					t.Fatal(err)
				}
				v, err := note.NewVerifier(keys[0])
				if err != nil {
					t.Fatal(err)
				}
				public, known = append(public, keys...), append(known, v)
			}
			o := verify.Options{Known: note.VerifierList(known[1]), AnyName: logKey.Public(), Renamed: test.accept}
			state := verify.State{}
			if test.seen != nil {
				origin, _, _ := strings.Cut(test.seen(), "\n")
				state[origin] = test.seen()
				o.State = state
			}
			check := func(o verify.Options) verify.Report {
				t.Helper()
				r, err := verify.Run(t.Context(), verify.FromExport(strings.NewReader(strings.Join(m.lines, ""))), o)
				found := verify.Fault("")
				if r.Problem != nil {
					found = r.Problem.Fault
				}
				if err != nil || found != test.want || r.OK != (test.want == "") {
					t.Errorf("found %v, %v; want %q", r.Problem, err, test.want)
				}
				return r
			}
			if r := check(o); r.OK {
				next := r.Next(state)
				_, kept := next[a]
				if _, seen := state[a]; next[b] == "" || kept != (seen && !test.accept) {
					t.Errorf("the next state is %v", next)
				}
			}
			if test.accept || strings.Contains(test.name, " key was ") {
				return // Python keeps no state
			}
			var published []string
			if test.seen != nil {
				file := t.TempDir() + "/published"
				if err := os.WriteFile(file, []byte(test.seen()), 0o600); err != nil {
					t.Fatal(err)
				}
				published = []string{"--checkpoint", file}
				o.State, o.Others = nil, []verify.Seen{{Signed: test.seen(), From: "a file"}}
				check(o)
			}
			python(t, strings.Join(public, "\n"), test.want, m.lines, published...)
		})
	}
}
