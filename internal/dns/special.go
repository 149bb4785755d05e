package dns

import (
	"net/netip"

	codec "github.com/miekg/dns"
)

// specialNames never leave this host (RFC 6761, and as noted). What is asked below
// them does not exist.
var specialNames = [...]string{
	"invalid",       // RFC 6761 §6.4
	"test",          // RFC 6761 §6.2
	"local",         // RFC 6762 §22.1: multicast DNS only
	"onion",         // RFC 7686 §2
	"alt",           // RFC 9476 §2
	"home.arpa",     // RFC 8375 §4
	"resolver.arpa", // RFC 9462 §8.2
}

// privateName is left to private networks by ICANN, and some cloud hosts live on
// it. It may go to a resolver with a private address, and to no other.
const privateName = "internal"

// answerSpecial answers the special-use names other than reverse ones.
func answerSpecial(q question) (answer, bool) {
	if isUnder(q.name, "localhost") { // RFC 6761 §6.3
		soa := newSOA("localhost.", "localhost.", maxTTL)
		if q.name == "localhost" && (q.qtype == codec.TypeSOA || q.qtype == codec.TypeNS) {
			return answerEmptyZone(q, soa), true
		}
		return answerAddrs(q, []netip.Addr{loopback4, netip.IPv6Loopback()}, true, maxTTL, soa), true
	}
	for _, name := range specialNames {
		if !isUnder(q.name, name) {
			continue
		}
		if name == "home.arpa" && q.name == name && q.qtype == codec.TypeDS {
			return answer{}, false // RFC 8375 §4: the proof that it is unsigned comes from its parent
		}
		return answerNothingBelow(q, name), true
	}
	return answer{}, false
}

var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// answerNothingBelow answers from a zone that has an apex and nothing else.
func answerNothingBelow(q question, origin string) answer {
	soa := newSOA(origin+".", origin+".", maxTTL)
	if q.name == origin {
		return answerEmptyZone(q, soa)
	}
	return answer{rcode: codec.RcodeNameError, soa: soa}
}
