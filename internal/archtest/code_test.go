package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

func checkInit(t *tree) []breach {
	var found []breach
	for _, s := range t.sources {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				found = append(found, s.breach(f, "func init"))
			}
		}
	}
	return found
}

func checkPanic(t *tree) []breach {
	return t.code(func(s *source) []breach {
		var found []breach
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "panic" && f.Obj == nil {
					found = append(found, s.breach(call, "panic"))
				}
			}
			return true
		})
		return found
	})
}

// makers give values that nobody can change afterwards.
var makers = map[string][]string{
	"errors":     {"New"},
	"fmt":        {"Errorf"},
	"regexp":     {"MustCompile"},
	"hash/crc32": {"MakeTable"},
	"net/netip":  {"AddrFrom4", "AddrFrom16", "MustParseAddr", "MustParsePrefix", "PrefixFrom", "IPv4Unspecified", "IPv6Unspecified"},
	"strings":    {"NewReplacer"},
}

// variableExceptions are package variables that are none of the allowed kinds, with the reason.
var variableExceptions = map[string]string{
	"cmd/berth.version": "the linker stamps it (-X main.version), which works for variables only",
}

// checkVariables allows a package variable that Go does not let be a constant: made by
// one of the makers, an array or struct value, an embedded file, or the blank one; and
// no statement of the package may write to it or take its address.
func checkVariables(t *tree) []breach {
	var found []breach
	for dir, sources := range t.packages() {
		if isHelper(dir) || isUnder(dir, "test") {
			continue
		}
		var names []string
		for _, s := range sources {
			for _, d := range s.file.Decls {
				decl, ok := d.(*ast.GenDecl)
				if !ok || decl.Tok != token.VAR {
					continue
				}
				for _, spec := range decl.Specs {
					v := spec.(*ast.ValueSpec)
					for i, name := range v.Names {
						names = append(names, name.Name)
						if variableExceptions[dir+"."+name.Name] == "" && !s.isConstantLike(decl, v, i) {
							found = append(found, s.breach(name, "var %s could change", name.Name))
						}
					}
				}
			}
		}
		for _, s := range sources {
			found = append(found, s.writes(names)...)
		}
	}
	return found
}

func (s *source) isConstantLike(decl *ast.GenDecl, v *ast.ValueSpec, i int) bool {
	if v.Names[i].Name == "_" || hasEmbed(decl.Doc) || hasEmbed(v.Doc) {
		return true
	}
	if i >= len(v.Values) {
		return false
	}
	switch value := v.Values[i].(type) {
	case *ast.CallExpr:
		return s.isMaker(value.Fun)
	case *ast.CompositeLit:
		switch kind := value.Type.(type) {
		case *ast.ArrayType:
			return kind.Len != nil // a slice's elements are anybody's
		case *ast.MapType:
			return false
		}
		return true
	}
	return false
}

func hasEmbed(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

func (s *source) isMaker(f ast.Expr) bool {
	sel, ok := f.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	for imported, functions := range makers {
		if s.nameOf(imported) == x.Name {
			return slices.Contains(functions, sel.Sel.Name)
		}
	}
	return false
}

// writes finds assignments to package variables, whole or in part, and their addresses taken.
func (s *source) writes(names []string) []breach {
	var found []breach
	check := func(e ast.Expr, verb string) {
		root := rootOf(e)
		if root == nil || !slices.Contains(names, root.Name) || root.Name == "_" || s.isLocal(root) {
			return
		}
		found = append(found, s.breach(e, "%s %s", verb, root.Name))
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if n.Tok != token.DEFINE {
					check(left, "writes to")
				}
			}
		case *ast.IncDecStmt:
			check(n.X, "writes to")
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				check(n.X, "takes the address of")
			}
		}
		return true
	})
	return found
}

// rootOf is x of x.f[i].g, or nil.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// isLocal reports whether a name is declared inside a function of the file.
func (s *source) isLocal(id *ast.Ident) bool {
	return id.Obj != nil && s.file.Scope.Lookup(id.Name) != id.Obj
}
