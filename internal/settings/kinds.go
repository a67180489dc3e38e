package settings

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// Kind is how a setting is written, and where its value goes.
type Kind struct {
	// add adds the flag, which sets the value to its default.
	add func(f *pflag.FlagSet, name, help string)
	// read reads the value in a file, and notes what is wrong with it.
	read reader
	// list says that a file has a list of what read reads.
	list bool
	// names are the fields that a file has each of these under; the flag takes name=value.
	names []string
	// wrong says what is wrong with the value, wherever it came from; "": nothing, or nobody looks.
	wrong func() string
}

// reader reads one value in a file of the folder dir, as a flag takes it. It returns false if there
// is none, or a wrong one.
type reader func(v yamlfile.Value, dir string) (string, bool)

// unless refuses values for which bad holds. The text follows the flag's name in the error.
func (k Kind) unless(bad func() bool, text string) Kind {
	k.wrong = func() string {
		if bad() {
			return text
		}
		return ""
	}
	return k
}

func Text(into *string, value string) Kind { return textKind(into, value, anyText) }

// Path is the path of a file or folder. In a file it is relative to that file's folder.
func Path(into *string, value string) Kind { return textKind(into, value, path) }

func textKind(into *string, value string, read reader) Kind {
	add := func(f *pflag.FlagSet, name, help string) { f.StringVar(into, name, value, help) }
	return Kind{add: add, read: read}
}

// Choice is one of some words.
func Choice(into *string, value string, words ...string) Kind {
	k := textKind(into, value, oneOf(words))
	k.wrong = func() string {
		if *into == value {
			return ""
		}
		return notOneOf(*into, words)
	}
	return k
}

func Yes(into *bool) Kind {
	return Kind{
		add: func(f *pflag.FlagSet, name, help string) { f.BoolVar(into, name, false, help) },
		read: func(v yamlfile.Value, _ string) (string, bool) {
			b, ok := v.Bool()
			return strconv.FormatBool(b), ok
		},
	}
}

// Number is a whole number; least and most are bounds for files.
func Number(into *int, value, least, most int) Kind {
	return Kind{
		add: func(f *pflag.FlagSet, name, help string) { f.IntVar(into, name, value, help) },
		read: func(v yamlfile.Value, _ string) (string, bool) {
			n, ok := v.Int(least, most)
			return strconv.Itoa(n), ok
		},
	}
}

// Duration is a length of time; most is a bound for files.
func Duration(into *time.Duration, value, most time.Duration) Kind {
	add := func(f *pflag.FlagSet, name, help string) { f.DurationVar(into, name, value, help) }
	return Kind{add: add, read: duration(most)}
}

// OptionalDuration is a length of time that may be given in seconds, too, and is zero where nobody
// gives it; most is a bound for files.
func OptionalDuration(into *Length, most time.Duration) Kind {
	add := func(f *pflag.FlagSet, name, help string) { f.Var(into, name, help) }
	return Kind{add: add, read: duration(most)}
}

// List is a list of texts; check, if there is one, says what is wrong with an entry, and hint how
// to mend it in a file.
func List(into *[]string, check func(string) error, hint string) Kind {
	k := Kind{add: listFlag(into), list: true, read: anyText}
	if check == nil {
		return k
	}
	k.read = func(v yamlfile.Value, _ string) (string, bool) {
		s, ok := v.Text()
		if !ok {
			return "", false
		}
		err := check(s)
		if err != nil {
			v.Problem(err.Error(), hint)
		}
		return s, err == nil
	}
	k.wrong = func() string {
		for _, s := range *into {
			if err := check(s); err != nil {
				return err.Error()
			}
		}
		return ""
	}
	return k
}

// Paths is a list of paths. In a file they are relative to that file's folder.
func Paths(into *[]string) Kind { return Kind{add: listFlag(into), list: true, read: path} }

// Choices is a list of words, one of them where nobody gives any. A flag takes several between
// commas.
func Choices(into *[]string, value string, words ...string) Kind {
	add := func(f *pflag.FlagSet, name, help string) { f.StringSliceVar(into, name, []string{value}, help) }
	wrong := func() string {
		for _, s := range *into {
			if text := notOneOf(s, words); text != "" {
				return text
			}
		}
		return ""
	}
	return Kind{add: add, list: true, read: oneOf(words), wrong: wrong}
}

// pairs is a list of name=value; a file has a text under each name, or with list a list of them.
func pairs(into *[]string, list bool, names ...string) Kind {
	return Kind{add: listFlag(into), read: anyText, list: list, names: names}
}

func listFlag(into *[]string) func(*pflag.FlagSet, string, string) {
	return func(f *pflag.FlagSet, name, help string) { f.StringArrayVar(into, name, nil, help) }
}

func anyText(v yamlfile.Value, _ string) (string, bool) { return v.Text() }

func path(v yamlfile.Value, dir string) (string, bool) {
	s, ok := v.Text()
	return within(dir, s), ok
}

func duration(most time.Duration) reader {
	return func(v yamlfile.Value, _ string) (string, bool) {
		d, ok := v.Duration(approval.Duration(most))
		return d.Std().String(), ok
	}
}

func oneOf(words []string) reader {
	return func(v yamlfile.Value, _ string) (string, bool) {
		s, ok := v.Text()
		if ok && !slices.Contains(words, s) {
			v.Problem(fmt.Sprintf("%q is not known here", approval.Display(s, 40)), "use "+strings.Join(words, ", "))
			return "", false
		}
		return s, ok
	}
}

func notOneOf(s string, words []string) string {
	if slices.Contains(words, s) {
		return ""
	}
	most, last := words[:len(words)-1], words[len(words)-1]
	return fmt.Sprintf("%q is not %s or %s", approval.Display(s, 40), strings.Join(most, ", "), last)
}

// within makes a path of a file relative to the file's folder.
func within(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// Length is a flag that takes "90s", "24h" or seconds.
type Length approval.Duration

// String is empty: zero is not a default worth showing.
func (l *Length) String() string { return "" }
func (l *Length) Type() string   { return "duration" }

func (l *Length) Set(s string) error {
	d, err := approval.ParseDuration(s)
	*l = Length(d)
	return err
}

// setFlag marks the flag as changed, too: its value was chosen by somebody.
func setFlag(f *pflag.Flag, values []string) error {
	f.Changed = true
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(values)
	}
	err := f.Value.Set(values[0])
	switch {
	case err == nil:
		return nil
	case f.Value.Type() == "bool":
		return errors.New("use true or false")
	case f.Value.Type() == "duration":
		return errors.New(`use a form like "90s", "30m", "24h"`)
	}
	return err
}
