// Package settings declares once what operators can set: each setting is one row of a table, from
// which its flag, its environment variable, its place in the configuration file and its line in the
// documentation come.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

type Row struct {
	// Flag is the name of its flag. Its environment variable is PAWL_ and the name in capitals, with _
	// for -. Without a name it can be set in the file only.
	Flag string
	// Place is where it stands in the configuration file: worker.stop_timeout is the field
	// stop_timeout of the mapping worker. Without it the file can't hold it.
	Place string
	Takes Command
	Kind  Kind
	Help  string // of the flag; what stands for the value is in `quotes`
}

// Table is a list of settings and where their values go.
type Table []Row

// For returns the settings that a command takes.
func (t Table) For(c Command) Table {
	return slices.DeleteFunc(slices.Clone(t), func(r Row) bool { return r.Takes&c == 0 })
}

// Row returns the setting with this flag. It panics if there is none.
func (t Table) Row(flag string) Row {
	return t[slices.IndexFunc(t, func(r Row) bool { return r.Flag == flag })]
}

// As returns the setting under another flag, at another place, with another help.
func (r Row) As(flag, place, help string) Row {
	r.Flag, r.Place, r.Help = flag, place, help
	return r
}

// name is that of the flag, which a setting without one has, too, but hidden.
func (r Row) name() string { return cmp.Or(r.Flag, r.Place) }

func (r Row) label() string {
	if r.Flag == "" {
		return r.Place
	}
	return "--" + r.Flag
}

// AddFlags adds a flag for each setting. This sets all values to their defaults.
func (t Table) AddFlags(f *pflag.FlagSet) {
	for _, r := range t {
		r.Kind.add(f, r.name(), r.Help)
		if r.Flag == "" {
			f.Lookup(r.name()).Hidden = true
		}
	}
}

// Default gives a setting another default than its row says.
func Default(f *pflag.FlagSet, flag, value string) {
	one := f.Lookup(flag)
	if err := one.Value.Set(value); err != nil {
		panic(err) // the command line itself is wrong
	}
	one.DefValue = value
}

// Variable is the environment variable of a flag.
func Variable(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// File holds the values of a configuration file by the names of flags.
type File struct {
	Path   string // none: there is no file
	values map[string][]string
}

// ReadFile reads a configuration file, and checks every setting of the table, so that one file can
// serve several commands. Its error names every mistake with its position.
func (t Table) ReadFile(path string) (File, error) {
	var problems yamlfile.Problems
	f := File{path, map[string][]string{}}
	if data, ok := yamlfile.ReadFile(path, &problems); ok {
		f.read(yamlfile.Parse(path, data, &problems).Mapping(), "", t)
	}
	return f, problems.Err()
}

// read reads the settings of a mapping whose place is under, with a dot behind unless that is
// empty.
func (f File) read(m *yamlfile.Mapping, under string, t Table) {
	var done []string // mappings in it
	for _, r := range t {
		rest, here := strings.CutPrefix(r.Place, under)
		field, _, deeper := strings.Cut(rest, ".")
		switch {
		case rest == "" || !here || slices.Contains(done, field):
		case deeper:
			f.read(m.Field(field).Mapping(), under+field+".", t)
			done = append(done, field)
		default:
			if values := r.Kind.values(m.Field(field), filepath.Dir(f.Path)); len(values) > 0 {
				f.values[r.name()] = values
			}
		}
	}
	m.Done()
}

// values returns what to set the flag to; nothing: there is nothing, or something wrong.
func (k Kind) values(v yamlfile.Value, dir string) (values []string) {
	if k.names != nil {
		m, named := v.Mapping(), Kind{read: k.read, list: k.list}
		for _, name := range k.names {
			for _, s := range named.values(m.Field(name), dir) {
				values = append(values, name+"="+s)
			}
		}
		m.Done()
		return values
	}
	entries := []yamlfile.Value{v}
	if k.list {
		entries, _ = v.List()
	}
	for _, entry := range entries {
		if s, ok := k.read(entry, dir); ok {
			values = append(values, s)
		}
	}
	return values
}

// Set gives every setting that has no flag on the command line the value of its environment
// variable, else that of the file. Its error tells everything that is wrong.
func (t Table) Set(f *pflag.FlagSet, getenv func(string) string, file File) error {
	var problems []error
	for _, r := range t {
		flag := f.Lookup(r.name())
		if flag.Changed {
			continue
		}
		name := Variable(r.Flag)
		if value := strings.TrimSpace(getenv(name)); value != "" && r.Flag != "" {
			// The value stays out of the error: it may be a secret in the wrong place.
			if err := setFlag(flag, split(flag, value)); err != nil {
				problems = append(problems, fmt.Errorf("%s can't be used: %w", name, err))
			}
		} else if values, ok := file.values[r.name()]; ok {
			if err := setFlag(flag, values); err != nil {
				problems = append(problems, fmt.Errorf("%s: %s can't be set from it: %w", file.Path, r.label(), err))
			}
		}
	}
	return errors.Join(problems...)
}

// Check refuses values that no command could work with.
func (t Table) Check() error {
	var problems []error
	for _, r := range t {
		if r.Kind.wrong == nil {
			continue
		}
		if text := r.Kind.wrong(); text != "" {
			problems = append(problems, fmt.Errorf("%s %s", r.label(), text))
		}
	}
	return errors.Join(problems...)
}

func split(f *pflag.Flag, value string) []string {
	if _, list := f.Value.(pflag.SliceValue); !list {
		return []string{value}
	}
	var values []string
	for v := range strings.SplitSeq(value, ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, v)
		}
	}
	return values
}

const prefix = "PAWL_"

// foreign are names that begin like Pawl's and are not this program's: those of the Python client, those of
// Pawl's tests, which the processes that they start inherit, and those that Kubernetes sets for a service
// that is called pawl, or pawl-api.
var foreign = regexp.MustCompile(`^PAWL_(AGENT|DIR)$|^PAWL_TEST_|_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$` +
	`|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// Unknown says of each variable of an environment (NAME=VALUE) that begins like Pawl's, and that no
// setting of the table has, that it counts for nothing: a misspelt one would silently count as not
// set. Values stay out: they may be secrets.
func (t Table) Unknown(environment []string) (found []string) {
	var known []string
	for _, r := range t {
		known = append(known, Variable(r.Flag))
	}
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, prefix) || strings.TrimSpace(value) == "" ||
			slices.Contains(known, name) || foreign.MatchString(name) {
			continue
		}
		text := fmt.Sprintf("%s is not one of Pawl's variables", approval.Display(name, 80))
		// Short names are all near each other: the first letter must be right.
		near := yamlfile.Nearest(name, known)
		if near != "" && strings.HasPrefix(strings.ToUpper(name), near[:len(prefix)+1]) {
			text += "; did you mean " + near + "?"
		}
		found = append(found, text)
	}
	slices.Sort(found)
	return found
}
