package document

import (
	"strings"

	"berth/internal/ipam"
)

// Nearest is the one of known that word was probably meant to be, "" when none is close.
func Nearest(word string, known []string) string {
	best, least := "", max(1, min(len(word)/3, 3))+1
	for _, k := range known {
		if max(len(word)-len(k), len(k)-len(word)) >= least {
			continue
		}
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the single letters to insert, delete, replace or swap with their neighbour
// that make b of a. An underscore for a hyphen, and upper for lower case, count nothing.
func distance(a, b string) int {
	const limit = 64 // a longer word is no misspelling of ours
	if len(a) > limit || len(b) > limit {
		return limit
	}
	width := len(b) + 1
	grid := make([]int, (len(a)+1)*width)
	for j := range width {
		grid[j] = j
	}
	for i := 1; i <= len(a); i++ {
		grid[i*width] = i
		for j := 1; j < width; j++ {
			x, y := fold(a[i-1]), fold(b[j-1])
			change := grid[(i-1)*width+j-1]
			if x != y {
				change++
			}
			d := min(grid[(i-1)*width+j]+1, grid[i*width+j-1]+1, change)
			if i > 1 && j > 1 && x == fold(b[j-2]) && fold(a[i-2]) == y {
				d = min(d, grid[(i-2)*width+j-2]+1)
			}
			grid[i*width+j] = d
		}
	}
	return grid[len(grid)-1]
}

func fold(c byte) byte {
	switch {
	case c == '_':
		return '-'
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	}
	return c
}

// Unknown reports that there is no such key; what names a key in a sentence, and known are
// those that there are.
func (e *Entry) Unknown(what string, known []string) *ipam.Problem {
	hint := "known: " + strings.Join(known, ", ")
	if near := Nearest(e.Key, known); near != "" {
		hint = "did you mean " + near + "?"
	}
	return e.Problem(hint, "%s %q is not known", what, e.Key)
}
