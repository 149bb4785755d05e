package shellvars

import (
	"errors"
	"io/fs"
	"slices"

	"berth/internal/ipam"
)

// isTest reports whether the words are a test command, and which words it tests.
func isTest(words []word) ([]word, bool) {
	switch {
	case len(words) == 0:
		return nil, false
	case isKeyword(words[0], "test"):
		return words[1:], true
	case isKeyword(words[0], "["):
		if n := len(words); isKeyword(words[n-1], "]") {
			return words[1 : n-1], true
		}
		return nil, true
	}
	return nil, false
}

// conditional carries out the one thing that may depend on a test: to read a file if there is one.
func (p *parser) conditional(first word, test []word) *ipam.Problem {
	const hint = "write [ ! -f FILE ] || . FILE"
	negated := len(test) > 0 && isKeyword(test[0], "!")
	if negated {
		test = test[1:]
	}
	operator := ""
	if p.pos+2 <= len(p.text) {
		operator = p.text[p.pos : p.pos+2]
	}
	isThere := len(test) == 2 && isKeyword(test[0], "-f", "-e", "-r", "-s")
	if !isThere || operator != "&&" && operator != "||" || negated != (operator == "||") {
		return p.problem(first.begin, hint, "only one test is understood: whether a file that is read next is there")
	}
	p.pos += 2
	for p.blanks(); p.peek() == '\n'; p.blanks() {
		p.pos++
	}
	var words []word
	for !isEnd(p.peek()) && p.peek() != '#' {
		w, bad := p.word()
		if bad != nil {
			return bad
		}
		words = append(words, w)
		p.blanks()
	}
	if len(words) != 2 || !isKeyword(words[0], ".", "source") || words[1].whole() != test[1].whole() {
		return p.problem(first.begin, hint, "only one thing may depend on a file: to read that file")
	}
	if bad := p.ending(false); bad != nil {
		return bad
	}
	return p.source(words[1], true)
}

// source reads another file in the place of the command.
func (p *parser) source(name word, optional bool) *ipam.Problem {
	const hint = "write what it sets into this file"
	path := name.whole()
	refuse := func(format string, args ...any) *ipam.Problem { return p.problem(name.begin, hint, format, args...) }
	switch {
	case p.options.Open == nil:
		return refuse("%s is not read from here", path)
	case slices.Contains(p.inside, path):
		return refuse("%s is being read already: it would read itself for ever", path)
	case p.files >= maxFiles:
		return refuse("more than %d files are read", maxFiles)
	}
	data, err := p.options.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && optional:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return refuse("there is no %s", path)
	case err != nil:
		bad := refuse("%s: %v", path, err)
		bad.Err = err
		return bad
	}
	p.file(path, string(data))
	return nil
}
