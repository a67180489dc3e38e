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
	// read reads the value in a file of the folder dir, and notes what is wrong with it. It returns
	// what to set the flag to; nothing: it is not there, or wrong.
	read func(v yamlfile.Value, dir string) []string
	// wrong says what is wrong with the value, wherever it came from. Nothing: it is good.
	wrong func() string
}

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

// Text is any text.
func Text(into *string, value string) Kind {
	return Kind{
		add:  func(f *pflag.FlagSet, name, help string) { f.StringVar(into, name, value, help) },
		read: func(v yamlfile.Value, _ string) []string { return one(v.Text()) },
	}
}

// Path is the path of a file or folder. In a file it is relative to that file's folder.
func Path(into *string, value string) Kind {
	k := Text(into, value)
	k.read = func(v yamlfile.Value, dir string) []string {
		s, ok := v.Text()
		return one(within(dir, s), ok)
	}
	return k
}

// Choice is one of some words.
func Choice[T ~string](into *T, value T, words ...T) Kind {
	return Kind{
		add: func(f *pflag.FlagSet, name, help string) {
			*into = value
			f.Var(word[T]{into}, name, help)
		},
		read: func(v yamlfile.Value, _ string) []string {
			s, ok := v.Text()
			return one(s, ok && oneOf(v, s, words))
		},
		wrong: func() string { return notOneOf(*into, words) },
	}
}

// word is the flag of a Choice.
type word[T ~string] struct{ into *T }

func (w word[T]) String() string { return string(*w.into) }
func (w word[T]) Type() string   { return "string" }

func (w word[T]) Set(s string) error {
	*w.into = T(s)
	return nil
}

// Yes is true or false, and false where nobody says it.
func Yes(into *bool) Kind {
	return Kind{
		add: func(f *pflag.FlagSet, name, help string) { f.BoolVar(into, name, false, help) },
		read: func(v yamlfile.Value, _ string) []string {
			b, ok := v.Bool()
			return one(strconv.FormatBool(b), ok)
		},
	}
}

// Number is a whole number; least and most are bounds for files.
func Number(into *int, value, least, most int) Kind {
	return Kind{
		add: func(f *pflag.FlagSet, name, help string) { f.IntVar(into, name, value, help) },
		read: func(v yamlfile.Value, _ string) []string {
			n, ok := v.Int(least, most)
			return one(strconv.Itoa(n), ok)
		},
	}
}

// Duration is a length of time; most is a bound for files.
func Duration(into *time.Duration, value, most time.Duration) Kind {
	return Kind{
		add:  func(f *pflag.FlagSet, name, help string) { f.DurationVar(into, name, value, help) },
		read: readDuration(most),
	}
}

// OptionalDuration is a length of time that may be given in seconds, too, and is zero where nobody
// gives it.
func OptionalDuration(into *Length, most time.Duration) Kind {
	return Kind{
		add:  func(f *pflag.FlagSet, name, help string) { f.Var(into, name, help) },
		read: readDuration(most),
	}
}

func readDuration(most time.Duration) func(yamlfile.Value, string) []string {
	return func(v yamlfile.Value, _ string) []string {
		d, ok := v.Duration(approval.Duration(most))
		return one(d.Std().String(), ok)
	}
}

// List is a list of texts; check, if there is one, says what is wrong with an entry, and hint how to
// mend it in a file.
func List(into *[]string, check func(string) error, hint string) Kind {
	return Kind{
		add: func(f *pflag.FlagSet, name, help string) { f.StringArrayVar(into, name, nil, help) },
		read: func(v yamlfile.Value, _ string) (values []string) {
			for _, entry := range entries(v) {
				s, ok := entry.Text()
				if !ok {
					continue
				}
				if check != nil {
					if err := check(s); err != nil {
						entry.Problem(err.Error(), hint)
						continue
					}
				}
				values = append(values, s)
			}
			return values
		},
		wrong: func() string {
			for _, s := range *into {
				if check == nil {
					break
				}
				if err := check(s); err != nil {
					return err.Error()
				}
			}
			return ""
		},
	}
}

// Paths is a list of paths. In a file they are relative to that file's folder.
func Paths(into *[]string) Kind {
	k := List(into, nil, "")
	texts := k.read
	k.read = func(v yamlfile.Value, dir string) []string {
		paths := texts(v, dir)
		for i, path := range paths {
			paths[i] = within(dir, path)
		}
		return paths
	}
	return k
}

// Choices is a list of words, one of them where nobody gives any. A flag takes several between commas.
func Choices(into *[]string, value string, words ...string) Kind {
	return Kind{
		add: func(f *pflag.FlagSet, name, help string) { f.StringSliceVar(into, name, []string{value}, help) },
		read: func(v yamlfile.Value, _ string) (values []string) {
			for _, entry := range entries(v) {
				if s, ok := entry.Text(); ok && oneOf(entry, s, words) {
					values = append(values, s)
				}
			}
			return values
		},
		wrong: func() string {
			for _, s := range *into {
				if text := notOneOf(s, words); text != "" {
					return text
				}
			}
			return ""
		},
	}
}

// pairs is a list of name=value. A file has the names as fields, and under each what values reads.
func pairs(into *[]string, names []string, values func(yamlfile.Value) []string) Kind {
	k := List(into, nil, "")
	k.read = func(v yamlfile.Value, _ string) (pairs []string) {
		m := v.Mapping()
		defer m.Done()
		for _, name := range names {
			for _, value := range values(m.Field(name)) {
				pairs = append(pairs, name+"="+value)
			}
		}
		return pairs
	}
	return k
}

func oneText(v yamlfile.Value) []string { return one(v.Text()) }

func texts(v yamlfile.Value) []string { return List(new([]string), nil, "").read(v, "") }

func entries(v yamlfile.Value) []yamlfile.Value {
	list, _ := v.List()
	return list
}

func one(s string, ok bool) []string {
	if !ok {
		return nil
	}
	return []string{s}
}

func oneOf[T ~string](v yamlfile.Value, s string, words []T) bool {
	known := slices.Contains(words, T(s))
	if !known {
		v.Problem(fmt.Sprintf("%q is not known here", approval.Display(s, 40)), "use "+joined(words, ", "))
	}
	return known
}

func notOneOf[T ~string](s T, words []T) string {
	if slices.Contains(words, s) {
		return ""
	}
	most, last := words[:len(words)-1], words[len(words)-1]
	return fmt.Sprintf("%q is not %s or %s", approval.Display(string(s), 40), joined(most, ", "), last)
}

func joined[T ~string](words []T, by string) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, by)
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
