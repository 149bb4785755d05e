// Package dnsmasq reads the configuration of dnsmasq as it lies: what berth can honour of it, and
// in words what it can not.
//
// The grammar is that of dnsmasq 2.90. Where dnsmasq refuses to start, here a line is refused
// alone: its problem says why and where, and its neighbours still count.
package dnsmasq

import (
	"io/fs"
	"net/netip"
	"path"
	"time"

	"berth/internal/ipam"
)

// Command is what the command line of the dnsmasq says whose configuration is read. It may be zero: then what
// depends on it is listed as not honoured.
type Command struct {
	Bridge  string     // --interface; dnsmasq sets a tag of this name for all who ask there
	Domain  string     // --domain; a domain= of the files comes after it
	Gateway netip.Addr // the bridge's own address, which 0.0.0.0 in an option stands for
}

// Config is what the files say.
type Config struct {
	Pins    []ipam.Pin // addresses of hosts; of two for one holder the last one counts, as in ipam.ResolvePins
	Pins6   []ipam.Pin // the same for IPv6; an address whose upper half is zero is to be completed by the subnet's prefix
	Ranges  []Range
	Options []ipam.Option // those that every client gets, in order of code, one for each

	Records     []Record
	HostsFiles  []string // files and folders beside /etc/hosts, in the style of hosts(5)
	NoHosts     bool     // leave /etc/hosts out
	Domain      string   // of all guests; "" when none is set
	ExpandHosts bool     // names of hosts files get the domain, too

	Servers      []Server
	LocalDomains []string // whose names are never forwarded; "" is that of names without a dot
	ResolvFiles  []string // instead of /etc/resolv.conf
	NoResolv     bool     // Servers only
	StrictOrder  bool

	Interfaces    []string // the bridges that are served; none: all
	Authoritative bool
	LogDHCP       bool
	LogQueries    bool
	ReadEthers    bool
	LeaseMax      int    // 0: not set
	LeaseFile     string // "" when not set

	Files    []string      // every file and folder that was read or looked for, to be watched; in order
	Unserved ipam.Problems // what is understood and not honoured
}

// Range is a dhcp-range.
type Range struct {
	From, To  netip.Addr    // To equals From when only one is given
	Static    bool          // for pinned guests only
	Bits      int           // the prefix length, 0 when none is given
	Broadcast netip.Addr    // IPv4: invalid when not given
	LeaseTime time.Duration // 0 when not given
	Interface string        // IPv6: whose prefix comes before the addresses ("constructor:")
	Modes     []string      // IPv6: as they are written, such as "ra-only" and "slaac"
	Source    ipam.Source
}

// Load reads the configuration at path and all that it includes. The problems are lines that are
// refused, and files that can not be read. The error, an *ipam.Problem, is that of path itself; its cause
// is fs.ErrNotExist when nothing is there, and Config then still says what to watch.
func Load(path string) (*Config, ipam.Problems, error) { return Command{}.Load(path) }

// Parse reads the text of a configuration. file is the name that positions carry, and what is
// included comes from files, whose root is "/".
func Parse(file string, data []byte, files fs.FS) (*Config, ipam.Problems) {
	return Command{}.Parse(file, data, files)
}

// Load is the function Load for a dnsmasq that was started in this way.
func (c Command) Load(path string) (*Config, ipam.Problems, error) {
	r := newReader(c, machine{})
	path = absolute(path)
	r.isNew(path)
	data, bad := r.fetch(path, ipam.Source{File: path})
	if bad != nil {
		r.finish()
		return r.c, nil, bad
	}
	r.configuration(path, data)
	r.finish()
	return r.c, r.problems.all(), nil
}

// Parse is the function Parse for a dnsmasq that was started in this way.
func (c Command) Parse(file string, data []byte, files fs.FS) (*Config, ipam.Problems) {
	r := newReader(c, files)
	r.isNew(file)
	r.watch(file)
	r.configuration(file, data)
	r.finish()
	return r.c, r.problems.all()
}

// absolute makes a path one from the root, which is where a service runs.
func absolute(name string) string { return path.Clean("/" + name) }
