package dnsmasq

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"berth/internal/ipam"
)

// Server is an upstream DNS server.
type Server struct {
	Addr    netip.AddrPort // invalid: the servers of the resolver files ("#")
	Zone    string         // of a link-local address: the interface
	Domains []string       // whose names it is asked for; none: all that no other server is for; "" is that of names without a dot
	Source  ipam.Source
}

const dnsPort = 53

// cutDomains splits "/one/two/value" into domains and value. A value without a "/" in front has no domains.
func (r *reader) cutDomains(value text) (domains []string, rest text, bad *mistake) {
	value = unhidden(value)
	rest, has := value.cutPrefix("/")
	if !has {
		return nil, value, nil
	}
	for {
		domain, next, more := rest.cut('/')
		if !more {
			return domains, rest, nil
		}
		rest = next
		if domain.s == "#" {
			return nil, lastOf(rest), nil // every name, as if there were no domain
		}
		name, bad := zone(domain)
		if bad != nil {
			return nil, rest, bad
		}
		domains = append(domains, name)
	}
}

func lastOf(t text) text {
	for {
		_, next, more := t.cut('/')
		if !more {
			return t
		}
		t = next
	}
}

// zone reads a domain of server=, local= and address=: dots in front of it change nothing, and nothing stands
// for the names without a dot.
func zone(t text) (string, *mistake) {
	for strings.HasPrefix(t.s, ".") {
		t = t.from(1)
	}
	if t.isEmpty() {
		return "", nil
	}
	if strings.HasPrefix(t.s, "*") {
		return "", wrong(t, "leave the * out: the names below a domain are always meant", "%s has a wildcard, which is not served", quote(t.s))
	}
	return parseName(t, "domain")
}

// unhidden is the text as it is meant; its places are those of the first bytes.
func unhidden(t text) text { return text{t.plain(), t.cols} }

// server reads server= and local=, which mean the same.
func (r *reader) server(value text) *mistake {
	domains, rest, bad := r.cutDomains(value)
	if bad != nil {
		return bad
	}
	if rest.isEmpty() {
		if len(domains) == 0 {
			r.unserve(value, "write no-resolv and no server", "a server without an address is not honoured; it would answer every name with \"no such name\"")
		}
		r.c.LocalDomains = append(r.c.LocalDomains, domains...)
		return nil
	}
	s, bad := r.upstream(rest)
	if bad != nil || s == nil {
		return bad
	}
	s.Domains = domains
	r.c.Servers = append(r.c.Servers, *s)
	return nil
}

// upstream reads ADDRESS[%ZONE][#PORT][@SOURCE]. It is nil without a mistake when it is not honoured.
func (r *reader) upstream(t text) (*Server, *mistake) {
	s := &Server{Source: r.in(t.col())}
	if t.s == "#" {
		return s, nil
	}
	host, source, hasSource := t.cut('@')
	if hasSource {
		if _, sourcePort, ok := source.cut('#'); ok {
			if bad := port(sourcePort); bad != nil {
				return nil, bad
			}
		}
	}
	host, portText, hasPort := host.cut('#')
	number := dnsPort
	if hasPort {
		if bad := port(portText); bad != nil {
			return nil, bad
		}
		number = atoi(portText.s)
	}
	address, scope, hasScope := host.cut('%')
	addr, ok := parseAddr(address.s)
	switch {
	case !ok && (strings.Trim(address.s, "0123456789.") == "" || strings.Contains(address.s, ":")):
		return nil, wrong(t, "write it like 192.0.2.53, 192.0.2.53#5353 or 2001:db8::53", "%s is no address", quote(address.s))
	case !ok:
		if _, bad := parseName(address, "address"); bad != nil {
			return nil, bad
		}
		r.unserve(t, "write the address itself: getent ahosts "+address.s, "server %s is not honoured; it would be looked up once at start", quote(address.s))
		return nil, nil
	case number == 0:
		return nil, wrong(portText, "leave the port out", "nobody listens at port 0")
	}
	if hasSource {
		r.unserve(source, "a route decides that: ip route get "+addr.String(), "@%s is not honoured; it would be asked from there", source.s)
	}
	if hasScope && addr.Is6() {
		s.Zone = scope.s
	}
	s.Addr = netip.AddrPortFrom(addr, uint16(min(number, math.MaxUint16)))
	return s, nil
}

// reverseServer reads ADDRESS[/BITS],SERVER: who is asked for the names of addresses.
func (r *reader) reverseServer(value text) *mistake {
	network, server, has := unhidden(value).cut(',')
	address, bitsText, hasBits := network.cut('/')
	addr, ok := parseAddr(address.s)
	if !ok {
		return wrong(network, "write it like 10.64.177.0/24", "%s is no network", quote(network.s))
	}
	bits := addr.BitLen()
	if hasBits {
		if bad := number(bitsText); bad != nil {
			return bad
		}
		bits = atoi(bitsText.s)
	}
	if bits < 1 || bits > addr.BitLen() {
		return wrong(bitsText, "write a prefix length from 1 to "+strconv.Itoa(addr.BitLen()), "%s is no prefix length", quote(bitsText.s))
	}
	domains := reverseZones(netip.PrefixFrom(addr, bits).Masked())
	if !has {
		r.c.LocalDomains = append(r.c.LocalDomains, domains...)
		return nil
	}
	s, bad := r.upstream(server)
	if bad != nil || s == nil {
		return bad
	}
	s.Domains = domains
	r.c.Servers = append(r.c.Servers, *s)
	return nil
}

// reverseZones are the domains that the names of a prefix's addresses lie in: one where its length ends
// with a label, else one for each label that its last bits allow.
func reverseZones(p netip.Prefix) []string {
	width, base, suffix := 8, 10, "in-addr.arpa"
	if p.Addr().Is6() {
		width, base, suffix = 4, 16, "ip6.arpa"
	}
	whole, rest := p.Bits()/width, p.Bits()%width
	label := func(i int) int {
		b := p.Addr().AsSlice()[i*width/8]
		if width == 4 && i%2 == 0 {
			return int(b >> 4)
		}
		return int(b) & (1<<width - 1)
	}
	tail := suffix
	for i := range whole {
		tail = strconv.FormatInt(int64(label(i)), base) + "." + tail
	}
	if rest == 0 {
		return []string{tail}
	}
	var zones []string
	for i := range 1 << (width - rest) {
		zones = append(zones, strconv.FormatInt(int64(label(whole)+i), base)+"."+tail)
	}
	return zones
}
