package bridgevars

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"berth/internal/config"
	"berth/internal/ipam"
)

// What the scripts leave to dnsmasq: an hour is its lease time. The drain has no counterpart there.
const (
	leaseTime = time.Hour
	drain     = 30 * time.Second
)

// network checks what makes a network. What can not be made out stays zero, and is among the problems.
func (c *checker) network() *ipam.Network {
	n := &ipam.Network{
		Name: c.get(c.script.Bridge).text, LeaseTime: leaseTime, Drain: drain, Authoritative: true,
		// The dhcp-host lines of these files go by the name that a client sends. Here that counts for clients
		// only that nobody can name, and never for the name of a guest that is plugged in.
		TrustHostname: true,
		NAT:           c.script.NAT == "" || c.flag(c.script.NAT),
		NoAccept:      c.script.Firewall != "" && !c.flag(c.script.Firewall),
	}
	if bad := config.CheckBridge(n.Name); bad != nil {
		c.refuse(c.get(c.script.Bridge), bad.Hint, "%s", bad.Text)
	}
	if v := c.get(c.script.Domain); v.text != "" {
		var bad *ipam.Problem
		if n.Domain, bad = config.CheckDomain(v.text); bad != nil {
			c.refuse(v, bad.Hint, "%s", bad.Text)
		}
	}
	if p := c.subnet(); p.IsValid() {
		n.Gateway, n.Subnet = p.Addr(), p.Masked()
		c.natNetwork(n)
		c.dhcpRange(n)
		c.dhcpMax(n)
	}
	return n
}

// subnet is the bridge's address and the prefix length that its mask makes; invalid with a problem.
func (c *checker) subnet() netip.Prefix {
	addr, mask := c.get(c.script.Addr), c.get(c.script.Netmask)
	if addr.text == "" {
		c.noSubnet(addr)
		return netip.Prefix{}
	}
	a, ok := c.address4(addr)
	bits, alsoOK := c.maskBits(mask)
	if !ok || !alsoOK {
		return netip.Prefix{}
	}
	p := netip.PrefixFrom(a, bits)
	bad := config.CheckSubnet(p)
	n := ipam.Network{Subnet: p.Masked()}
	switch {
	case bad == nil:
		return p
	case bits > 30 || bits < 8:
		c.refuse(mask, fmt.Sprintf(`write %s="255.255.255.0" if the subnet has 256 addresses`, mask.name), "%s", bad.Text)
	case a == n.Subnet.Addr() || a == n.Broadcast():
		c.refuse(addr, fmt.Sprintf("write %s=%q for the first address of the subnet", addr.name, n.Hosts().From), "%s", bad.Text)
	default:
		c.refuse(addr, fmt.Sprintf(`write an address of a private subnet, like %s="10.64.177.1" (RFC 1918)`, addr.name), "%s", bad.Text)
	}
	return netip.Prefix{}
}

// noSubnet says what is missing where there is no address.
func (c *checker) noSubnet(addr value) {
	hint := fmt.Sprintf(`write %s="10.64.177.1", %s="255.255.255.0", %s="10.64.177.0/24" and %s="10.64.177.2,10.64.177.254"`,
		addr.name, c.script.Netmask, c.script.Network, c.script.Range)
	for _, name := range []string{c.script.Netmask, c.script.Network, c.script.Range} {
		if v := c.get(name); v.text != "" {
			c.refuse(v, hint, "%s is set, and %s is not", name, addr.name)
			return
		}
	}
	c.refuse(addr, hint, "there is no IPv4 subnet, and a network without one is not served by this version")
}

// address4 reads the address of the bridge.
func (c *checker) address4(v value) (netip.Addr, bool) {
	a, err := netip.ParseAddr(v.text)
	if err == nil && a.Is4() {
		return a, true
	}
	hint := fmt.Sprintf(`write the bridge's address, like %s="10.64.177.1"`, v.name)
	p, prefixErr := netip.ParsePrefix(v.text)
	switch {
	case prefixErr == nil && p.Addr().Is4():
		c.refuse(v, fmt.Sprintf("write %s=%q, and %s=%q", v.name, p.Addr(), c.script.Netmask, maskOf(p.Bits())),
			"%s is %q: the length of the prefix does not belong here", v.name, v.text)
	case err == nil:
		c.refuse(v, hint+"; the IPv6 address goes to "+c.script.Addr6, "%s is %q, which is no IPv4 address", v.name, v.text)
	default:
		c.refuse(v, hint, "%s is %q, which is no IPv4 address", v.name, v.text)
	}
	return netip.Addr{}, false
}

// maskBits reads a mask like 255.255.255.0 as a prefix length.
func (c *checker) maskBits(v value) (int, bool) {
	for bits := 0; bits <= 32; bits++ {
		if v.text == maskOf(bits).String() {
			return bits, true
		}
	}
	number := v.text
	if len(number) > 0 && number[0] == '/' {
		number = number[1:]
	}
	a, err := netip.ParseAddr(v.text)
	switch bits, notNumber := strconv.Atoi(number); {
	case v.text == "":
		c.refuse(v, fmt.Sprintf(`write %s="255.255.255.0" if the subnet has 256 addresses`, v.name), "%s is missing: without it the bridge has no address", v.name)
	case notNumber == nil && bits >= 0 && bits <= 32:
		c.refuse(v, fmt.Sprintf("write %s=%q", v.name, maskOf(bits)), "%s is %q, the length of a prefix, and not the mask", v.name, v.text)
	case err == nil && a.Is4():
		c.refuse(v, `write a mask like "255.255.255.0"`, "%s is %q, which has holes: the ones of a mask stand before its zeros", v.name, v.text)
	default:
		c.refuse(v, `write a mask like "255.255.255.0"`, "%s is %q, which is no mask", v.name, v.text)
	}
	return 0, false
}

func maskOf(bits int) netip.Addr {
	p, _ := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(bits)
	return p.Addr()
}

// natNetwork checks the subnet that the script translates from. The packages of lxd-bridge write the bridge's
// own address with the length, which iptables understands as the subnet.
func (c *checker) natNetwork(n *ipam.Network) {
	v := c.get(c.script.Network)
	hint := fmt.Sprintf("write %s=%q", v.name, n.Subnet)
	p, err := netip.ParsePrefix(v.text)
	switch {
	case v.text == "":
		c.refuse(v, hint, "%s is missing: without it %s gives a bridge neither DHCP nor NAT", v.name, c.script.Name)
	case err != nil || !p.Addr().Is4():
		c.refuse(v, hint, "%s is %q, which is no IPv4 subnet", v.name, v.text)
	case p.Masked() != n.Subnet:
		is := "is"
		if !v.isSet {
			is = "is not set, and by default"
		}
		c.refuse(v, hint+", or mend "+c.script.Addr+" and "+c.script.Netmask,
			"%s %s %s, but %s and %s make %s", v.name, is, p.Masked(), c.script.Addr, c.script.Netmask, n.Subnet)
	case p.Addr() != n.Subnet.Addr() && p.Addr() != n.Gateway:
		c.warn(v, hint, "%s is %q, which has bits of a host; it is taken for %s", v.name, v.text, n.Subnet)
	}
}
