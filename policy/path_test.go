package policy_test

import (
	"encoding/json"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// underPrefix says what an entry of deny and one of allow make of a path.
func underPrefix(t testing.TB, prefix, given string) (denied, allowed bool) {
	t.Helper()
	quoted, err := json.Marshal(prefix)
	if err != nil {
		t.Fatal(err)
	}
	args, err := json.Marshal(map[string]string{"path": given})
	if err != nil {
		t.Fatal(err)
	}
	return entryTakes(t, "deny", string(quoted), args), entryTakes(t, "allow", string(quoted), args)
}

func entryTakes(t testing.TB, section, prefix string, args []byte) bool {
	t.Helper()
	set := compile(t, file("p.yaml", section+": [{capability: t, path_prefix: "+prefix+"}]"))
	call := approval.Call{Tool: "t", Args: args}
	v, e := set.Evaluate(call, now), set.Explain(call, now)
	if v.Kind != e.Kind || v.Policy.Why != e.Policy.Why {
		t.Errorf("evaluated to %+v, explained as %+v", v, e.Verdict)
	}
	return string(v.Kind) == section
}

func TestPathPrefix(t *testing.T) {
	const (
		both    = "denied and allowed"
		neither = "neither"
		denied  = "denied"
	)
	long := strings.Repeat("/x", 2500)
	for prefix, paths := range map[string]map[string]string{
		"/tmp": {
			"/tmp": both, "/tmp/": both, "/tmp/x": both, "/tmp/x/y/": both, "/tmp//x": both, "//tmp/x": both, "/./tmp/./x": both, "/tmp/.x": both,
			"/tmp/x y": both, "/tmp/ä": both, "/tmp/100%": both, "/tmp/a:b": both, "/tmp/日本": both,

			"/tmpfoo": neither, "/tm": neither, "/": neither, "/srv/tmp": neither, "/var/tmp/x": neither, "/srv/a/../b": neither, "/srv/100%": neither,
			"/srv/a~b": neither, "/srv/a~": neither, "/srv/ä": neither, `/srv\x`: neither, "//srv/x": neither, "/srv/a%20b": neither, "/srv/tmp/x": neither,

			// By way of it, or to it.
			"/tmp/../etc/passwd": denied, "/tmp/x/../../etc/passwd": denied, "/srv/../tmp/x": denied, "/../tmp/x": denied, "/tmp/..": denied,
			"/tmp/x/../y": denied, // as x could be a link

			// Not absolute.
			"": denied, " ": denied, ".": denied, "x": denied, "tmp/x": denied, "./x": denied, "../tmp/x": denied, "../../etc/passwd": denied,
			"~": denied, "~/x": denied, "~ana/tmp": denied, " /tmp/x": denied, `"/tmp/x"`: denied, "$TMPDIR/x": denied,

			// Other spellings.
			"/TMP/x": denied, "/Tmp": denied, "/tmp./x": denied, "/tmp /x": denied, `\tmp\x`: denied, `/srv\..\tmp\x`: denied, `/tmp\x`: denied,
			`/tmp/..\..\etc`: denied, "/ｔｍｐ/x": denied, "/tmp/．．/etc": denied, "/tmp/‥/etc": denied, "/tmp／x": denied,
			"/tmp/x~": denied, "/tmp/.. /etc": denied, "/tmp/.../etc": denied,
			"/%74mp/x": denied, "/tmp/%2e%2e/etc": denied, "/srv/%2E%2E/tmp/x": denied, "/tmp%2fx": denied, "/srv/..%2ftmp": denied,
			"/srv/%252e%252e/tmp": denied, "/srv/%25252525252e": denied, "/tmp/%00": denied, "/tmp/%c0%ae": denied, "/tmp/x%20y": denied,

			// Patterns and variables.
			"/t?p/x": denied, "/t*/x": denied, "/[st]mp": denied, "/{srv,tmp}/x": denied, "/**/x": denied, "/$DIR/x": denied, "/srv/*": neither,
			"/srv/app/[id].ts": neither, "/srv/$X/y": neither, "/tmp/*.txt": both, "/tmp/$X": denied, "/tmp/`x`": denied, "/tmp/%X%/y": denied,

			// What can't be told.
			"/srv/x\x00": denied, "/srv/x\n": denied, "/srv/\u200bx": denied, "/srv/\u202ex": denied, "/srv/\ufffd": denied,
			"file:///srv/x": denied, "FILE:/srv/x": denied, "https://example.com/tmp": denied,
			"/srv/secret~1/x": denied, "/proc/self/root/tmp/x": denied, "/proc/self/root/srv": denied, "/dev/fd/3/x": denied, "/proc/1/cwd/x": denied,
			"/proc/self/root/../x": denied, "/srv/... /x": denied, "/srv" + long: denied, "/tmp" + long: denied, "//?/x": denied, "//./x": denied,
			`C:\tmp\x`: denied, `C:\srv\x`: denied, `\\host\srv`: denied,
		},
		"/tmp/":      {"/tmp": denied, "/tmp/": denied, "/tmp/x": both, "/tmpfoo": neither, "/tmp/.": denied},
		"//tmp//./":  {"/tmp/x": both, "/tmp": denied, "/srv": neither},
		"/a/../tmp":  {"/tmp/x": both, "/a/x": neither},
		"/":          {"/": denied, "/x": both, "x": denied, "/x/../..": denied},
		"/Tmp":       {"/Tmp/x": both, "/tmp/x": denied},
		"/srv/Café":  {"/srv/Café/x": both, "/srv/Cafe\u0301/x": denied, "/SRV/CAFÉ/x": denied, "/srv/cafe/x": neither},
		"/srv/K/ſ":   {"/srv/k/s/x": denied, "/srv/\u212a/S": denied},
		"/srv/a/b/c": {"/srv/a/b": neither, "/srv/a/b/c/d": both, "/srv/a/b/cd": neither, "/srv/$X": denied, "/srv/a/*/c": denied, "/srv/*": neither},

		// Relative: under a prefix that is, too, unless there may be more to it.
		"./work/": {
			"work/x": denied, "./work/x": denied, "WORK/x": denied, "other/x": neither, "workfoo/x": neither, "work/../other": denied, "other/../work/x": denied,
			"../work/x": denied, "../x": denied, "/home/ana/work/x": denied, "/home/ana/x": neither, "~/x": denied, "/work": denied, "": neither,
		},
		".":      {"x": denied, "/x": denied, "../x": denied},
		"../x/y": {"x": denied, "/a/x/y/z": denied, "/a/x/z": neither},
		"~/.ssh": {
			"~/.ssh/id": denied, "~/.SSH/id": denied, "~/docs": neither, "~ana/.ssh/id": denied, "~/../ana/.ssh": denied, ".ssh/id": denied, "docs/x": denied,
			"/home/ana/.ssh/id": denied, "/home/ana/docs": neither,
		},

		`C:\work`: {
			`C:\work`: both, `C:\work\x`: both, "C:/work/x": both, `C:\\work\.\x`: both, `c:\WORK\x`: denied, `C:\work\..\x`: denied, `C:\x`: neither,
			`D:\work\x`: neither, `C:work\x`: denied, `\work\x`: denied, "/work/x": denied, `C:\work.\x`: denied, `C:\work::$INDEX_ALLOCATION\x`: denied,
			`C:\work\x:stream`: denied, `\\?\C:\work\x`: denied, `\\.\C:\work\x`: denied, `\\localhost\C$\work`: denied, `C:\WORK~1\x`: denied, "x": denied,
			`C:\workshop`: neither, `C:\work \x`: denied,
		},
		`C:\work\`:      {`C:\work`: denied, `C:\work\x`: both},
		`\\host\share`:  {`\\host\share\x`: both, `//host/share/x`: both, `\\HOST\share\x`: denied, `\\host\other`: neither, `C:\share`: neither, "/host/share": denied},
		"/odd%20prefix": {"/odd%20prefix/x": denied, "/even": neither},
	} {
		for given, want := range paths {
			got := neither
			switch d, a := underPrefix(t, prefix, given); {
			case d && a:
				got = both
			case d:
				got = denied
			case a:
				got = "allowed alone"
			}
			if got != want {
				t.Errorf("%q under %q: got %s, want %s", approval.Display(given, 60), prefix, got, want)
			}
		}
	}
}

// A path may be relative to what another field says.
func TestPathPrefixInSeveralFields(t *testing.T) {
	for args, want := range map[string]bool{
		`{"file":"x/y"}`:                           false,
		`{"file":["x/y","z"]}`:                     false,
		`{"file":"secret/x","directory":"config"}`: true,
		`{"file":"/srv/x","directory":"/srv"}`:     false,
	} {
		if got := entryTakes(t, "deny", "config/secret", []byte(args)); got != want {
			t.Errorf("%s: got %v", args, got)
		}
	}
}

// However many paths are given, judging them is cheap.
func TestManyPaths(t *testing.T) {
	for _, n := range []int{1000, 1001} {
		args, err := json.Marshal(map[string]any{"path": strings.Split(strings.Repeat(" /srv/x", n)[1:], " ")})
		if err != nil {
			t.Fatal(err)
		}
		denied, allowed := entryTakes(t, "deny", "/tmp", args), entryTakes(t, "allow", "/srv", args)
		if many := n > 1000; denied != many || allowed == many {
			t.Errorf("%d: denied %v, allowed %v", n, denied, allowed)
		}
	}
}

// Whatever the prefix and the path: what is let through is under the prefix by a plain reading, and
// what is under it by some reading is held.
func FuzzPathPrefix(f *testing.F) {
	for _, prefix := range []string{"/tmp", "/tmp/", "/", "./work", "~/.ssh", `C:\work`, `\\host\share`, "..", "/srv/Käse"} {
		for _, given := range []string{
			"/tmp/x", "/tmp/../etc", "/TMP/%2e%2e/x", `\tmp\..\x`, "work/x", "~/x", `c:/work/x`, `\\?\C:\x`, "/proc/self/root/x", "/．．/tmp", "/a~1/x",
			"/srv/ka\u0308se/x", "//tmp", "/tmp. /x", "file:/tmp", "/tmp/%252e", "/a\x00", "/x:y/z",
		} {
			f.Add(prefix, given)
		}
	}
	f.Fuzz(func(t *testing.T, prefix, given string) {
		quoted, err := json.Marshal(prefix)
		if err != nil || len(prefix) > 300 || len(given) > 5000 {
			return
		}
		f := file("p.yaml", "deny: [{capability: t, path_prefix: "+string(quoted)+"}]")
		if policy.Check(f).Err() != nil {
			return
		}
		denied, allowed := underPrefix(t, prefix, given)
		if allowed && !denied {
			t.Errorf("%q under %q is let through by allow, and by deny", given, prefix)
		}
		plain, isPosix := strings.HasPrefix(prefix, "/"), !strings.ContainsAny(given+prefix, `\`)
		if allowed && plain && isPosix {
			if !under(given, prefix) || slices.Contains(strings.Split(given, "/"), "..") || strings.ContainsAny(given, "\x00~") {
				t.Errorf("%q is let through under %q", given, prefix)
			}
		}
		if denied || !plain || strings.Contains(prefix, `\`) {
			return
		}
		decoded, err := url.PathUnescape(given)
		if err != nil {
			decoded = given
		}
		slashed := strings.ReplaceAll(given, `\`, "/")
		for _, reading := range []string{given, decoded, slashed, strings.ToLower(given), strings.ToUpper(given), strings.TrimRight(given, " ."), "/" + given} {
			for _, as := range []string{prefix, strings.ToLower(prefix), strings.ToUpper(prefix)} {
				if strings.HasPrefix(given, "/") && under(reading, as) || !strings.HasPrefix(given, "/") {
					t.Errorf("%q is not held under %q", given, prefix)
				}
			}
		}
	})
}

func under(given, prefix string) bool {
	given, prefix = path.Clean(given), path.Clean(prefix)
	return path.IsAbs(given) && (given == prefix || strings.HasPrefix(given, strings.TrimRight(prefix, "/")+"/"))
}
