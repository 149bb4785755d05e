package config

import (
	"net/netip"
	"slices"

	"berth/internal/config/document"
)

const (
	dnsPort     = 53
	maxUpstream = 16
)

// upstream takes the resolvers that questions are passed on to, in order. An empty list is
// not the same as none: with it nothing is passed on.
func (c *checker) upstream(d *draft, v *document.Value) {
	d.Upstream = []netip.AddrPort{}
	if len(v.Items) > maxUpstream {
		c.refuse(v, "name the few that answer fastest", "upstream names %d resolvers, at most %d are asked", len(v.Items), maxUpstream)
		return
	}
	for _, item := range v.Items {
		a, ok := c.resolver(item)
		if !ok {
			continue
		}
		if i := slices.Index(d.Upstream, a); i >= 0 {
			c.refuse(item, "delete one of the two", "%s is named already, at %s", item.Text, d.resolver[i].At)
			continue
		}
		d.Upstream = append(d.Upstream, a)
		d.resolver = append(d.resolver, item)
	}
}

// resolver reads ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT.
func (c *checker) resolver(v *document.Value) (netip.AddrPort, bool) {
	const hint = `write "192.0.2.53", "192.0.2.53:5353", "2001:db8::53" or "[2001:db8::53]:5353"`
	if v.Kind != document.String {
		c.refuse(v, hint, "a resolver's address is wanted here, not %s", v.Kind)
		return netip.AddrPort{}, false
	}
	a, err := netip.ParseAddrPort(v.Text)
	if err != nil {
		var addr netip.Addr
		addr, err = netip.ParseAddr(v.Text)
		a = netip.AddrPortFrom(addr, dnsPort)
	}
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	switch addr := a.Addr(); {
	case err != nil:
		c.refuse(v, hint, "%q is no resolver's address", v.Text)
	case a.Port() == 0:
		c.refuse(v, "leave the port away, or write :53", "%s has no port", v.Text)
	case addr.IsUnspecified() || addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		c.refuse(v, hint, "%s is the address of no single host", v.Text)
	case addr.Is6() && addr.IsLinkLocalUnicast() && addr.Zone() == "":
		c.refuse(v, `name the interface too: "`+addr.String()+`%eth0"`, "%s does not say on which link", v.Text)
	default:
		return a, true
	}
	return netip.AddrPort{}, false
}

// loops refuses resolvers that are this DNS server itself.
func (c *checker) loops(d *draft, gateways map[netip.Addr]string) {
	for i, a := range d.Upstream {
		if name, ok := gateways[a.Addr()]; ok && a.Port() == dnsPort {
			c.refuse(d.resolver[i], "delete it: questions would go round for ever; without upstream the host's own resolvers are asked",
				"%s is where the DNS of network %s itself answers", d.resolver[i].Text, name)
		}
	}
}
