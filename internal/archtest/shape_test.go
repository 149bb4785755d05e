package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"unicode"
)

// longestFile is how many lines a file that is no test may have.
const longestFile = 400

func checkLength(t *tree) []breach {
	var found []breach
	for _, s := range t.sources {
		if lines := bytes.Count(s.text, []byte("\n")); !s.isTest() && lines > longestFile {
			found = append(found, s.breach(s.file, "%d lines", lines))
		}
	}
	return found
}

// emptyNames say nothing about what is inside.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "misc", "base", "lib"}

func checkNames(t *tree) []breach {
	var found []breach
	for dir, sources := range t.packages() {
		if name := sources[0].file.Name.Name; slices.Contains(emptyNames, name) || slices.Contains(emptyNames, path.Base(dir)) {
			found = append(found, sources[0].breach(sources[0].file, "package %s in %s", name, dir))
		}
	}
	return found
}

// checkPackageDoc wants one comment for a package, in the file named like it; main's is
// main.go.
func checkPackageDoc(t *tree) []breach {
	var found []breach
	for dir, sources := range t.packages() {
		home := path.Join(dir, sources[0].file.Name.Name+".go")
		has := false
		for _, s := range sources {
			switch {
			case s.file.Doc == nil:
			case s.path == home:
				has = true
			default:
				found = append(found, s.breach(s.file, "the comment of the package belongs into %s", home))
			}
		}
		if !has {
			found = append(found, breach{home, "the package has no comment there"})
		}
	}
	return found
}

func checkDoc(t *tree) []breach {
	var found []breach
	for _, s := range t.sources {
		if s.isTest() || s.file.Name.Name == "main" {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && hasExportedReceiver(d) {
					found = append(found, s.breach(d, "func %s has no comment", d.Name.Name))
				}
			case *ast.GenDecl:
				for _, name := range undocumented(d) {
					found = append(found, s.breach(name, "%s has no comment", name.Name))
				}
			}
		}
	}
	return found
}

// hasExportedReceiver reports whether godoc shows the function: it is none of a hidden type's methods.
func hasExportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	kind := f.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k.IsExported()
		default:
			return true
		}
	}
}

// undocumented are the exported names of a declaration without a comment: their own, one
// at the end of the line, or that of the whole group of constants or variables.
func undocumented(d *ast.GenDecl) []*ast.Ident {
	var names []*ast.Ident
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && spec.Doc == nil && (d.Doc == nil || d.Lparen != token.NoPos) {
				names = append(names, spec.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// workplace is a path of somebody's own machine.
var workplace = regexp.MustCompile(`(^|[\s"'(=:` + "`" + `])/(work|home|Users)/[A-Za-z]`)

func checkWorkplaces(t *tree) []breach {
	var found []breach
	look := func(name string, text []byte) {
		for i, line := range bytes.Split(text, []byte("\n")) {
			if workplace.Match(line) {
				found = append(found, breach{fmt.Sprintf("%s:%d", name, i+1), "path of a workplace"})
			}
		}
	}
	for _, s := range t.sources {
		look(s.path, s.text)
	}
	for name, text := range t.texts {
		look(name, text)
	}
	return found
}

// checkEnglish takes a letter beyond ASCII for a word of another language; the µ of a
// microsecond, which Unicode has twice, is none. Tests may feed anything to the programs.
func checkEnglish(t *tree) []breach {
	return t.code(func(s *source) []breach {
		var found []breach
		for i, line := range bytes.Split(s.text, []byte("\n")) {
			for _, r := range string(line) {
				if r > unicode.MaxASCII && r != 'µ' && r != '\u03bc' && unicode.IsLetter(r) {
					found = append(found, breach{fmt.Sprintf("%s:%d", s.path, i+1), fmt.Sprintf("letter %q", r)})
					break
				}
			}
		}
		return found
	})
}
