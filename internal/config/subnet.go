package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"berth/internal/config/document"
	"berth/internal/ipam"
)

// The prefix lengths that a subnet may have. A bridge needs room for its gateway, and one
// guest, beside the network and broadcast addresses.
const (
	shortestPrefix = 8
	longestPrefix  = 30
)

// ipv4 takes the bridge's address and the subnet.
func (c *checker) ipv4(d *draft, v *document.Value) {
	d.ipv4 = v
	p, ok := c.automatic(d, v)
	if v.Text != "auto" {
		p, ok = c.prefix4(v)
	}
	if ok && c.isUsable(d, v, p) {
		d.Gateway, d.Subnet = p.Addr(), p.Masked()
	}
}

// automatic asks for the subnet of a network with ipv4 = "auto".
func (c *checker) automatic(d *draft, v *document.Value) (netip.Prefix, bool) {
	if v.Text != "auto" {
		return netip.Prefix{}, false
	}
	if c.env.Auto == nil {
		c.refuse(v, `write the address itself, like "10.64.177.1/24"`, "a free subnet can not be looked for here")
		return netip.Prefix{}, false
	}
	p, err := c.env.Auto(d.Name)
	if err != nil {
		found := v.Problem(`write the address itself, like "10.64.177.1/24"`, "no subnet for network %s: %v", d.Name, err)
		found.Err = err
		var said *ipam.Problem
		if errors.As(err, &said) {
			found.Code = said.Code
			if said.Hint != "" {
				found.Hint = said.Hint
			}
		}
		c.add(found)
		return netip.Prefix{}, false
	}
	return p, true
}

// prefix4 reads an IPv4 address with its prefix length.
func (c *checker) prefix4(v *document.Value) (netip.Prefix, bool) {
	const hint = `write the bridge's address and the prefix length of its subnet, like "10.64.177.1/24", or "auto"`
	p, err := netip.ParsePrefix(v.Text)
	if err == nil && p.Addr().Is4() {
		return p, true
	}
	addr, rest, _ := strings.Cut(strings.Replace(v.Text, " ", "/", 1), "/")
	a, addrErr := netip.ParseAddr(addr)
	bits, isMask := maskBits(rest)
	switch {
	case err == nil || addrErr == nil && !a.Is4():
		c.refuse(v, `write the IPv4 address here, like "10.64.177.1/24"; the IPv6 one goes to ipv6`, "%q is no IPv4 address", v.Text)
	case addrErr == nil && isMask:
		c.refuse(v, fmt.Sprintf(`write "%s/%d"`, a, bits), "%q has a netmask in place of the prefix length", v.Text)
	case addrErr == nil && rest == "":
		c.refuse(v, fmt.Sprintf(`write "%s/24" if the subnet has 256 addresses`, a), "%q lacks the prefix length", v.Text)
	case addrErr == nil:
		c.refuse(v, hint, "%q is no prefix length", rest)
	default:
		c.refuse(v, hint, "%q is no IPv4 address with a prefix length", v.Text)
	}
	return netip.Prefix{}, false
}

// maskBits reads a netmask like 255.255.255.0 as a prefix length.
func maskBits(text string) (int, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return 0, false
	}
	for bits := 32; bits >= 0; bits-- {
		p, _ := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(bits)
		if p.Addr() == a {
			return bits, true
		}
	}
	return 0, false
}

// isUsable reports whether a bridge can have the address and its guests the subnet.
func (c *checker) isUsable(_ *draft, v *document.Value, p netip.Prefix) bool {
	bad := CheckSubnet(p)
	if bad != nil {
		bad.Source = v.At
		c.add(bad)
	}
	return bad == nil
}

// CheckSubnet says why a bridge can not have an address, or its guests the subnet that its prefix length
// makes, or nil. The problem has no place.
func CheckSubnet(p netip.Prefix) *ipam.Problem {
	refuse := func(hint, format string, args ...any) *ipam.Problem {
		return &ipam.Problem{Code: ipam.CodeConfig, Text: fmt.Sprintf(format, args...), Hint: hint}
	}
	n := ipam.Network{Subnet: p.Masked()}
	a := p.Addr()
	switch {
	case !a.Is4():
		return refuse(`write the address itself, like "10.64.177.1/24"`, "%s is no IPv4 subnet", p)
	case p.Bits() > longestPrefix:
		return refuse(fmt.Sprintf(`write "%s/%d" or a shorter prefix`, a, longestPrefix),
			"%s has no room for guests beside the bridge: the longest prefix is /%d", n.Subnet, longestPrefix)
	case p.Bits() < shortestPrefix:
		return refuse(fmt.Sprintf(`write "%s/24" if the subnet has 256 addresses`, a),
			"%s takes too much of the Internet: the shortest prefix is /%d", n.Subnet, shortestPrefix)
	case reserved(n.Subnet) != "":
		return refuse(`write an address of a private subnet, like "10.64.177.1/24" (RFC 1918)`, "%s lies in %s", p, reserved(n.Subnet))
	case a == n.Subnet.Addr():
		return refuse(fmt.Sprintf(`write "%s/%d" for the first address of it`, n.Hosts().From, p.Bits()),
			"%s is the subnet itself, and no address that the bridge could have", p)
	case a == n.Broadcast():
		return refuse(fmt.Sprintf(`write "%s/%d" for the first address of the subnet`, n.Hosts().From, p.Bits()),
			"%s is the broadcast address of %s", a, n.Subnet)
	}
	return nil
}

// reserved says for what addresses of p are set aside, so that no bridge can have them
// (RFC 6890 §2.2.2); "" when they are not.
func reserved(p netip.Prefix) string {
	for _, r := range [...]struct{ prefix, purpose string }{
		{"0.0.0.0/8", `0.0.0.0/8, which means "this network" (RFC 1122)`},
		{"127.0.0.0/8", "127.0.0.0/8, which never leaves a host (RFC 1122)"},
		{"169.254.0.0/16", "169.254.0.0/16, from which hosts without DHCP take their own addresses (RFC 3927)"},
		{"224.0.0.0/4", "224.0.0.0/4, which is for multicast (RFC 5771)"},
		{"240.0.0.0/4", "240.0.0.0/4, which hosts refuse (RFC 1112)"},
	} {
		if netip.MustParsePrefix(r.prefix).Overlaps(p) {
			return r.purpose
		}
	}
	return ""
}
