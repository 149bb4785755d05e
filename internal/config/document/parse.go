package document

import (
	"bytes"
	"errors"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"berth/internal/ipam"
)

// Parse reads data; path is the name that places carry. It reports the first error of
// syntax, where it stops, and before that every key that is set twice; the tree holds what
// could be read, and is never nil.
func Parse(path string, data []byte) (*Table, ipam.Problems) {
	b := &builder{lines: newLines(path, data), data: data, root: newTable(byHeader)}
	b.current = b.root
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return b.root, ipam.Problems{problem(b.lines.at(0),
			"save it as UTF-8 without one, or type: sed -i '1s/^\\xEF\\xBB\\xBF//' "+path, "the file begins with a byte order mark")}
	}
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		b.expression(p.Expression())
	}
	if err := p.Error(); err != nil {
		b.problems = append(b.problems, b.syntax(&p, err))
	}
	return b.root, b.problems
}

// syntax is the parser's error at the place that it highlights.
func (b *builder) syntax(p *unstable.Parser, err error) *ipam.Problem {
	at, text := b.lines.at(len(b.data)), err.Error()
	var where *unstable.ParserError
	if errors.As(err, &where) {
		at = b.lines.at(int(p.Range(where.Highlight).Offset))
	}
	return problem(at, syntaxHint(text), "%s", text)
}

// syntaxHint says what to type for the mistakes that people make.
func syntaxHint(text string) string {
	switch {
	case strings.Contains(text, "at start of value"), strings.HasPrefix(text, "expected keyword"), strings.HasPrefix(text, "expected value"):
		return `write key = "text", key = 5, key = true or key = ["a", "b"]; text stands in quotes`
	case strings.Contains(text, "close table name"), strings.Contains(text, "array table name"):
		return `a table begins with a line like [network.lxdbr0]`
	case strings.Contains(text, "after key"):
		return `write key = value, each on its own line`
	case strings.Contains(text, "string"):
		return `close the string with the quote that opened it, on the same line`
	case strings.Contains(text, "array"):
		return `close the list with ] and separate its values by commas`
	case strings.Contains(text, "UTF-8"):
		return `save the file as UTF-8`
	case strings.Contains(text, "expected newline"):
		return `write one key = value a line`
	}
	return "the file is TOML, as described at https://toml.io/en/v1.0.0"
}
