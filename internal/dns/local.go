package dns

import (
	"net/netip"
	"strings"

	codec "github.com/miekg/dns"
)

// question is what a client wants to know.
type question struct {
	name    string   // lower case, without the final dot; "" for the root
	asked   string   // as it was asked, so that an answer echoes its case (RFC 4343)
	qtype   uint16   //
	network *network // whose gateway was asked
}

// answer is what there is to say with authority.
type answer struct {
	rcode   int
	records []codec.RR
	soa     codec.RR   // in a negative answer (RFC 2308 §2)
	glue    []codec.RR //
}

// forgetAtOnce makes the answer one that nobody remembers. It is for this host's own resolver:
// what systemd-resolved keeps would be told to all programs of the host after a guest has moved.
func (a *answer) forgetAtOnce() {
	for _, records := range [][]codec.RR{a.records, a.glue} {
		for _, r := range records {
			r.Header().Ttl = 0
		}
	}
	if soa, ok := a.soa.(*codec.SOA); ok {
		soa.Hdr.Ttl, soa.Minttl = 0, 0 // RFC 2308 §5: the lesser of the two counts
	}
}

// local answers the questions that never leave this host: the names and addresses
// of the networks, the special-use names, and names of a single label. It reports false
// when the question is for the upstream resolvers.
func (v *view) local(names Names, q question) (answer, bool) {
	if z := v.zoneOf(q.name); z != nil {
		return z.answer(names, q), true
	}
	if r, ok := parseReverse(q.name); ok {
		return v.answerReverse(names, q, r)
	}
	if a, ok := answerSpecial(q); ok {
		return a, true
	}
	if q.name != "" && !strings.Contains(q.name, ".") {
		return v.answerSingleLabel(names, q)
	}
	return answer{}, false
}

// answer answers a name in the zone.
func (z *zone) answer(names Names, q question) answer {
	networks := firstOf(q.network, z.networks)
	ttl := networks[0].ttl
	for _, n := range networks {
		ttl = min(ttl, n.ttl)
	}
	soa := newSOA(z.origin+".", networks[0].fqdn(gatewayName), ttl)
	if q.name == z.origin {
		return z.answerApex(q, soa, networks[0])
	}
	addrs, exists := lookup(names, networks, strings.TrimSuffix(q.name, "."+z.origin))
	return answerAddrs(q, addrs, exists, ttl, soa)
}

// gatewayName always means the network's gateway: no guest can be called so.
const gatewayName = "_gateway"

// lookup finds a relative name in the networks that share a domain. A guest may be
// called "gateway"; while none is, that name means the gateway too.
func lookup(names Names, networks []*network, name string) (addrs []netip.Addr, exists bool) {
	if name == gatewayName {
		return []netip.Addr{networks[0].gateway}, true
	}
	for _, n := range networks {
		found, ok := names.LookupName(n.name, name)
		exists = exists || ok
		if addrs == nil {
			addrs = found
		} else {
			addrs = append(addrs[:len(addrs):len(addrs)], found...)
		}
	}
	if !exists && name == "gateway" {
		return []netip.Addr{networks[0].gateway}, true
	}
	return addrs, exists
}

// answerAddrs answers a name with the given addresses.
func answerAddrs(q question, addrs []netip.Addr, exists bool, ttl uint32, soa codec.RR) answer {
	if !exists {
		return answer{rcode: codec.RcodeNameError, soa: soa}
	}
	var a answer
	for _, addr := range addrs {
		// RFC 8482 §4.1: ANY is answered with a subset, here the addresses.
		if addr.Is4() && (q.qtype == codec.TypeA || q.qtype == codec.TypeANY) {
			a.records = append(a.records, &codec.A{Hdr: header(q.asked, codec.TypeA, ttl), A: addr.AsSlice()})
		}
		if addr.Is6() && (q.qtype == codec.TypeAAAA || q.qtype == codec.TypeANY) {
			a.records = append(a.records, &codec.AAAA{Hdr: header(q.asked, codec.TypeAAAA, ttl), AAAA: addr.AsSlice()})
		}
	}
	if a.records == nil {
		a.soa = soa
	}
	return a
}

// answerApex answers the zone's own name: SOA and NS, nothing else.
func (z *zone) answerApex(q question, soa *codec.SOA, n *network) answer {
	a := answerEmptyZone(q, soa)
	if q.qtype == codec.TypeNS && n.gateway.Is4() {
		a.glue = []codec.RR{&codec.A{Hdr: header(soa.Ns, codec.TypeA, n.ttl), A: n.gateway.AsSlice()}}
	}
	return a
}

// answerSingleLabel looks for a plain name in every network, the asking one first.
func (v *view) answerSingleLabel(names Names, q question) (answer, bool) {
	ttl := uint32(maxTTL)
	for _, n := range v.networks {
		ttl = min(ttl, n.ttl)
	}
	soa := newSOA(".", gatewayName+".", ttl)
	for _, n := range firstOf(q.network, v.networks) {
		if addrs, exists := lookup(names, []*network{n}, q.name); exists {
			return answerAddrs(q, addrs, true, ttl, soa), true
		}
	}
	switch q.qtype {
	case codec.TypeNS, codec.TypeSOA, codec.TypeDS, codec.TypeDNSKEY, codec.TypeRRSIG, codec.TypeNSEC, codec.TypeNSEC3:
		// Of a top-level domain: a guest that validates or iterates needs these.
		return answer{}, false
	}
	return answer{rcode: codec.RcodeNameError, soa: soa}, true
}

// answerEmptyZone answers the apex of a zone from its SOA.
func answerEmptyZone(q question, soa *codec.SOA) answer {
	switch q.qtype {
	case codec.TypeSOA, codec.TypeANY:
		own := *soa
		own.Hdr.Name = q.asked
		return answer{records: []codec.RR{&own}}
	case codec.TypeNS:
		return answer{records: []codec.RR{&codec.NS{Hdr: header(q.asked, codec.TypeNS, soa.Hdr.Ttl), Ns: soa.Ns}}}
	}
	return answer{soa: soa}
}

// newSOA is the SOA of a zone that nobody transfers: only its TTL means something.
func newSOA(origin, primary string, ttl uint32) *codec.SOA {
	return &codec.SOA{
		Hdr: header(origin, codec.TypeSOA, ttl), Ns: primary, Mbox: "nobody.invalid.",
		Serial: 1, Refresh: 3600, Retry: 1200, Expire: 604800, Minttl: ttl,
	}
}

func header(owner string, rrtype uint16, ttl uint32) codec.RR_Header {
	return codec.RR_Header{Name: owner, Rrtype: rrtype, Class: codec.ClassINET, Ttl: ttl}
}
