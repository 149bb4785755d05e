package bridgevars

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ipv6 checks what the file says of IPv6, and warns that guests do not have it yet.
func (c *checker) ipv6(bridge string) IPv6 {
	s := c.script
	six := IPv6{NAT: c.flag(s.NAT6), Firewall: s.Firewall6 == "" || c.flag(s.Firewall6)}
	if s.Proxy != "" {
		if six.Proxy = c.flag(s.Proxy); six.Proxy {
			c.warn(c.get(s.Proxy), fmt.Sprintf(`write %s="false" until then`, s.Proxy), "%s is not served yet by this version: there is no HTTP proxy", s.Proxy)
		}
	}
	if s.Enable6 != "" && !c.flag(s.Enable6) {
		return six
	}
	parts := []value{c.get(s.Addr6), c.get(s.Mask6), c.get(s.Network6)}
	var have, missing []string
	first := parts[0]
	for _, v := range parts {
		if v.text == "" {
			missing = append(missing, v.name)
			continue
		}
		if len(have) == 0 {
			first = v
		}
		have = append(have, v.name)
	}
	switch {
	case len(have) == 0:
		return six
	case len(missing) > 0:
		are := "is"
		if len(have) > 1 {
			are = "are"
		}
		c.refuse(first, fmt.Sprintf("write all of %s, %s and %s, or none", s.Addr6, s.Mask6, s.Network6), "%s %s set, and %s is not: IPv6 takes all three",
			strings.Join(have, " and "), are, strings.Join(missing, " nor "))
		return six
	}
	six.Gateway = c.gateway6(parts[0], parts[1])
	if six.Gateway.IsValid() {
		c.network6(parts[2], six.Gateway)
	}
	c.warn(first, fmt.Sprintf(`write %s="" until then`, s.Addr6), "%s are not served yet by this version: guests of network %s get IPv4 only",
		strings.Join(have, ", "), bridge)
	return six
}

// gateway6 is the bridge's address and prefix length; invalid with a problem.
func (c *checker) gateway6(addr, mask value) netip.Prefix {
	a, err := netip.ParseAddr(addr.text)
	bits, notNumber := strconv.ParseUint(mask.text, 10, 8)
	bad := netip.Prefix{}
	p := netip.PrefixFrom(a, int(bits))
	switch {
	case err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "":
		c.refuse(addr, fmt.Sprintf(`write the bridge's address, like %s="fd94:d372:e27f:2987::1"`, addr.name), "%s is %q, which is no IPv6 address", addr.name, addr.text)
		return bad
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast():
		c.refuse(addr, fmt.Sprintf(`write an address of a subnet of your own, like %s="fd94:d372:e27f:2987::1"`, addr.name), "%s is no address from which a subnet could be served", a)
		return bad
	case notNumber != nil || bits > 128:
		c.refuse(mask, fmt.Sprintf(`write %s="64"`, mask.name), "%s is %q, which is no length of an IPv6 prefix", mask.name, mask.text)
		return bad
	case bits > 126:
		c.refuse(mask, fmt.Sprintf(`write %s="64"`, mask.name), "%s has no room for guests", p.Masked())
		return bad
	case a == p.Masked().Addr():
		c.refuse(addr, fmt.Sprintf("write %s=%q for the first address of it", addr.name, a.Next()), "%s is the subnet itself, and no address that the bridge could have", p)
		return bad
	}
	return p
}

// network6 checks the subnet that is translated from.
func (c *checker) network6(v value, gateway netip.Prefix) {
	hint := fmt.Sprintf("write %s=%q", v.name, gateway.Masked())
	p, err := netip.ParsePrefix(v.text)
	switch {
	case err != nil || !p.Addr().Is6():
		c.refuse(v, hint, "%s is %q, which is no IPv6 subnet", v.name, v.text)
	case p.Masked() != gateway.Masked():
		c.refuse(v, hint, "%s is %s, but %s and %s make %s", v.name, p.Masked(), c.script.Addr6, c.script.Mask6, gateway.Masked())
	}
}
