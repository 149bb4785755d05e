package dnsmasq

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

// reader reads the files of one configuration.
type reader struct {
	command Command
	files   fs.FS
	known   []directive
	index   map[string]*directive

	c        *Config
	problems list
	unserved list
	at       ipam.Source // the line that is being read

	said     map[string]ipam.Source // where what may be said once was said
	included []fs.FileInfo          // the files of the configuration itself, as the system knows them
	read     []string               // and their names
	depth    int
	total    int64           // bytes read
	watched  map[string]bool // what Config.Files has

	hosts       []host
	options     map[uint8]ipam.Option
	aliases     map[string]ipam.Source
	tags        map[string]bool       // those that some line asks for
	set         []placed              // those that some line sets
	taken       map[netip.Addr]bool   // by some host
	known4      map[string]placedAddr // from hosts files; nil: not read yet
	rangeDomain string                // of a domain= with a range that the bridge lies in
	later       []later
	done        map[string]bool // which of them have been read
}

// later is a file that dnsmasq reads when it is done with its configuration.
type later struct {
	directive string
	path      string
	at        ipam.Source
}

func newReader(command Command, files fs.FS) *reader {
	r := &reader{
		command: command, files: files,
		known: slices.Concat(honoured(), unneeded(), lost()),
		index: make(map[string]*directive),
		c:     &Config{Domain: strings.ToLower(strings.Trim(command.Domain, "."))},
		said:  make(map[string]ipam.Source), options: make(map[uint8]ipam.Option),
		aliases: make(map[string]ipam.Source), tags: make(map[string]bool), watched: make(map[string]bool), done: make(map[string]bool), taken: make(map[netip.Addr]bool),
	}
	for i := range r.known {
		r.index[r.known[i].name] = &r.known[i]
	}
	return r
}

// maxListed is how many problems of a kind are described: a file that is no configuration has thousands.
const maxListed = 1000

// list is problems, of which only the first are kept.
type list struct {
	first ipam.Problems
	more  int
}

func (l *list) add(p *ipam.Problem) {
	if len(l.first) == maxListed {
		l.more++
		return
	}
	l.first = append(l.first, p)
}

func (l *list) all() ipam.Problems {
	if l.more == 0 {
		return l.first
	}
	last := l.first[len(l.first)-1]
	return append(l.first, &ipam.Problem{
		Code: ipam.CodeConfig, Source: ipam.Source{File: last.Source.File},
		Text: fmt.Sprintf("there are %d more", l.more),
		Hint: "is this a configuration of dnsmasq at all? See: head " + last.Source.File,
	})
}

// in is the place of a column in the line that is being read.
func (r *reader) in(col int) ipam.Source {
	at := r.at
	at.Col = col
	return at
}

func (r *reader) refuse(m *mistake) {
	if m != nil {
		r.problems.add(&ipam.Problem{Code: ipam.CodeConfig, Source: r.in(m.col), Text: m.text, Hint: m.hint})
	}
}

// unserve lists what is understood and not honoured.
func (r *reader) unserve(at text, hint, format string, args ...any) {
	r.unserveAt(r.in(at.col()), hint, format, args...)
}

func (r *reader) unserveAt(at ipam.Source, hint, format string, args ...any) {
	r.unserved.add(&ipam.Problem{Code: ipam.CodeConfig, Source: at, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// lines calls each for every line of a file that says something.
func (r *reader) lines(file string, data []byte, each func(text)) {
	before := r.at
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		r.at = ipam.Source{File: file, Line: number}
		t, bad := lex(strings.TrimSuffix(line, "\n"))
		switch {
		case bad != nil:
			r.refuse(bad)
		case !t.isEmpty():
			each(t)
		}
	}
	r.at = before
}

// configuration reads one file of the configuration itself.
func (r *reader) configuration(file string, data []byte) {
	r.depth++
	r.lines(file, data, func(t text) { r.refuse(r.statement(t)) })
	r.depth--
}

// statement reads one line of the configuration.
func (r *reader) statement(line text) *mistake {
	s := split(line)
	d := r.index[s.name.s]
	switch {
	case d == nil:
		return r.unknown(s)
	case s.has && d.arity == alone:
		return wrong(s.value, "write "+d.name+" alone", "%s is not set to anything", d.name)
	case !s.has && d.arity == needs:
		return wrong(s.name, "write "+d.name+"=VALUE; see man dnsmasq", "%s is not set to anything, but has to be", d.name)
	}
	if before, ok := r.said[canonical(d.name)]; ok && d.once {
		return wrong(s.name, "delete one of the two lines", "%s is set at %s already", d.name, before)
	}
	r.said[canonical(d.name)] = r.in(s.name.col())
	if d.check != nil && s.has && !s.value.isEmpty() {
		if bad := d.check(s.value); bad != nil {
			return bad
		}
	}
	if d.lost != "" {
		r.unserve(s.name, d.hint, "%s is not honoured; it would %s", d.name, d.lost)
		r.noteTags(s.value)
		return nil
	}
	return r.honour(canonical(d.name), s)
}

// canonical is the first name of an option that has two.
func canonical(name string) string {
	switch name {
	case "dhcp-lease":
		return "dhcp-leasefile"
	case "domain-suffix":
		return "domain"
	}
	return name
}

// unknown explains a line that begins with no option.
func (r *reader) unknown(s statement) *mistake {
	name := s.name.plain()
	plain := strings.TrimLeft(name, "-")
	hint := "see man dnsmasq for what there is, and put a # before a comment"
	switch near := document.Nearest(plain, names(r.known)); {
	case r.index[plain] != nil:
		hint = "in a file it is written without hyphens in front: " + plain
	case near != "":
		hint = "did you mean " + near + "?"
	}
	if plain == "" {
		return wrong(s.name, hint, "the line does not begin with an option")
	}
	return wrong(s.name, hint, "option %s is not known", quote(name))
}
