package dnsmasq

import (
	"net/netip"
	"slices"
	"strings"

	"berth/internal/ipam"
)

const hostsFile = "/etc/hosts"

// inHostsFiles is the IPv4 address that a hosts file gives to a name, and where: a dhcp-host without an
// address gets it, unless another one has it.
func (r *reader) inHostsFiles(name string) (netip.Addr, ipam.Source) {
	if name == "" {
		return netip.Addr{}, ipam.Source{}
	}
	if r.known4 == nil {
		r.readHostsFiles()
		for _, h := range r.hosts {
			r.taken[h.addr] = true
		}
	}
	found := r.known4[name]
	if r.taken[found.addr] {
		return netip.Addr{}, ipam.Source{}
	}
	return found.addr, found.at
}

// readHostsFiles notes the first IPv4 address of each name in the files in the style of hosts(5). What is wrong
// in them is for whoever answers DNS from them to say.
func (r *reader) readHostsFiles() {
	r.known4 = make(map[string]placedAddr)
	files := slices.Clone(r.c.HostsFiles)
	if !r.c.NoHosts {
		files = append([]string{hostsFile}, files...)
	}
	for _, name := range files {
		if !r.isFolder(name) {
			r.readHostsFile(name)
			continue
		}
		for _, file := range r.folder(name, ipam.Source{File: name}, everything) {
			r.readHostsFile(file)
		}
	}
}

func (r *reader) readHostsFile(name string) {
	data, bad := r.fetch(name, ipam.Source{File: name})
	if bad != nil {
		return
	}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, ok := parseAddr(fields[0])
		if !ok || !addr.Is4() || addr.IsLoopback() {
			continue
		}
		for _, n := range fields[1:] {
			n = strings.ToLower(strings.TrimSuffix(n, "."))
			if _, ok := r.known4[n]; !ok {
				r.known4[n] = placedAddr{addr, ipam.Source{File: name, Line: number, Col: 1}}
			}
		}
	}
}
