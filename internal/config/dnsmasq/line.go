package dnsmasq

import (
	"fmt"
	"strings"
)

// maxLine is how many bytes of a line dnsmasq reads at once; it takes the rest for a line of its own.
const maxLine = 1024

// mistake says what is wrong in a line, and where.
type mistake struct {
	col  int // from 1, in bytes
	text string
	hint string
}

func wrong(at text, hint, format string, args ...any) *mistake {
	return &mistake{at.col(), fmt.Sprintf(format, args...), hint}
}

// lex reads one line without its end: quotation marks and backslashes in them are resolved, blanks
// around it and the comment are dropped. A comment begins with "#" at the start of a line or after
// white space; the quirks behind a closing quotation mark are dnsmasq's.
func lex(line string) (text, *mistake) {
	if strings.HasPrefix(line, "\ufeff") {
		return text{}, &mistake{1, "the line begins with a byte order mark, which is not part of the text",
			"save the file as UTF-8 without one (in vim: :set nobomb)"}
	}
	b := make([]byte, 0, len(line))
	cols := make([]uint16, 0, len(line)+1)
	put := func(c byte, at int) {
		b, cols = append(b, c), append(cols, column(at))
	}
	white := true
	i := 0
	for ; i < len(line); i++ {
		if line[i] == '"' {
			end, bad := quoted(line, i, put)
			if bad != nil {
				return text{}, bad
			}
			if i = end + 1; i == len(line) {
				break
			}
			// What follows is looked at as if it were no quotation mark, whatever it is.
		}
		c := line[i]
		switch {
		case isBlank(c):
			put(' ', i)
			white = true
			continue
		case white && c == '#':
			return finish(b, cols, i)
		}
		if bad := checkByte(c, i); bad != nil {
			return text{}, bad
		}
		put(c, i)
		white = false
	}
	return finish(b, cols, i)
}

func finish(b []byte, cols []uint16, end int) (text, *mistake) {
	t := text{string(b), append(cols, column(end))}.trim()
	if int(t.cols[len(t.s)]) > maxLine+1 {
		return text{}, &mistake{maxLine + 1, fmt.Sprintf("the line is longer than %d bytes, of which no more are read", maxLine),
			"make it several lines"}
	}
	return t, nil
}

// column is where the byte at an offset stands; all beyond the longest line stand at one place.
func column(offset int) uint16 { return uint16(min(offset, maxLine+1) + 1) }

// quoted puts what stands between the quotation mark at start and the next one, and
// returns where that is.
func quoted(line string, start int, put func(byte, int)) (int, *mistake) {
	for i := start + 1; i < len(line); i++ {
		c, at := line[i], i
		if c == '"' {
			return i, nil
		}
		if c == '\\' && i+1 < len(line) && strings.IndexByte(`"tnebr\`, line[i+1]) >= 0 {
			i++
			c = escaped(line[i])
		} else if !isBlank(c) {
			if bad := checkByte(c, i); bad != nil {
				return 0, bad
			}
		}
		put(hide(c), at)
	}
	return 0, &mistake{start + 1, "the quotation mark is not closed", `end the text with another ", or write \" for the character itself`}
}

func escaped(c byte) byte {
	switch c {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'b':
		return '\b'
	case 'r':
		return '\r'
	case 'e':
		return 0x1b
	}
	return c
}

// isBlank is the C locale's isspace.
func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// checkByte refuses what dnsmasq takes for the end of the text, or for a hidden byte.
func checkByte(c byte, at int) *mistake {
	switch {
	case c == 0:
		return &mistake{at + 1, "a NUL byte stands in the line", "is this a text file? Delete the byte"}
	case c < ' ' || c == 0x7f:
		return &mistake{at + 1, fmt.Sprintf("control character 0x%02x stands in the line", c), "delete it"}
	}
	return nil
}

// statement is a line that is no comment: an option and what it is set to.
type statement struct {
	name  text
	value text
	has   bool // there is a "="
}

func split(line text) statement {
	at := strings.IndexByte(line.s, '=')
	if at < 0 {
		return statement{name: line}
	}
	end, next := at, at+1
	for end > 0 && (line.s[end-1] == ' ' || line.s[end-1] == '=') {
		end--
	}
	for next < len(line.s) && line.s[next] == ' ' {
		next++
	}
	return statement{name: line.slice(0, end), value: line.from(next), has: true}
}
