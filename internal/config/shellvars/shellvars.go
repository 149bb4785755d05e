// Package shellvars reads files of shell assignments, as they lie in /etc/default, without
// running a shell.
//
// Understood is what such files consist of, in the words of POSIX.1-2017, Shell Command Language:
//
//	NAME=value              several on a line too; the last one of a name counts (§2.9.1)
//	'…' "…" \x              quotes, over several lines too; a backslash at a line's end joins the next to it (§2.2)
//	$NAME ${NAME}           of a variable that is set above (§2.6.2)
//	# …                     to the end of the line (§2.3)
//	export NAME=value       (§2.14)
//	. FILE                  where the caller hands over the file
//	[ -f FILE ] && . FILE   and [ ! -f FILE ] || . FILE
//
// Whatever would need a shell is refused at its place: a value that is not the one
// the shell would have found is worse than none.
package shellvars

import (
	"fmt"
	"slices"
	"strings"

	"berth/internal/ipam"
)

const (
	maxValue    = 4096 // bytes of one value: variables that hold each other grow without end
	maxFiles    = 8    // that one file may read, all together
	maxProblems = 100  // a script that is no file of assignments has thousands
)

// Var is a variable as a file sets it.
type Var struct {
	Name  string
	Value string
	At    ipam.Source // where the name begins

	value ipam.Source // where the value's first byte stands
	exact bool        // the value stands there byte by byte
}

// Place is where byte i of the value stands, as well as it is known: a value that is
// put together of several pieces has one place only.
func (v Var) Place(i int) ipam.Source {
	at := v.value
	if v.exact {
		at.Col += i
	}
	return at
}

// Problem is what is wrong with the value, at its place.
func (v Var) Problem(hint, format string, args ...any) *ipam.Problem {
	return problem(v.value, hint, format, args...)
}

// Vars is what a file sets, in the order in which each name occurs first.
type Vars struct {
	all    []Var
	byName map[string]int
}

// Lookup finds a variable by its name.
func (v *Vars) Lookup(name string) (Var, bool) {
	i, ok := v.byName[name]
	if !ok {
		return Var{}, false
	}
	return v.all[i], true
}

// All lists the variables.
func (v *Vars) All() []Var { return slices.Clone(v.all) }

func (v *Vars) set(x Var) {
	if i, ok := v.byName[x.Name]; ok {
		v.all[i] = x
		return
	}
	v.byName[x.Name] = len(v.all)
	v.all = append(v.all, x)
}

// Options is what reading needs to know beside the text.
type Options struct {
	// Preset is what variables hold that the file does not set.
	Preset map[string]string
	// Open gives the content of a file that is to be read at this point. fs.ErrNotExist is an
	// answer as good as any; another error refuses the line. nil: no file is read.
	Open func(path string) ([]byte, error)
}

// Parse reads the text of a file; path is the name that places carry. What is refused
// takes its line with it, and the problem says why; what would leave the rest without a meaning
// ends the reading.
func Parse(path string, data []byte, o Options) (*Vars, ipam.Problems) {
	r := &reading{options: o, vars: &Vars{byName: make(map[string]int)}}
	r.file(path, string(data))
	if r.refused > maxProblems {
		r.problems = append(r.problems, problem(ipam.Source{File: path}, "is this a file of NAME=value lines at all?",
			"%d more lines are refused", r.refused-maxProblems))
	}
	return r.vars, r.problems
}

// reading is what all files that one call reads have in common.
type reading struct {
	options  Options
	vars     *Vars
	problems ipam.Problems
	refused  int
	files    int
	inside   []string // the files that are being read, each by the one before it
}

// file reads one file.
func (r *reading) file(path, text string) {
	r.files++
	r.inside = append(r.inside, path)
	defer func() { r.inside = r.inside[:len(r.inside)-1] }()
	p := &parser{reading: r, path: path, text: text, line: 1}
	if bad := unfit(p); bad != nil {
		r.add(bad)
		return
	}
	for p.command() {
	}
}

func (r *reading) add(p *ipam.Problem) {
	if r.refused++; r.refused <= maxProblems {
		r.problems = append(r.problems, p)
	}
}

// value is what $name stands for.
func (r *reading) value(name string) (string, bool) {
	if v, ok := r.vars.Lookup(name); ok {
		return v.Value, true
	}
	value, ok := r.options.Preset[name]
	return value, ok
}

// unfit says why a whole text can not be read: the bytes of other systems, which nobody sees.
func unfit(p *parser) *ipam.Problem {
	if strings.HasPrefix(p.text, "\ufeff") {
		return p.problem(0, "save it as UTF-8 without one, or type: sed -i '1s/^\\xEF\\xBB\\xBF//' "+p.path, "the file begins with a byte order mark")
	}
	for i := range len(p.text) {
		switch c := p.text[i]; {
		case c == '\r':
			return p.problem(i, "type: sed -i 's/\\r$//' "+p.path, "the line ends as on Windows: its carriage return would be part of the value")
		case c < ' ' && c != '\n' && c != '\t' || c == 0x7f:
			return p.problem(i, "is this a text file? Delete the character", "control character 0x%02x stands in the file", c)
		}
	}
	return nil
}

func problem(at ipam.Source, hint, format string, args ...any) *ipam.Problem {
	return &ipam.Problem{Code: ipam.CodeConfig, Source: at, Text: fmt.Sprintf(format, args...), Hint: hint}
}
