package dns

import (
	"net/netip"
	"strconv"
	"strings"

	codec "github.com/miekg/dns"
)

const (
	suffix4 = "in-addr.arpa"
	suffix6 = "ip6.arpa"
)

// reverseName is what a name in in-addr.arpa or ip6.arpa stands for.
type reverseName struct {
	prefix netip.Prefix // as long as the labels say
	below  bool         // there are further labels in front, which mean no address
}

// parseReverse reads a reverse name; ok is false when it is none.
func parseReverse(name string) (r reverseName, ok bool) {
	if name == suffix4 || strings.HasSuffix(name, "."+suffix4) {
		var octets [4]byte
		n, below := parseLabels(strings.TrimSuffix(strings.TrimSuffix(name, suffix4), "."), octets[:], parseOctet)
		return reverseName{netip.PrefixFrom(netip.AddrFrom4(octets), 8*n), below}, true
	}
	if name == suffix6 || strings.HasSuffix(name, "."+suffix6) {
		var nibbles [32]byte
		n, below := parseLabels(strings.TrimSuffix(strings.TrimSuffix(name, suffix6), "."), nibbles[:], parseNibble)
		var octets [16]byte
		for i, v := range nibbles {
			octets[i/2] |= v << (4 * (1 - i%2))
		}
		return reverseName{netip.PrefixFrom(netip.AddrFrom16(octets), 4*n), below}, true
	}
	return reverseName{}, false
}

// parseLabels reads labels from the right into out, and says how many it read and
// whether any were left.
func parseLabels(labels string, out []byte, parse func(string) (byte, bool)) (n int, below bool) {
	for labels != "" {
		dot := strings.LastIndexByte(labels, '.')
		v, ok := parse(labels[dot+1:])
		if !ok || n == len(out) {
			return n, true
		}
		out[n] = v
		n++
		labels = labels[:max(dot, 0)]
	}
	return n, false
}

func parseOctet(s string) (byte, bool) {
	v, err := strconv.ParseUint(s, 10, 8)
	return byte(v), err == nil && (s == "0" || s[0] != '0' && s[0] != '+')
}

func parseNibble(s string) (byte, bool) {
	v, err := strconv.ParseUint(s, 16, 8)
	return byte(v), err == nil && len(s) == 1
}

// reverseText is the name of a prefix whose length is a whole number of labels.
func reverseText(p netip.Prefix) string {
	var b strings.Builder
	if p.Addr().Is4() {
		octets := p.Addr().As4()
		for i := p.Bits()/8 - 1; i >= 0; i-- {
			b.WriteString(strconv.Itoa(int(octets[i])))
			b.WriteByte('.')
		}
		return b.String() + suffix4
	}
	octets := p.Addr().As16()
	for i := p.Bits()/4 - 1; i >= 0; i-- {
		b.WriteString(strconv.FormatUint(uint64(octets[i/2]>>(4*(1-i%2))&15), 16))
		b.WriteByte('.')
	}
	return b.String() + suffix6
}

// reverseZone is a run of addresses whose names are answered here. A prefix that
// ends inside a label is several zones, all of zoneBits.
type reverseZone struct {
	prefix   netip.Prefix
	zoneBits int
	network  *network // nil: a private or special one that has no names
}

// subnetZone holds the reverse names of a network. A subnet smaller than a /24
// shares its zone's apex with its neighbours, but answers for its own addresses only.
func subnetZone(n *network) reverseZone {
	z := newReverseZone(n.subnet)
	if z.prefix.Addr().Is4() {
		z.zoneBits = min(z.zoneBits, 24)
	}
	z.network = n
	return z
}

func newReverseZone(p netip.Prefix) reverseZone {
	label := 8
	if p.Addr().Is6() {
		label = 4
	}
	return reverseZone{prefix: p.Masked(), zoneBits: max(1, (p.Bits()+label-1)/label) * label}
}

// privateZones are the ones of RFC 6303 §4 and RFC 7793 §2.2.
func privateZones() []reverseZone {
	prefixes := [...]string{
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
		"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16",
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "255.255.255.255/32",
		"::/128", "::1/128", "fd00::/8", "fe80::/10", "2001:db8::/32",
	}
	zones := make([]reverseZone, len(prefixes))
	for i, p := range prefixes {
		zones[i] = newReverseZone(netip.MustParsePrefix(p))
	}
	return zones
}

// holds reports whether the zone answers for r: all of it lies inside, or it is
// the apex that a small subnet answers for.
func (z *reverseZone) holds(r reverseName) bool {
	return z.prefix.Overlaps(r.prefix) &&
		(r.prefix.Bits() >= z.prefix.Bits() || r.prefix.Bits() == z.zoneBits)
}

// origin is the name of the zone that r lies in.
func (z *reverseZone) origin(r reverseName) string {
	p, err := r.prefix.Addr().Prefix(min(z.zoneBits, r.prefix.Bits()))
	if err != nil {
		return suffix4
	}
	return reverseText(p)
}

// answerReverse answers the reverse names of the networks and of private addresses.
func (v *view) answerReverse(names Names, q question, r reverseName) (answer, bool) {
	for i := range v.reverse {
		if z := &v.reverse[i]; z.holds(r) {
			return v.answerIn(z, names, q, r), true
		}
	}
	return answer{}, false
}

func (v *view) answerIn(z *reverseZone, names Names, q question, r reverseName) answer {
	origin := z.origin(r) + "."
	soa := newSOA(origin, origin, maxTTL)
	if z.network != nil {
		soa = newSOA(origin, z.network.fqdn(gatewayName), z.network.ttl)
	}
	switch {
	case r.below:
		return answer{rcode: codec.RcodeNameError, soa: soa}
	case r.prefix.Bits() == z.zoneBits && !r.prefix.IsSingleIP():
		return answerEmptyZone(q, soa)
	case r.prefix.IsSingleIP():
		return v.answerPTR(names, q, r.prefix.Addr(), soa)
	case z.network == nil && !v.hasNamesIn(r.prefix):
		return answer{rcode: codec.RcodeNameError, soa: soa} // RFC 8020
	}
	return answer{soa: soa} // an empty non-terminal
}

// hasNamesIn reports whether some address of p has, or may get, a name.
func (v *view) hasNamesIn(p netip.Prefix) bool {
	if p.Addr().IsLoopback() {
		return true
	}
	for _, n := range v.networks {
		if n.subnet.Overlaps(p) {
			return true
		}
	}
	return false
}

// answerPTR answers the full reverse name of one address.
func (v *view) answerPTR(names Names, q question, a netip.Addr, soa *codec.SOA) answer {
	name := v.nameOf(names, a)
	if name == "" {
		return answer{rcode: codec.RcodeNameError, soa: soa}
	}
	if q.qtype != codec.TypePTR && q.qtype != codec.TypeANY {
		return answer{soa: soa}
	}
	return answer{records: []codec.RR{&codec.PTR{Hdr: header(q.asked, codec.TypePTR, soa.Hdr.Ttl), Ptr: name}}}
}

// longestName is that of an absolute name as text (RFC 1035 §2.3.4).
const longestName = 254

// nameOf is the absolute name of an address, "" for none.
func (v *view) nameOf(names Names, a netip.Addr) string {
	if a.IsLoopback() {
		return "localhost." // RFC 6761 §6.3, RFC 1912 §4.1
	}
	for _, n := range v.networks {
		if a == n.gateway {
			return n.fqdn(gatewayName)
		}
	}
	name, in, ok := names.LookupAddr(a)
	n := v.network(in)
	if !ok || n == nil || name == "" {
		return ""
	}
	if full := n.fqdn(name); len(full) <= longestName {
		return full
	}
	return ""
}
