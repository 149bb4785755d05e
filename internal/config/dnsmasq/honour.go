package dnsmasq

import (
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"berth/internal/ipam"
)

// honour does what a directive says.
func (r *reader) honour(name string, s statement) *mistake {
	switch name {
	case "conf-file":
		return r.include(s)
	case "conf-dir":
		return r.includeFolder(s)
	case "conf-script":
		r.unserve(s.name, "write what it prints into a file: "+s.value.plain()+" > /etc/dnsmasq.d/generated.conf",
			"conf-script is not honoured; it would run a program and read what it prints")
	case "dhcp-hostsfile", "dhcp-hostsdir", "dhcp-optsfile", "dhcp-optsdir", "servers-file":
		r.later = append(r.later, later{name, absolute(s.value.plain()), r.in(s.value.col())})
	case "addn-hosts", "hostsdir":
		r.c.HostsFiles = append(r.c.HostsFiles, absolute(s.value.plain()))
	case "dhcp-host":
		return r.host(s.value)
	case "dhcp-range":
		return r.dhcpRange(s.value)
	case "dhcp-option", "dhcp-option-force":
		return r.dhcpOption(s.value, name == "dhcp-option-force")
	case "server", "local":
		return r.server(s.value)
	case "rev-server":
		return r.reverseServer(s.value)
	case "address":
		return r.address(s.value)
	case "host-record":
		return r.hostRecord(s.value)
	case "cname":
		return r.alias(s.value)
	case "ptr-record":
		return r.pointer(s.value)
	case "domain":
		return r.domain(s.value)
	case "interface", "no-dhcp-interface", "no-dhcpv4-interface", "no-dhcpv6-interface":
		r.interfaces(name, s.value)
	default:
		r.setting(name, s)
	}
	return nil
}

// setting is a directive that is remembered as it is.
func (r *reader) setting(name string, s statement) {
	switch name {
	case "dhcp-authoritative":
		r.c.Authoritative = true
	case "dhcp-lease-max":
		r.c.LeaseMax = atoi(s.value.plain())
	case "dhcp-leasefile":
		r.c.LeaseFile = ""
		if !s.value.isEmpty() {
			r.c.LeaseFile = absolute(s.value.plain())
		}
	case "expand-hosts":
		r.c.ExpandHosts = true
	case "log-dhcp":
		r.c.LogDHCP = true
	case "log-queries":
		r.c.LogQueries = true
	case "no-hosts":
		r.c.NoHosts = true
	case "no-resolv":
		r.c.NoResolv = true
	case "port":
		if n := atoi(s.value.plain()); n != 53 {
			r.unserve(s.value, "delete the line: the guests ask port 53 of the bridge's address",
				"port=%d is not honoured; it would %s", n, map[bool]string{true: "switch DNS off", false: "serve DNS on another port"}[n == 0])
		}
	case "read-ethers":
		r.c.ReadEthers = true
	case "resolv-file":
		if !s.value.isEmpty() {
			r.c.ResolvFiles = append(r.c.ResolvFiles, absolute(s.value.plain()))
		}
	case "strict-order":
		r.c.StrictOrder = true
	}
}

// include reads another file of the configuration, at once. One that was read already is left out,
// which ends loops.
func (r *reader) include(s statement) *mistake {
	name := s.value.plain()
	switch {
	case name == "":
		return nil
	case name == "-":
		r.unserve(s.value, "name a file", "conf-file=- is not honoured; it would read the standard input")
		return nil
	case r.depth >= maxDepth:
		return wrong(s.value, "include the file from the main one", "the file is included by %d files, one within the other", maxDepth)
	}
	r.includeFile(absolute(name), r.in(s.value.col()))
	return nil
}

func (r *reader) includeFile(name string, at ipam.Source) {
	if !r.isNew(name) {
		r.watch(name)
		return
	}
	data, bad := r.fetch(name, at)
	if bad != nil {
		r.problems.add(bad)
		return
	}
	r.configuration(name, data)
}

// isNew reports whether a file has not been part of the configuration before, under any name.
func (r *reader) isNew(name string) bool {
	if slices.Contains(r.read, name) {
		return false
	}
	r.read = append(r.read, name)
	if info, err := fs.Stat(r.files, inside(name)); err == nil {
		if slices.ContainsFunc(r.included, func(before fs.FileInfo) bool { return os.SameFile(before, info) }) {
			return false
		}
		r.included = append(r.included, info)
	}
	return true
}

// includeFolder reads the files of a folder, in order: those that end in one of the suffixes with an asterisk,
// or all when there are none, but for those that end in one without.
func (r *reader) includeFolder(s statement) *mistake {
	fields := s.value.fields()
	name := fields[0].plain()
	if name == "" {
		return nil
	}
	if r.depth >= maxDepth {
		return wrong(s.value, "include the folder from the main file", "the folder is included by %d files, one within the other", maxDepth)
	}
	var only, never []string
	for _, f := range fields[1:] {
		suffix, isMatch := f.cutPrefix("*")
		switch {
		case suffix.isEmpty():
		case isMatch:
			only = append(only, suffix.plain())
		default:
			never = append(never, suffix.plain())
		}
	}
	keep := func(base string) bool {
		ends := func(suffix string) bool { return len(base) > len(suffix) && strings.HasSuffix(base, suffix) }
		return (len(only) == 0 || slices.ContainsFunc(only, ends)) && !slices.ContainsFunc(never, ends)
	}
	at := r.in(s.value.col())
	for _, file := range r.folder(absolute(name), at, keep) {
		r.includeFile(file, at)
	}
	return nil
}

func (r *reader) interfaces(name string, value text) {
	for _, f := range value.fields() {
		bridge := f.plain()
		switch {
		case bridge == "":
		case name == "interface":
			r.c.Interfaces = append(r.c.Interfaces, bridge)
		case r.command.Bridge == "" || r.command.Bridge == bridge:
			r.unserve(f, `set dhcp-range = "none" and pin the guests, or leave the bridge to another server`,
				"%s is not honoured; it would give nobody on %s an address", name, quote(bridge))
		}
	}
}

// number refuses what is no whole number.
func number(value text) *mistake {
	for _, c := range []byte(value.plain()) {
		if c < '0' || c > '9' {
			return wrong(value, "write digits only", "%s is no number", quote(value.plain()))
		}
	}
	return nil
}

// port refuses what is no port number.
func port(value text) *mistake {
	if bad := number(value); bad != nil {
		return bad
	}
	if atoi(value.plain()) > math.MaxUint16 {
		return wrong(value, "ports go up to 65535", "%s is no port", quote(value.plain()))
	}
	return nil
}

// addresses refuses a list with something else in it.
func addresses(value text) *mistake {
	for _, f := range value.fields() {
		if _, ok := parseAddr(f.plain()); !ok {
			return wrong(f, "write an address like 10.64.177.1 or fd94::1", "%s is no address", quote(f.plain()))
		}
	}
	return nil
}

// atoi is the number that digits make, at most the largest of 31 bits.
func atoi(digits string) int {
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil && digits != "" {
		return math.MaxInt32
	}
	return int(n)
}
