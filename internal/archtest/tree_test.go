package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "berth"

// source is one Go file.
type source struct {
	path string // from the root of the repository, with slashes
	text []byte
	set  *token.FileSet
	file *ast.File
}

func parseSource(name string, text []byte) (*source, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments)
	return &source{path: name, text: text, set: set, file: file}, err
}

// dir is the folder of the file, which is its package's import path without the module.
func (s *source) dir() string { return path.Dir(s.path) }

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// isLinux reports whether only Linux compiles the file, by its name.
func (s *source) isLinux() bool {
	return strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(s.path, ".go"), "_test"), "_linux")
}

// imports are the paths with the node that says where.
func (s *source) imports() map[string]ast.Node {
	paths := make(map[string]ast.Node)
	for _, spec := range s.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths[p] = spec
		}
	}
	return paths
}

// nameOf is what the file calls an imported package, "" when it does not import it.
func (s *source) nameOf(imported string) string {
	for _, spec := range s.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err != nil || p != imported {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(imported)
	}
	return ""
}

// selectors are the NAMEs of every imported.NAME in the file, with where.
func (s *source) selectors(imported string) map[*ast.SelectorExpr]string {
	name := s.nameOf(imported)
	found := make(map[*ast.SelectorExpr]string)
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && name != "" && x.Name == name && x.Obj == nil {
			found[sel] = sel.Sel.Name
		}
		return true
	})
	return found
}

// breach is a place that does not keep a rule.
type breach struct {
	at   string // file:line
	what string
}

func (s *source) breach(at ast.Node, format string, args ...any) breach {
	return breach{fmt.Sprintf("%s:%d", s.path, s.set.Position(at.Pos()).Line), fmt.Sprintf(format, args...)}
}

// tree is the whole repository.
type tree struct {
	sources []*source
	texts   map[string][]byte // every other text file, by path
}

// packages groups the sources by folder, without the tests.
func (t *tree) packages() map[string][]*source {
	all := make(map[string][]*source)
	for _, s := range t.sources {
		if !s.isTest() {
			all[s.dir()] = append(all[s.dir()], s)
		}
	}
	return all
}

// code visits what is part of the programs: tests and their helpers are not.
func (t *tree) code(visit func(*source) []breach) []breach {
	var found []breach
	for _, s := range t.sources {
		if !s.isTest() && !isHelper(s.dir()) && !isUnder(s.dir(), "test") {
			found = append(found, visit(s)...)
		}
	}
	return found
}

// tests visits the test files.
func (t *tree) tests(visit func(*source) []breach) []breach {
	var found []breach
	for _, s := range t.sources {
		if s.isTest() {
			found = append(found, visit(s)...)
		}
	}
	return found
}

// isUnder reports whether a folder is parent or inside it.
func isUnder(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

// loadTree reads the repository that the test runs in.
func loadTree(t *testing.T) *tree {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			t.Fatal("no go.mod above the test")
		}
		root = filepath.Dir(root)
	}
	loaded := &tree{texts: make(map[string][]byte)}
	skip := []string{".git", ".cache", "dist", "vendor"}
	err = fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skip, d.Name()):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			return err
		}
		if path.Ext(p) != ".go" {
			if head := data[:min(len(data), 8000)]; !bytes.Contains(head, []byte{0}) {
				loaded.texts[p] = data
			}
			return nil
		}
		s, err := parseSource(p, data)
		if err != nil {
			return err
		}
		loaded.sources = append(loaded.sources, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.sources) < 100 {
		t.Fatalf("only %d Go files: this is not the repository", len(loaded.sources))
	}
	return loaded
}
