package shellvars

import (
	"strings"

	"berth/internal/ipam"
)

// expand takes what a dollar sign stands for (§2.6).
func (p *parser) expand(w *word, quoted bool) *ipam.Problem {
	const hint = "write the value itself"
	begin := p.pos
	name := ""
	switch c := p.ahead(1); {
	case nameLength(p.text[p.pos+1:]) > 0:
		n := nameLength(p.text[p.pos+1:])
		name = p.text[p.pos+1 : p.pos+1+n]
		p.pos += 1 + n
	case c == '{':
		end := strings.IndexAny(p.text[p.pos:], "}\n")
		if end < 0 || p.text[p.pos+end] == '\n' {
			return p.problem(begin, "write ${NAME}", "nothing closes this brace")
		}
		name = p.text[p.pos+2 : p.pos+end]
		if name == "" || nameLength(name) != len(name) {
			return p.problem(begin, hint, "${%s} is worked out by a shell only", name)
		}
		p.pos += end + 1
	case c == '(' && p.ahead(2) == '(':
		return p.problem(begin, hint, "arithmetic stands here, which only a shell could do")
	case c == '(':
		return p.problem(begin, hint, "a command stands here, which only a shell could run")
	case c != 0 && strings.IndexByte("@*#?-$!0123456789", c) >= 0:
		return p.problem(begin, hint+`, and a plain dollar sign as \$`, "$%c means something to a running shell only", c)
	case !quoted && (c == '\'' || c == '"'):
		return p.problem(begin, hint+` without the dollar sign`, "not every shell understands $%c", c)
	default:
		return p.literal(w)
	}
	value, ok := p.value(name)
	if !ok {
		return p.problem(begin, hint+": a shell would take nothing in its place", "%s is not set above", name)
	}
	if w.text == "" {
		w.value = begin
	}
	w.exact = false
	w.text += value
	return p.bounded(w)
}
