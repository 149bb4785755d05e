package dnsmasq

import (
	"fmt"
	"strings"

	"berth/internal/ipam"
)

const pinHint = "write it like dhcp-host=cent01,10.64.177.101"

// pin turns a host into pins, and lists what no pin can say.
func (r *reader) pin(h host) {
	who := h.who()
	if h.ignore {
		if who != "" {
			r.unserveAt(h.at, "unplug the guest from the bridge, or leave it unpinned", "ignore is not honoured; it would leave %s without an answer", who)
		}
		return
	}
	if len(h.tags) > 0 && !r.applies(h.tags) {
		r.unserveAt(h.at, byPort, "%s is not pinned; the line is for those with the tag %s", orThe(who, "the host"), quote(h.tags[0].plain()))
		return
	}
	if !h.addr.IsValid() {
		h.addr, h.addrAt = r.inHostsFiles(h.name)
	}
	holders, bad := h.holders()
	for _, b := range bad {
		r.unserveAt(h.at, "pin the guest by its name: "+pinHint, "%s is not pinned: %s", b.who, b.why)
	}
	if len(holders) == 0 {
		if len(bad) == 0 {
			r.unpinned(h)
		}
		return
	}
	who = orThe(h.name, holders[0].String())
	if !h.addr.IsValid() && len(h.addrs6) == 0 {
		r.withoutAddress(h, who)
		return
	}
	if h.clientID != "" {
		r.unserveAt(h.at, "a guest is known by its port, whatever client-id it sends",
			"the client-id %s is not honoured; whoever sends it would be %s, too", quote(h.clientID), who)
	}
	for _, other := range holders[1:] {
		r.unserveAt(h.at, "pin the guest by its name, whatever its hardware address: "+pinHint,
			"%s is not pinned; it would take turns with %s for its address", other, holders[0])
	}
	pin := ipam.Pin{Holder: holders[0], LeaseTime: h.lease}
	if !pin.Holder.IsGuest() {
		pin.Name = h.name
	}
	if h.addr.IsValid() {
		pin.Addr, pin.Source = h.addr, h.addrAt
		r.c.Pins = append(r.c.Pins, pin)
	}
	for _, a := range h.addrs6 {
		pin.Addr, pin.Source = a.addr, a.at
		r.c.Pins6 = append(r.c.Pins6, pin)
	}
}

// who is the host for a message, "" when the line names nobody.
func (h host) who() string {
	switch {
	case h.name != "":
		return h.name
	case len(h.macs) > 0:
		return h.macs[0].text
	case h.clientID != "":
		return "the client " + quote(h.clientID)
	}
	return ""
}

func orThe(who, otherwise string) string {
	if who == "" {
		return otherwise
	}
	return who
}

// holders are those who may have the address. A line with a hardware address or a client-id is for nobody who
// just has the name. bad are those that no pin is for.
func (h host) holders() (holders []ipam.Holder, bad []unpinnable) {
	for _, hw := range h.macs {
		if mac, why := hw.mac(); why == "" {
			holders = append(holders, ipam.ByMAC(mac))
		} else {
			bad = append(bad, unpinnable{hw.text, why})
		}
	}
	switch {
	case len(h.macs) > 0:
		return holders, bad
	case h.clientID != "":
		return nil, []unpinnable{{h.who(), "it is for whoever sends the client-id " + quote(h.clientID)}}
	case h.name != "":
		return []ipam.Holder{ipam.ByName(h.name)}, nil
	}
	return nil, nil
}

// unpinnable is one who gets no pin, and why.
type unpinnable struct{ who, why string }

// unpinned lists a line that names nobody.
func (r *reader) unpinned(h host) {
	if h.addr.IsValid() || len(h.addrs6) > 0 || h.lease != 0 {
		r.unserveAt(h.at, pinHint, "the line does not say whose it is")
	}
}

// withoutAddress lists what a line would do that gives no address.
func (r *reader) withoutAddress(h host, who string) {
	var would []string
	if h.name != "" && len(h.macs) > 0 {
		would = append(would, fmt.Sprintf("call %s %s", h.macs[0].text, h.name))
	}
	if h.lease != 0 {
		would = append(would, "set its lease time")
	}
	if h.clientID != "" && len(h.macs) == 0 {
		would = append(would, "know it by its client-id")
	}
	if len(would) > 0 {
		r.unserveAt(h.at, "add an address: "+pinHint, "the line for %s has no address; it would %s", who, strings.Join(would, " and "))
	}
}

// localName drops the domain from the name of a host that is in it: the guest is called by the first label.
func (r *reader) localName(p ipam.Pin) ipam.Pin {
	cut := func(name string) string {
		if d := r.c.Domain; d != "" {
			if base, ok := strings.CutSuffix(name, "."+d); ok && !strings.Contains(base, ".") {
				return base
			}
		}
		return name
	}
	if p.Holder.IsGuest() {
		p.Holder.Guest = cut(p.Holder.Guest)
	}
	p.Name = cut(p.Name)
	return p
}
