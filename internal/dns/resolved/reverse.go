package resolved

import (
	"net/netip"
	"strconv"
)

// reverseZones are the names in in-addr.arpa or ip6.arpa that cover a subnet, and nothing
// but the subnet: the neighbours of a small one, say on the host's own LAN, are asked for
// elsewhere. A subnet that ends inside a label needs several, 128 at most.
func reverseZones(p netip.Prefix) []string {
	if !p.IsValid() {
		return nil
	}
	bits, suffix := 8, "in-addr.arpa"
	if p.Addr().Is6() {
		bits, suffix = 4, "ip6.arpa"
	}
	whole := (p.Bits() + bits - 1) / bits // labels
	address := p.Masked().Addr().AsSlice()
	name := suffix
	for i := range whole - 1 {
		name = label(address, i, bits) + "." + name
	}
	if whole == 0 {
		return []string{name}
	}
	var zones []string
	first := digit(address, whole-1, bits)
	for i := range 1 << (whole*bits - p.Bits()) {
		zones = append(zones, format(first+i, bits)+"."+name)
	}
	return zones
}

// digit is the i-th octet of an IPv4 address, or nibble of an IPv6 address.
func digit(address []byte, i, bits int) int {
	if bits == 8 {
		return int(address[i])
	}
	return int(address[i/2]>>(4*(1-i%2))) & 15
}

func label(address []byte, i, bits int) string { return format(digit(address, i, bits), bits) }

// format writes an octet in decimal and a nibble in hexadecimal (RFC 1035 §3.5, RFC 3596 §2.5).
func format(n, bits int) string {
	if bits == 8 {
		return strconv.Itoa(n)
	}
	return strconv.FormatInt(int64(n), 16)
}
