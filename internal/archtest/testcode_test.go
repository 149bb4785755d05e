package archtest

import (
	"go/ast"
	"strings"
)

// sleepExceptions are the tests that may sleep otherwise, with the reason.
var sleepExceptions = map[string]string{
	"internal/dhcp4/kernel_linux_test.go": "while its interface is down a client sends again, after the time in which it would have heard something",
}

// checkSleep allows two sleeps in a test: on the fake clock of testing/synctest, where it
// takes no time, and between two looks of a loop, which ends as soon as it has seen enough.
func checkSleep(t *tree) []breach {
	return t.tests(func(s *source) []breach {
		if s.nameOf("testing/synctest") != "" || sleepExceptions[s.path] != "" {
			return nil
		}
		polls := make(map[ast.Node]bool)
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.ForStmt, *ast.RangeStmt:
				ast.Inspect(n, func(inner ast.Node) bool {
					polls[inner] = true
					return true
				})
			}
			return true
		})
		var found []breach
		for sel, name := range s.selectors("time") {
			if name == "Sleep" && !polls[sel] {
				found = append(found, s.breach(sel, "time.Sleep"))
			}
		}
		return found
	})
}

// checkSkip finds a test's own ways to be skipped: Skip, Skipf and SkipNow of what is called t, b, f or tb.
func checkSkip(t *tree) []breach {
	var found []breach
	for _, s := range t.sources {
		if isUnder(s.dir(), "internal/netnstest") || s.nameOf("testing") == "" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(sel.Sel.Name, "Skip") {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && strings.Contains(" t b f tb ", " "+x.Name+" ") {
				found = append(found, s.breach(call, "%s.%s", x.Name, sel.Sel.Name))
			}
			return true
		})
	}
	return found
}
