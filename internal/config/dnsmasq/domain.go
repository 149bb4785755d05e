package dnsmasq

import (
	"net/netip"
)

// domain reads NAME[,RANGE[,local]]: the domain of all guests, or of those in the range. One with a range is
// honoured when the gateway of the bridge lies in it, for then all of its guests do.
func (r *reader) domain(value text) *mistake {
	if value.s == "#" {
		r.unserve(value, "write the domain itself; see the line search in /etc/resolv.conf",
			"domain=# is not honoured; it would take the domain from /etc/resolv.conf")
		return nil
	}
	nameText, where, conditional := value.cut(',')
	name := ""
	if !nameText.isEmpty() {
		var bad *mistake
		if name, bad = parseName(nameText, "domain"); bad != nil {
			return bad
		}
	}
	if !conditional {
		r.c.Domain = name
		return nil
	}
	span, isLocal, bad := r.span(unhidden(where))
	if bad != nil {
		return bad
	}
	if !span.holds(r.command) {
		r.unserve(where, "write domain="+name+" when it is for all guests", "domain %s is not honoured; it would be for %s only", quote(name), where.plain())
		return nil
	}
	r.rangeDomain = name
	if isLocal {
		r.c.LocalDomains = append(r.c.LocalDomains, name)
	}
	return nil
}

// span is some addresses, or those of an interface's subnets.
type span struct {
	from, to netip.Addr
	bridge   string
}

// holds reports whether the bridge and its gateway lie in the span.
func (s span) holds(c Command) bool {
	if s.bridge != "" {
		return s.bridge == c.Bridge
	}
	return c.Gateway.IsValid() && s.from.BitLen() == c.Gateway.BitLen() && s.from.Compare(c.Gateway) <= 0 && c.Gateway.Compare(s.to) <= 0
}

// span reads ADDRESS/BITS[,local], ADDRESS[,ADDRESS] or INTERFACE.
func (r *reader) span(t text) (s span, isLocal bool, bad *mistake) {
	hint := "write it like domain=lxd,10.64.177.0/24,local"
	if address, rest, ok := t.cut('/'); ok {
		bitsText, word, hasWord := rest.cut(',')
		addr, ok := parseAddr(address.s)
		if !ok || bitsText.isEmpty() || number(bitsText) != nil || atoi(bitsText.s) > addr.BitLen() {
			return s, false, wrong(t, hint, "%s is no network", quote(t.s))
		}
		if hasWord && word.s != "local" {
			return s, false, wrong(word, hint, "%s is not understood here", quote(word.s))
		}
		p := netip.PrefixFrom(addr, atoi(bitsText.s)).Masked()
		return span{from: p.Addr(), to: last(p)}, hasWord, nil
	}
	first, second, isRange := t.cut(',')
	from, ok := parseAddr(first.s)
	if !ok {
		return span{bridge: first.s}, false, nil
	}
	to := from
	if isRange {
		second, _, _ = second.cut(',') // dnsmasq looks no further
		if to, ok = parseAddr(second.s); !ok || to.BitLen() != from.BitLen() {
			return s, false, wrong(second, hint, "%s is no address of the same kind", quote(second.s))
		}
	}
	return span{from: from, to: to}, false, nil
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
