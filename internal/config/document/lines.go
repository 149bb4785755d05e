package document

import (
	"slices"

	"berth/internal/ipam"
)

// lines finds the place of an offset in a text.
type lines struct {
	path   string
	starts []int // of each line
}

func newLines(path string, data []byte) *lines {
	l := &lines{path: path, starts: []int{0}}
	for i, c := range data {
		if c == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

// at is the place of the byte at offset; columns count bytes.
func (l *lines) at(offset int) ipam.Source {
	line, found := slices.BinarySearch(l.starts, offset)
	if !found {
		line--
	}
	return ipam.Source{File: l.path, Line: line + 1, Col: offset - l.starts[line] + 1}
}
