package shellvars

import (
	"strings"

	"berth/internal/ipam"
)

// parser reads one file.
type parser struct {
	*reading
	path string
	text string
	pos  int

	line, lineStart, counted int // the line that text[counted] is on, from 1
}

// at is the place of a byte. Places are asked for in order, nearly.
func (p *parser) at(offset int) ipam.Source {
	if offset < p.lineStart {
		p.line, p.lineStart, p.counted = 1, 0, 0
	}
	for p.counted < offset {
		if p.text[p.counted] == '\n' {
			p.line, p.lineStart = p.line+1, p.counted+1
		}
		p.counted++
	}
	return ipam.Source{File: p.path, Line: p.line, Col: offset - p.lineStart + 1}
}

func (p *parser) problem(offset int, hint, format string, args ...any) *ipam.Problem {
	return problem(p.at(offset), hint, format, args...)
}

// peek is the next byte, 0 at the end: the text holds no other.
func (p *parser) peek() byte { return p.ahead(0) }

func (p *parser) ahead(n int) byte {
	if p.pos+n >= len(p.text) {
		return 0
	}
	return p.text[p.pos+n]
}

// blanks skips what separates words.
func (p *parser) blanks() {
	for {
		switch {
		case p.peek() == ' ' || p.peek() == '\t':
			p.pos++
		case p.peek() == '\\' && p.ahead(1) == '\n':
			p.pos += 2
		default:
			return
		}
	}
}

// word is one word of a command, with its quotes removed and its variables replaced.
type word struct {
	begin int    // of its first byte
	name  string // of an assignment NAME=text; else ""
	text  string
	bare  string // as it is written; keywords are none in quotes

	value int  // where the text's first byte stands
	exact bool // the text stands there byte by byte
}

// whole is the word where it is no assignment although it looks like one.
func (w word) whole() string {
	if w.name != "" {
		return w.name + "=" + w.text
	}
	return w.text
}

// word reads one; the refusal says why it has no meaning here.
func (p *parser) word() (word, *ipam.Problem) {
	w := &word{begin: p.pos, exact: true}
	if n := nameLength(p.text[p.pos:]); n > 0 && p.ahead(n) == '=' {
		w.name = p.text[p.pos : p.pos+n]
		p.pos += n + 1
		if p.peek() == '(' {
			return *w, p.problem(p.pos, "write one value: "+w.name+`="…"`, "lists are not understood")
		}
	}
	w.value = p.pos
	for {
		c := p.peek()
		var bad *ipam.Problem
		switch {
		case isEnd(c):
			w.bare = p.text[w.begin:p.pos]
			return *w, nil
		case c == '\'':
			bad = p.single(w)
		case c == '"':
			bad = p.double(w)
		case c == '\\' && p.ahead(1) == '\n':
			p.pos += 2
		case c == '\\' && p.ahead(1) == 0:
			bad = p.problem(p.pos, "delete it, or write the line that it joins", "the file ends with a backslash")
		case c == '\\':
			p.pos++
			bad = p.literal(w)
		case c == '$':
			bad = p.expand(w, false)
		case c == '`':
			bad = p.problem(p.pos, "write the value itself", "a command stands in backquotes, which only a shell could run")
		case c == '~' && w.name != "" && (p.pos == w.value || p.text[p.pos-1] == ':'):
			bad = p.problem(p.pos, "write the whole path", "~ stands for a home folder, which is not looked up")
		default:
			bad = p.literal(w)
		}
		if bad != nil {
			return *w, bad
		}
	}
}

// isEnd reports whether a byte ends a word that is not quoted (§2.3).
func isEnd(c byte) bool { return c == 0 || strings.IndexByte(" \t\n;&|<>()", c) >= 0 }

// nameLength is how long the name is that a text begins with; 0 for none (§3.235 of the definitions).
func nameLength(text string) int {
	for i := range len(text) {
		c := text[i]
		if c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9' {
			continue
		}
		return i
	}
	return len(text)
}

// literal takes the next byte as it is.
func (p *parser) literal(w *word) *ipam.Problem {
	if w.text == "" {
		w.value = p.pos
	}
	// A line that ends within a value makes columns meaningless.
	if p.pos != w.value+len(w.text) || p.text[p.pos] == '\n' {
		w.exact = false
	}
	w.text += p.text[p.pos : p.pos+1]
	p.pos++
	return p.bounded(w)
}

func (p *parser) bounded(w *word) *ipam.Problem {
	if len(w.text) > maxValue {
		return p.problem(w.begin, "is a quote missing?", "the value is longer than %d bytes", maxValue)
	}
	return nil
}

// single takes what stands in single quotes (§2.2.2).
func (p *parser) single(w *word) *ipam.Problem {
	end := strings.IndexByte(p.text[p.pos+1:], '\'')
	if end < 0 {
		return p.open("'")
	}
	p.pos++
	for range end {
		if bad := p.literal(w); bad != nil {
			return bad
		}
	}
	p.pos++
	return nil
}

// double takes what stands in double quotes (§2.2.3).
func (p *parser) double(w *word) *ipam.Problem {
	begin := p.pos
	p.pos++
	for {
		var bad *ipam.Problem
		switch c := p.peek(); {
		case c == 0:
			p.pos = begin
			return p.open(`"`)
		case c == '"':
			p.pos++
			return nil
		case c == '`':
			bad = p.problem(p.pos, "write the value itself", "a command stands in backquotes, which only a shell could run")
		case c == '$':
			bad = p.expand(w, true)
		case c == '\\' && p.ahead(1) == '\n':
			p.pos += 2
		case c == '\\' && p.ahead(1) != 0 && strings.IndexByte("$`\"\\", p.ahead(1)) >= 0:
			p.pos++
			bad = p.literal(w)
		default:
			bad = p.literal(w)
		}
		if bad != nil {
			return bad
		}
	}
}

// open refuses a quote that nothing closes, and with it all that follows.
func (p *parser) open(quote string) *ipam.Problem {
	bad := p.problem(p.pos, "close it with "+quote+" behind the value", "nothing closes this quote")
	p.pos = len(p.text)
	return bad
}
