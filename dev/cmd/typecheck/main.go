// Command typecheck checks the types of a module's packages, with their tests, as other systems see
// them. It compiles nothing, but reads the packages and all that they import from source: 'go vet'
// compiles every dependency for each system first, which takes minutes.
//
//	typecheck MODULE-FOLDER GOOS/GOARCH…
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: typecheck MODULE-FOLDER GOOS/GOARCH…")
		os.Exit(2)
	}
	failed := false
	for _, system := range os.Args[2:] {
		n, err := check(os.Args[1], system)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s:\n%v\n", system, err)
			failed = true
			continue
		}
		fmt.Printf("types on %s: %d packages\n", system, n)
	}
	if failed {
		os.Exit(1)
	}
}

// listed is a package as 'go list' describes it. A package is listed once more with its tests.
type listed struct {
	ImportPath string
	Name       string
	Dir        string
	GoFiles    []string
	Imports    []string          // by ImportPath
	ImportMap  map[string]string // from what the source says to ImportPath
	Module     *struct {
		Main      bool
		GoVersion string
	}
	Error *struct{ Err string }

	types *types.Package
	done  chan struct{} // closed when types is there
}

func (p *listed) ours() bool { return p.Module != nil && p.Module.Main }

// check checks the module in dir, and returns how many packages of it there are.
func check(dir, system string) (int, error) {
	goos, goarch, ok := strings.Cut(system, "/")
	if !ok {
		return 0, fmt.Errorf("%q is no GOOS/GOARCH", system)
	}
	all, err := list(dir, goos, goarch)
	if err != nil {
		return 0, err
	}
	sizes := types.SizesFor("gc", goarch)
	if sizes == nil {
		return 0, fmt.Errorf("%q is no GOARCH", goarch)
	}
	byPath := map[string]*listed{"unsafe": {types: types.Unsafe, done: closed()}}
	for _, p := range all {
		p.done = make(chan struct{})
		if p.ImportPath != "unsafe" {
			byPath[p.ImportPath] = p
		}
	}
	var (
		working sync.WaitGroup
		mu      sync.Mutex
		faults  []error
		ours    int
	)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, p := range all {
		if p.ImportPath == "unsafe" {
			continue
		}
		if p.ours() {
			ours++
		}
		working.Go(func() {
			defer close(p.done)
			for _, name := range p.Imports {
				if q := byPath[name]; q != nil {
					<-q.done
				}
			}
			slots <- struct{}{}
			err := p.check(byPath, sizes)
			<-slots
			mu.Lock()
			defer mu.Unlock()
			faults = append(faults, err)
		})
	}
	working.Wait()
	if ours == 0 {
		return 0, errors.New("there is no package")
	}
	return ours, errors.Join(faults...)
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// list lists the packages of a module, their tests and all that they import.
func list(dir, goos, goarch string) (all []*listed, err error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-test",
		"-json=ImportPath,Name,Dir,GoFiles,Imports,ImportMap,Module,Error", "./...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if !strings.HasSuffix(p.ImportPath, ".test") { // a generated main
			all = append(all, &p)
		}
	}
}

// check checks one package, after those that it imports. What other modules do in their functions
// does not matter: their own authors compile them.
func (p *listed) check(byPath map[string]*listed, sizes types.Sizes) error {
	if p.Error != nil {
		return fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	var faults []error
	for _, name := range p.GoFiles {
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.Dir, name)
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		files = append(files, f)
	}
	config := types.Config{
		Importer: importer(func(name string) (*types.Package, error) {
			if mapped := p.ImportMap[name]; mapped != "" {
				name = mapped
			}
			if q := byPath[name]; q != nil && q.types != nil {
				return q.types, nil
			}
			return nil, fmt.Errorf("%s is not there", name)
		}),
		Sizes: sizes, IgnoreFuncBodies: !p.ours(),
		Error: func(err error) { faults = append(faults, err) },
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	path, _, _ := strings.Cut(p.ImportPath, " ") // what follows names the test that it is built for
	p.types, _ = config.Check(path, fset, files, nil)
	if len(faults) > 0 && !p.ours() {
		faults = nil // whoever imports what is missing there says so
	}
	return errors.Join(faults...)
}

type importer func(string) (*types.Package, error)

func (i importer) Import(path string) (*types.Package, error) { return i(path) }
