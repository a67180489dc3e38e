package active_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
)

func files(t *testing.T, names ...string) (list []policy.File) {
	t.Helper()
	for _, name := range names {
		list = append(list, policy.File{Name: name, Data: []byte("rules: []\n")})
	}
	return list
}

func TestPrepare(t *testing.T) {
	var tooMany []string
	for i := range active.MaxFiles + 1 {
		tooMany = append(tooMany, fmt.Sprintf("f%d.yaml", i))
	}
	var tooLarge []policy.File
	for i := range 5 {
		tooLarge = append(tooLarge, policy.File{Name: fmt.Sprintf("f%d.yaml", i), Data: []byte("rules: [] #" + strings.Repeat("x", yamlfile.MaxSize-20) + "\n")})
	}
	for name, c := range map[string]struct {
		files    []policy.File
		problems bool // of its text; else it is CodeInvalid
	}{
		"none":             {nil, false},
		"too many":         {files(t, tooMany...), false},
		"too large":        {tooLarge, false},
		"no name":          {files(t, ""), false},
		"a hidden letter":  {files(t, "a\u200b.yaml"), false},
		"a name too long":  {files(t, strings.Repeat("n", 201)), false},
		"a name twice":     {files(t, "a.yaml", "a.yaml"), false},
		"a layer twice":    {files(t, "a.yaml", "x/a.yaml"), true},
		"broken":           {[]policy.File{{Name: "a.yaml", Data: []byte("rulez: []\n")}, {Name: "b.yaml", Data: []byte("\xff")}}, true},
		"a file too large": {[]policy.File{{Name: "a.yaml", Data: []byte(strings.Repeat(" ", yamlfile.MaxSize+1))}}, true},
	} {
		set, err := active.Prepare(c.files...)
		if set != nil || (problems(err) > 0) != c.problems || c.problems == (approval.CodeOf(err) == approval.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		s := &fakeStore{}
		if a, applyErr := active.Apply(t.Context(), s, active.Change{Files: c.files, By: "ana", Channel: "test"}); a.Changed || fmt.Sprint(applyErr) != fmt.Sprint(err) || s.versions != nil {
			t.Errorf("%s is applied: %v, %v", name, a.Changed, applyErr)
		}
	}
	if _, err := active.Prepare(files(t, "a.yaml", "b.yaml")...); err != nil {
		t.Error(err)
	}
}

func TestApply(t *testing.T) {
	s := &fakeStore{}
	v, err := active.Apply(t.Context(), s, active.Change{Files: []policy.File{file("a")}, By: "ana", Channel: "cli", Authenticated: true, Note: "first"})
	if err != nil || !v.Changed || v.Version != 1 || v.By != "ana" || v.Channel != "cli" || !v.Authenticated || v.Note != "first" || v.At.IsZero() {
		t.Errorf("%+v, %v", v, err)
	}
	set, err := active.Source(t.Context(), s, v.Digest)
	if err != nil || set.Layers[0] != (store.PolicyLayer{Name: "org.yaml", Text: string(file("a").Data)}) {
		t.Errorf("%+v, %v", set, err)
	}
	if again, err := active.Apply(t.Context(), s, active.Change{Files: []policy.File{file("a")}, By: "bob", Channel: "cli"}); err != nil || again.Changed || again.PolicyVersion != v.PolicyVersion {
		t.Errorf("a repeat: %+v, %v", again, err)
	}
	if there, err := active.Apply(t.Context(), s, active.Change{Files: []policy.File{file("b")}, By: "bob", Channel: "cli"}); !errors.Is(err, store.ErrPolicyChanged) || there.PolicyVersion != v.PolicyVersion {
		t.Errorf("over the wrong version: %+v, %v", there, err)
	}
	if _, err := active.Source(t.Context(), s, "nothing"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown digest: %v", err)
	}
	if _, err := active.Source(t.Context(), s, ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no digest: %v", err)
	}
}

func TestSeed(t *testing.T) {
	s := &fakeStore{}
	seed := func(files ...policy.File) (store.PolicyVersion, bool, error) {
		return active.Seed(t.Context(), s, active.Change{Files: files, By: "worker", Channel: "file"})
	}
	if v, fits, err := seed(); v.Version != 0 || !fits || err != nil {
		t.Errorf("nothing into an empty store: %+v, %v, %v", v, fits, err)
	}
	if _, _, err := seed(policy.File{Name: "a.yaml", Data: []byte("rulez: []")}); problems(err) == 0 || s.versions != nil {
		t.Errorf("broken files: %v", err)
	}
	if v, fits, err := seed(file("a")); v.Version != 1 || !fits || err != nil {
		t.Errorf("the first: %+v, %v, %v", v, fits, err)
	}
	if v, fits, err := seed(file("a")); v.Version != 1 || !fits || err != nil {
		t.Errorf("the same: %+v, %v, %v", v, fits, err)
	}
	if v, fits, err := seed(file("b")); v.Version != 1 || fits || !errors.Is(err, active.ErrNotApplied) || !strings.Contains(err.Error(), "by worker") {
		t.Errorf("what was never applied: %+v, %v, %v", v, fits, err)
	}
	apply(t, s, file("b"))
	if v, fits, err := seed(file("a")); v.Version != 2 || fits || err != nil {
		t.Errorf("what was replaced: %+v, %v, %v", v, fits, err)
	}
	if v, fits, err := seed(); v.Version != 2 || !fits || err != nil {
		t.Errorf("no files: %+v, %v, %v", v, fits, err)
	}

	for tool, want := range map[string]error{"a": nil, "b": active.ErrNotApplied} {
		s = &fakeStore{before: func(s *fakeStore) { apply(t, s, file("a")) }}
		if v, fits, err := seed(file(tool)); v.Version != 1 || fits != (want == nil) || !errors.Is(err, want) {
			t.Errorf("%s, while another is first: %+v, %v, %v", tool, v, fits, err)
		}
	}
	s = &fakeStore{away: true}
	if _, fits, err := seed(file("a")); fits || !errors.Is(err, errAway) {
		t.Errorf("without the store: %v, %v", fits, err)
	}
}

func TestNames(t *testing.T) {
	for want, given := range map[string]string{
		"a.yaml b.yaml":     "/etc/pawl/a.yaml conf/b.yaml",
		"x/a.yaml y/a.yaml": "x/a.yaml y/a.yaml",
		"":                  "",
	} {
		list := files(t, strings.Fields(given)...)
		var got []string
		for _, f := range active.Names(list) {
			got = append(got, f.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s becomes %s, want %s", given, got, want)
		}
		for i, name := range strings.Fields(given) {
			if list[i].Name != name {
				t.Errorf("the list that was given has changed: %v", list)
			}
		}
	}
}
