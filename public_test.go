package pawl_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPublicTypes looks at everything that package pawl and pawltest export: no function, field or
// variable there has an internal type, which its users could not name.
func TestPublicTypes(t *testing.T) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", ".", "./pawltest")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	imports := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	for _, path := range []string{module, module + "/pawltest"} {
		p, err := imports.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range p.Scope().Names() {
			if token.IsExported(name) {
				w := walk{t: t, from: p.Path() + "." + name, seen: map[types.Type]bool{}}
				w.object(p.Scope().Lookup(name))
			}
		}
	}
}

// walk goes through the types that users of an exported name get to see.
type walk struct {
	t    *testing.T
	from string
	seen map[types.Type]bool
}

func (w walk) object(o types.Object) {
	if alias, ok := o.Type().(*types.Alias); ok {
		w.typ(alias.Rhs())
	}
	w.typ(o.Type())
}

func (w walk) typ(x types.Type) {
	if x == nil || w.seen[x] {
		return
	}
	w.seen[x] = true
	switch x := x.(type) {
	case *types.Alias:
		w.named(x.Obj())
		w.args(x.TypeArgs())
	case *types.Named:
		w.named(x.Obj())
		w.args(x.TypeArgs())
		if !w.ours(x.Obj()) {
			return
		}
		for m := range x.Methods() {
			if m.Exported() {
				w.typ(m.Type())
			}
		}
		w.typ(x.Underlying())
	case *types.Signature:
		for p := range x.TypeParams().TypeParams() {
			w.typ(p.Constraint())
		}
		w.typ(x.Params())
		w.typ(x.Results())
	case *types.Tuple:
		for v := range x.Variables() {
			w.typ(v.Type())
		}
	case *types.Struct:
		for f := range x.Fields() {
			if f.Exported() || f.Embedded() {
				w.typ(f.Type())
			}
		}
	case *types.Interface:
		for m := range x.Methods() {
			w.typ(m.Type())
		}
	case *types.Map:
		w.typ(x.Key())
		w.typ(x.Elem())
	case interface{ Elem() types.Type }: // pointers, slices, arrays, channels
		w.typ(x.Elem())
	}
}

func (w walk) args(list *types.TypeList) {
	for a := range list.Types() {
		w.typ(a)
	}
}

func (w walk) ours(o *types.TypeName) bool {
	return o.Pkg() != nil && (o.Pkg().Path() == module || strings.HasPrefix(o.Pkg().Path(), module+"/"))
}

func (w walk) named(o *types.TypeName) {
	if w.ours(o) && strings.HasPrefix(o.Pkg().Path(), module+"/internal/") {
		w.t.Errorf("%s shows its users the internal type %s", w.from, o.Type())
	}
}
