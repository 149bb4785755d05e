package dnsmasq

import (
	"cmp"
	"slices"
	"strings"

	"berth/internal/ipam"
)

// finish reads what dnsmasq reads when it is done with its configuration, and decides what only the whole
// of it tells.
func (r *reader) finish() {
	r.afterwards()
	for _, h := range r.hosts {
		r.pin(h)
	}
	if r.rangeDomain != "" {
		r.c.Domain = r.rangeDomain
	}
	for i, p := range r.c.Pins {
		r.c.Pins[i] = r.localName(p)
	}
	for i, p := range r.c.Pins6 {
		r.c.Pins6[i] = r.localName(p)
	}
	for _, o := range r.options {
		r.c.Options = append(r.c.Options, o)
	}
	slices.SortFunc(r.c.Options, func(a, b ipam.Option) int { return cmp.Compare(a.Code, b.Code) })
	r.unserveTags()
	r.inOrder(r.problems.first)
	r.inOrder(r.unserved.first)
	r.c.Unserved = r.unserved.all()
}

// inOrder sorts problems by their places: the files in the order in which they were read.
func (r *reader) inOrder(all ipam.Problems) {
	number := make(map[string]int)
	for i, name := range r.c.Files {
		number[name] = i
	}
	slices.SortStableFunc(all, func(a, b *ipam.Problem) int {
		return cmp.Or(cmp.Compare(number[a.Source.File], number[b.Source.File]),
			cmp.Compare(a.Source.Line, b.Source.Line), cmp.Compare(a.Source.Col, b.Source.Col))
	})
}

// afterwards reads the other files in dnsmasq's order, which decides who wins: the ethers file, the hosts files, of which
// those named last come first, and then the folders that dnsmasq watches.
func (r *reader) afterwards() {
	files := make(map[string][]later)
	for _, l := range slices.Backward(r.later) {
		files[l.directive] = append(files[l.directive], l)
	}
	for _, l := range files["servers-file"] {
		r.each(l, func(t text) *mistake { return r.serverLine(t) })
	}
	if r.c.ReadEthers {
		r.readEthers()
	}
	for _, l := range r.expand(files["dhcp-hostsfile"]) {
		r.each(l, r.hostLine)
	}
	for _, l := range r.expand(files["dhcp-optsfile"]) {
		r.each(l, r.optionLine)
	}
	for _, l := range files["dhcp-hostsdir"] {
		r.eachIn(l, r.hostLine)
	}
	for _, l := range files["dhcp-optsdir"] {
		r.eachIn(l, r.optionLine)
	}
}

// expand puts the files of folders at the end, as dnsmasq does.
func (r *reader) expand(all []later) []later {
	var plain, inFolders []later
	for _, l := range all {
		if !r.isFolder(l.path) {
			plain = append(plain, l)
			continue
		}
		for _, file := range r.folder(l.path, l.at, everything) {
			inFolders = append(inFolders, later{l.directive, file, l.at})
		}
	}
	return append(plain, inFolders...)
}

func (r *reader) eachIn(l later, read func(text) *mistake) {
	for _, file := range r.folder(l.path, l.at, everything) {
		r.each(later{l.directive, file, l.at}, read)
	}
}

// each reads the lines of a file, the first time that it is named.
func (r *reader) each(l later, read func(text) *mistake) {
	kind := strings.TrimSuffix(strings.TrimSuffix(l.directive, "file"), "dir") + " " + l.path
	if r.done[kind] {
		return
	}
	r.done[kind] = true
	data, bad := r.fetch(l.path, l.at)
	if bad != nil {
		r.problems.add(bad)
		return
	}
	r.lines(l.path, data, func(t text) { r.refuse(read(t)) })
}

// hostLine is a line of a dhcp-hostsfile.
func (r *reader) hostLine(t text) *mistake { return r.bare(t, "dhcp-host", r.host) }

// optionLine is a line of a dhcp-optsfile.
func (r *reader) optionLine(t text) *mistake {
	return r.bare(t, "dhcp-option", func(t text) *mistake { return r.dhcpOption(t, false) })
}

// bare reads a line that is the value of a directive.
func (r *reader) bare(t text, directive string, read func(text) *mistake) *mistake {
	if s := split(t); s.has && strings.TrimLeft(s.name.s, "-") == directive {
		return wrong(t, "begin the line with "+quote(s.value.plain()), "%s= belongs into the main configuration", directive)
	}
	return read(t)
}

// serverLine is a line of a servers-file: server= and rev-server= only.
func (r *reader) serverLine(t text) *mistake {
	s := split(t)
	switch {
	case s.name.s != "server" && s.name.s != "rev-server":
		return wrong(s.name, "move the line into the main configuration", "%s is not understood in a servers-file", quote(s.name.plain()))
	case !s.has:
		return wrong(s.name, "write "+s.name.s+"=ADDRESS", "%s is not set to anything, but has to be", s.name.s)
	case s.name.s == "server":
		return r.server(s.value)
	}
	return r.reverseServer(s.value)
}
