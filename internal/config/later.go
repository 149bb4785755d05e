package config

import (
	"net/netip"
	"slices"
	"strings"

	"berth/internal/config/document"
)

// What this file checks is part of the contract, and not served by this version: a file
// that says it is in force without it, with a warning.

// ipv6 takes the bridge's address and subnet, or "auto".
func (c *checker) ipv6(_ *draft, v *document.Value) {
	const hint = `write an address with its prefix length, like "fd94:d372:e27f:2987::1/64", or "auto"`
	if v.Text == "auto" {
		return
	}
	p, err := netip.ParsePrefix(v.Text)
	switch a := p.Addr(); {
	case err != nil:
		c.refuse(v, hint, "%q is no IPv6 address with a prefix length", v.Text)
	case !a.Is6() || a.Is4In6():
		c.refuse(v, "the IPv4 address goes to ipv4", "%q is no IPv6 address", v.Text)
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast():
		c.refuse(v, hint, "%s is no address from which a subnet could be served", a)
	case p.Bits() > 126:
		c.refuse(v, hint, "%s has no room for guests", p.Masked())
	case a == p.Masked().Addr():
		c.refuse(v, `write "`+a.Next().String()+v.Text[strings.IndexByte(v.Text, '/'):]+`" for the first address of it`, "%s is the subnet itself, and no address that the bridge could have", p)
	}
}

// ipv6Mode takes how guests come by their IPv6 addresses.
func (c *checker) ipv6Mode(_ *draft, v *document.Value) {
	if !slices.Contains([]string{"slaac", "dhcp", "slaac+dhcp"}, v.Text) {
		c.refuse(v, `write "slaac", "dhcp" or "slaac+dhcp"`, "%q is no ipv6-mode", v.Text)
	}
}

func (c *checker) proxy(_ *draft, v *document.Value) {
	if v.Bool {
		c.warnings = append(c.warnings, v.Problem("write proxy = false", "proxy is not served yet by this version: there is no HTTP proxy"))
	}
}

// notServed warns of IPv6, once for all keys that are about it.
func (c *checker) notServed(network *document.Entry, table *document.Table) {
	var keys []string
	var first *document.Entry
	for _, e := range table.Entries {
		if e.Key != "ipv6" && e.Key != "ipv6-mode" && e.Key != "nat6" {
			continue
		}
		if e.Key == "nat6" && !e.Value.Bool {
			continue // what is asked for is what happens
		}
		if first == nil {
			first = e
		}
		keys = append(keys, e.Key)
	}
	if first == nil {
		return
	}
	verb := " is"
	if len(keys) > 1 {
		verb = " are"
	}
	c.warnings = append(c.warnings, first.Problem("delete "+strings.Join(keys, ", ")+" from [network."+network.Key+"] until then",
		"%s%s not served yet by this version: guests of network %s get IPv4 only", strings.Join(keys, ", "), verb, network.Key))
}
