package shellvars

import (
	"strings"

	"berth/internal/ipam"
)

// command reads the next command and carries it out; false at the end.
func (p *parser) command() bool {
	p.blanks()
	switch c := p.peek(); c {
	case 0:
		return false
	case '\n':
		p.pos++
		return true
	case '#':
		p.restOfLine()
		return true
	}
	if bad := p.simple(); bad != nil {
		p.add(bad)
		p.restOfLine()
	}
	return true
}

// restOfLine goes to the line's end.
func (p *parser) restOfLine() {
	if end := strings.IndexByte(p.text[p.pos:], '\n'); end >= 0 {
		p.pos += end
		return
	}
	p.pos = len(p.text)
}

// simple carries out one command and takes what ends it. Assignments are made as they are
// read: the next one on the line may refer to them.
func (p *parser) simple() *ipam.Problem {
	var words []word
	for {
		p.blanks()
		if isEnd(p.peek()) || p.peek() == '#' {
			break
		}
		w, bad := p.word()
		if bad != nil {
			return bad
		}
		words = append(words, w)
		if bad := p.take(words); bad != nil {
			return bad
		}
	}
	first := word{begin: p.pos}
	if len(words) > 0 {
		first = words[0]
	}
	if test, ok := isTest(words); ok {
		return p.conditional(first, test)
	}
	if bad := p.ending(len(words) == 0); bad != nil {
		return bad
	}
	if isKeyword(first, ".", "source") {
		if len(words) != 2 {
			return p.problem(first.begin, "write . FILE", "%s wants the name of one file", first.text)
		}
		return p.source(words[1], false)
	}
	return nil
}

// take looks at the last of the words that a command has so far.
func (p *parser) take(words []word) *ipam.Problem {
	w, first := words[len(words)-1], words[0]
	switch {
	case first.name != "" && w.name == "":
		return p.refuseCommand(words)
	case w.name != "" && (first.name != "" || isKeyword(first, "export")):
		p.set(w)
		return nil
	case isKeyword(first, "export") && len(words) > 1:
		if nameLength(w.text) != len(w.text) || w.text == "" {
			return p.problem(w.begin, "write export NAME=value", "%q is no variable's name", w.text)
		}
		return nil
	case isKeyword(first, "export", ".", "source", "[", "test", ":", "true"):
		return nil
	case isKeyword(first, "if", "for", "while", "until", "case", "select", "function", "{", "}", "!", "then", "else", "elif", "fi", "do", "done", "esac"):
		bad := p.problem(first.begin, "write the NAME=value lines alone, as they shall be in force", "%q begins what only a shell could decide", first.text)
		p.pos = len(p.text) // what follows may be meant or not
		return bad
	case len(words) == 1 && p.startsFunction():
		bad := p.problem(first.begin, "delete the function", "the function %s could only be run by a shell", first.text)
		p.pos = len(p.text)
		return bad
	}
	return p.notAssigned(first)
}

// set makes an assignment.
func (p *parser) set(w word) {
	p.vars.set(Var{Name: w.name, Value: w.text, At: p.at(w.begin), value: p.at(w.value), exact: w.exact})
}

// refuseCommand refuses a word behind an assignment, which a shell would run as a command.
func (p *parser) refuseCommand(words []word) *ipam.Problem {
	w, before := words[len(words)-1], words[len(words)-2]
	// The blank, which one sees least, stands between them.
	if before.bare == before.name+"=" {
		return p.problem(before.begin, "write "+before.name+`="`+w.text+`"`, "a blank stands behind %s=: a shell would run %q as a command", before.name, w.text)
	}
	return p.problem(w.begin, "write "+before.name+`="`+before.text+" "+w.text+`", or # before a comment`, "a shell would run %q as a command", w.text)
}

// notAssigned refuses a command.
func (p *parser) notAssigned(first word) *ipam.Problem {
	n := nameLength(first.bare)
	rest := p.text[p.pos:]
	after := strings.TrimLeft(rest, " \t")
	switch {
	case n > 0 && n == len(first.bare) && strings.HasPrefix(after, "="):
		value, _, _ := strings.Cut(strings.TrimLeft(after[1:], " \t"), "\n")
		return p.problem(first.begin, "write "+first.bare+"="+clip(value), "a blank stands before the =: a shell would run %q as a command", first.bare)
	case n > 0 && strings.HasPrefix(first.bare[n:], "+="):
		return p.problem(first.begin, "write "+first.bare[:n]+`="$`+first.bare[:n]+`…"`, "+= is not understood by every shell")
	case n > 0 && strings.HasPrefix(first.bare[n:], ":"):
		return p.problem(first.begin, "write "+first.bare[:n]+`="…"`, "this is no assignment: = is missing")
	case n == 0 && first.bare != "" && strings.Contains(first.bare, "="):
		name, _, _ := strings.Cut(first.bare, "=")
		return p.problem(first.begin, "a name has letters, digits and underscores, and begins with none of the digits", "%q is no variable's name", clip(name))
	case n > 0 && n < len(first.bare) && strings.Contains(first.bare, "="):
		name, _, _ := strings.Cut(first.bare, "=")
		return p.problem(first.begin, "a name has letters, digits and underscores", "%q is no variable's name", clip(name))
	}
	return p.problem(first.begin, "only NAME=value lines are read here; delete the line, or put # before it", "%q is a command, which only a shell could run", clip(first.text))
}

func (p *parser) startsFunction() bool {
	return strings.HasPrefix(strings.TrimLeft(p.text[p.pos:], " \t"), "(")
}

// ending takes what ends a command: a new line or a semicolon.
func (p *parser) ending(empty bool) *ipam.Problem {
	switch c := p.peek(); {
	case c == ';' && empty:
		return p.problem(p.pos, "delete it", "nothing stands before the semicolon")
	case c == ';':
		p.pos++
	case c == '\n' || c == '#' || c == 0:
	default:
		return p.problem(p.pos, "put values with such characters in quotes", "%q joins commands, which only a shell could run", string(c))
	}
	return nil
}

// isKeyword reports whether a word, written without quotes, is one of names.
func isKeyword(w word, names ...string) bool {
	for _, name := range names {
		if w.bare == name {
			return true
		}
	}
	return false
}

// clip shortens what is quoted in a message.
func clip(text string) string {
	const enough = 60
	if len(text) > enough {
		return text[:enough] + "…"
	}
	return text
}
