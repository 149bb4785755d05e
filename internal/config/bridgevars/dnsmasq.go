package bridgevars

import (
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"

	"berth/internal/ipam"
)

// Dnsmasq is what the configuration of the script's dnsmasq adds to a network.
type Dnsmasq struct {
	Pins     []ipam.Pin
	Options  []ipam.Option
	Upstream []netip.AddrPort // nil: the host's own resolvers
	Domain   string           // "" when none is set
	Files    []string         // read, or looked for
	Warnings ipam.Problems    // lines that are refused, and what is not honoured
}

// dnsmasq adds what the configuration of dnsmasq says. It is read although other variables may be wrong, so that
// what to watch is known.
func (c *checker) dnsmasq(b *Bridge, n *ipam.Network, read ReadDnsmasq) {
	v := c.get(c.script.Confile)
	path := v.text
	if path == "" {
		path = c.script.HostConf
	}
	if path == "" {
		return // none is read
	}
	if !filepath.IsAbs(path) {
		c.refuse(v, "write the whole path, which begins with /", "%s is %q: a service has no folder from which that could be found", v.name, path)
		return
	}
	d, err := read(n, path)
	if d != nil {
		b.add(path, d.Files...)
	} else {
		b.add(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && v.text == "":
		return // dnsmasq does without, too
	case errors.Is(err, fs.ErrNotExist):
		c.refuse(v, "make it: touch "+path+`, or write `+v.name+`=""`, "there is no %s, which %s names", path, v.name)
		return
	case err != nil:
		c.problems = append(c.problems, unread(path, err)...)
		return
	}
	b.Pins, b.Warnings = d.Pins, d.Warnings
	n.Options, n.Upstream = d.Options, d.Upstream
	if d.Domain != "" {
		n.Domain = d.Domain // of two the last one counts, and the command line came first
	}
}

// add notes what to watch.
func (b *Bridge) add(first string, more ...string) {
	for _, file := range append([]string{first}, more...) {
		if !slices.Contains(b.Files, file) {
			b.Files = append(b.Files, file)
		}
	}
}

// unread is an error of a file as a person reads it.
func unread(path string, err error) ipam.Problems {
	var many ipam.Problems
	var one *ipam.Problem
	switch {
	case errors.As(err, &many):
		return many
	case errors.As(err, &one):
		return ipam.Problems{one}
	}
	return ipam.Problems{{Code: ipam.CodeConfig, Source: ipam.Source{File: path}, Text: "can not be read: " + err.Error(), Hint: "ls -l " + path, Err: err}}
}
