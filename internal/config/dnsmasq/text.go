package dnsmasq

import (
	"strings"
)

// text is a piece of a line, with the place of each of its bytes.
//
// A byte that stood in quotation marks and would mean something outside of them is hidden: in
// its stead stands the control character that is its index in hiddenBytes. So "3" is no
// number, and "," separates nothing, until plain is called; that is dnsmasq's own way, and it decides
// what a quoted field is taken for.
type text struct {
	s    string
	cols []uint16 // of each byte and of the end, from 1
}

// hiddenBytes are the bytes that can be hidden. Of white space, all but the blank stand at their own index.
const hiddenBytes = "\x00123456 \b\t\n78\r90abcdefABCDE\x1bF:,."

// hide is what stands for c when it is quoted.
func hide(c byte) byte {
	if i := strings.IndexByte(hiddenBytes, c); i > 0 {
		return byte(i)
	}
	return c
}

// plain is the text as it is meant.
func (t text) plain() string {
	hidden := false
	for i := range len(t.s) {
		hidden = hidden || t.s[i] < byte(len(hiddenBytes))
	}
	if !hidden {
		return t.s
	}
	b := []byte(t.s)
	for i, c := range b {
		if c < byte(len(hiddenBytes)) {
			b[i] = hiddenBytes[c]
		}
	}
	return string(b)
}

// col is the column at which the text begins.
func (t text) col() int {
	if len(t.cols) == 0 {
		return 0
	}
	return int(t.cols[0])
}

func (t text) isEmpty() bool { return t.s == "" }

// from is the text without its first n bytes.
func (t text) from(n int) text { return t.slice(n, len(t.s)) }

func (t text) slice(from, to int) text {
	if len(t.cols) == 0 {
		return t
	}
	return text{t.s[from:to], t.cols[from : to+1]}
}

// cut splits at the first separator, and drops the blanks around it. The second text is meaningless
// when there is none.
func (t text) cut(separator byte) (before, after text, found bool) {
	at := strings.IndexByte(t.s, separator)
	if at < 0 {
		return t, text{}, false
	}
	end, next := at, at+1
	for end > 0 && t.s[end-1] == ' ' {
		end--
	}
	for next < len(t.s) && t.s[next] == ' ' {
		next++
	}
	return t.slice(0, end), t.from(next), true
}

// fields splits at every comma; of an empty text there is one field, which is empty.
func (t text) fields() []text {
	var all []text
	for {
		field, rest, more := t.cut(',')
		all = append(all, field)
		if !more {
			return all
		}
		t = rest
	}
}

// cutPrefix is the text behind a prefix that is written without quotation marks.
func (t text) cutPrefix(prefix string) (text, bool) {
	if !strings.HasPrefix(t.s, prefix) {
		return t, false
	}
	return t.from(len(prefix)), true
}

func (t text) trim() text {
	from, to := 0, len(t.s)
	for from < to && t.s[from] == ' ' {
		from++
	}
	for to > from && t.s[to-1] == ' ' {
		to--
	}
	return t.slice(from, to)
}
