package dnsmasq

import (
	"net/netip"
	"strings"

	"berth/internal/ipam"
)

const ethersFile = "/etc/ethers"

// ethers adds the lines of the ethers file to the hosts that the configuration has.
type ethers struct {
	r      *reader
	byAddr map[netip.Addr]int // the hosts of these, as indices
	byName map[string]int
	byMAC  map[string]int // those with this hardware address and no other
}

func (r *reader) readEthers() {
	e := &ethers{r, make(map[netip.Addr]int), make(map[string]int), make(map[string]int)}
	for i := range r.hosts {
		e.note(i)
	}
	r.each(later{path: ethersFile, at: r.said["read-ethers"]}, e.line)
}

// note makes a host one that is found; of several, the last one is, as in dnsmasq.
func (e *ethers) note(i int) {
	h := &e.r.hosts[i]
	if h.addr.IsValid() {
		e.byAddr[h.addr] = i
	}
	if h.name != "" {
		e.byName[h.name] = i
	}
	if len(h.macs) == 1 && h.macs[0].wildcards == 0 {
		e.byMAC[string(h.macs[0].octets)] = i
	}
}

// line reads a line of ethers(5): a hardware address, and a name or an IPv4 address.
func (e *ethers) line(t text) *mistake {
	macText, who, ok := t.cut(' ')
	if t.s[0] == '+' {
		return nil // a reference to NIS
	}
	if !ok {
		return wrong(t, "write it like 00:16:3e:01:02:03 cent01", "the line lacks a name or an address")
	}
	hw, bad := readHardware(macText)
	if bad != nil {
		return bad
	}
	if len(hw.octets) != len(ipam.MAC{}) || hw.wildcards > 0 {
		return wrong(macText, hardwareHint, "%s is no Ethernet address", quote(macText.plain()))
	}
	h := host{at: e.r.in(t.col()), fromEthers: true, macs: []hardware{hw}}
	if strings.Trim(who.s, ".0123456789") == "" {
		addr, ok := parseAddr(who.s)
		if !ok {
			return wrong(who, "write four numbers of at most 255, like 10.64.177.101", "%s is no IPv4 address", quote(who.plain()))
		}
		h.addr, h.addrAt = addr, e.r.in(who.col())
	} else if h.name, bad = parseName(who, "host name"); bad != nil {
		return bad
	}
	return e.add(h, who)
}

// add gives the hardware address to the host that has the name or the address already, or these to the
// one that has the hardware address.
func (e *ethers) add(h host, who text) *mistake {
	i, ok := e.byName[h.name]
	if h.addr.IsValid() {
		i, ok = e.byAddr[h.addr]
	}
	if ok && e.r.hosts[i].fromEthers {
		return wrong(who, "delete one of the two lines", "%s has a line already, at %s", who.plain(), e.r.hosts[i].at)
	}
	if ok {
		e.r.hosts[i].macs = h.macs
		e.note(i)
		return nil
	}
	if i, ok = e.byMAC[string(h.macs[0].octets)]; !ok {
		e.r.hosts = append(e.r.hosts, h)
		e.note(len(e.r.hosts) - 1)
		return nil
	}
	known := &e.r.hosts[i]
	if h.addr.IsValid() {
		known.addr, known.addrAt = h.addr, h.addrAt
	} else {
		known.name = h.name
	}
	e.note(i)
	return nil
}
