package ra

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"berth/internal/ipam"
)

// Message types and options of neighbour discovery (RFC 4861 §4, RFC 4191 §2.3, RFC 8106 §5).
const (
	typeSolicitation  = 133
	typeAdvertisement = 134

	optSourceLinkLayer = 1
	optPrefix          = 3
	optMTU             = 5
	optRoute           = 24
	optResolvers       = 25
	optSearch          = 31
)

const (
	flagManaged    = 0x80
	flagOther      = 0x40
	flagOnLink     = 0x80
	flagAutonomous = 0x40

	infinite = 1<<32 - 1 // seconds, RFC 4861 §4.6.2
)

// maxMessage is what passes on every link without a fragment (1280 octets, of which 40 are the IPv6 header): guests drop
// neighbour discovery in fragments (RFC 6980 §5). What does not fit goes into another advertisement (RFC 4861 §6.2.3).
const maxMessage = 1240

// An option that would be longer is made several.
const (
	maxResolvers    = 32
	maxSearchOctets = 512
)

// advertisement is what one round of messages says.
type advertisement struct {
	lifetime       time.Duration // of the default router; 0: none
	managed, other bool
	mac            ipam.MAC // zero: not said
	mtu            int      // 0: not said
	prefixes       []Prefix // with lifetimes as they are sent
	routes         []timed[netip.Prefix]
	resolvers      []timed[netip.Addr]
	search         []timed[string]
}

// timed is something that a guest may use for a while, or with 0 no longer.
type timed[T any] struct {
	what T
	life time.Duration
}

// encode gives the ICMPv6 messages, with the checksum left to the kernel. Nearly always it is one.
func (a advertisement) encode() [][]byte {
	head := a.appendHeader(nil)
	messages := [][]byte{head}
	add := func(option []byte) {
		last := messages[len(messages)-1]
		if len(last)+len(option) > maxMessage {
			last = append([]byte(nil), head...)
			messages = append(messages, last)
		}
		messages[len(messages)-1] = append(last[:len(last):len(last)], option...)
	}
	for _, p := range a.prefixes {
		add(appendPrefix(nil, p))
	}
	for _, r := range a.routes {
		add(appendRoute(nil, r))
	}
	for from := 0; from < len(a.resolvers); {
		n := 1
		for n < maxResolvers && from+n < len(a.resolvers) && a.resolvers[from+n].life == a.resolvers[from].life {
			n++
		}
		add(appendResolvers(nil, a.resolvers[from:from+n]))
		from += n
	}
	for from := 0; from < len(a.search); {
		option, n := appendSearch(nil, a.search[from:])
		add(option)
		from += n
	}
	return messages
}

// appendHeader writes what every message of a round has (RFC 4861 §4.2). Reachable time and retransmission timer are
// left unspecified: they are the guests' own business.
func (a advertisement) appendHeader(b []byte) []byte {
	var flags byte
	if a.managed {
		flags |= flagManaged
	}
	if a.other {
		flags |= flagOther
	}
	b = append(b, typeAdvertisement, 0, 0, 0, hopLimit, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(min(seconds(a.lifetime), 65535)))
	b = append(b, make([]byte, 8)...)
	if !a.mac.IsZero() {
		b = append(append(b, optSourceLinkLayer, 1), a.mac[:]...) // RFC 4861 §4.6.1
	}
	if a.mtu != 0 {
		b = append(b, optMTU, 1, 0, 0) // RFC 4861 §4.6.4
		b = binary.BigEndian.AppendUint32(b, uint32(a.mtu))
	}
	return b
}

// appendPrefix writes a prefix information option (RFC 4861 §4.6.2).
func appendPrefix(b []byte, p Prefix) []byte {
	var flags byte
	if p.OnLink {
		flags |= flagOnLink
	}
	if p.Autonomous {
		flags |= flagAutonomous
	}
	b = append(b, optPrefix, 4, byte(p.Prefix.Bits()), flags)
	b = binary.BigEndian.AppendUint32(b, seconds(p.Valid))
	b = binary.BigEndian.AppendUint32(b, seconds(p.Preferred))
	b = append(b, 0, 0, 0, 0)
	addr := p.Prefix.Masked().Addr().As16()
	return append(b, addr[:]...)
}

// appendRoute writes a route information option of medium preference, with no more of the prefix than it needs (RFC 4191 §2.3).
func appendRoute(b []byte, r timed[netip.Prefix]) []byte {
	octets := (r.what.Bits() + 63) / 64 * 8
	b = append(b, optRoute, byte(1+octets/8), byte(r.what.Bits()), 0)
	b = binary.BigEndian.AppendUint32(b, seconds(r.life))
	addr := r.what.Masked().Addr().As16()
	return append(b, addr[:octets]...)
}

// appendResolvers writes one RDNSS option for resolvers of the same lifetime (RFC 8106 §5.1).
func appendResolvers(b []byte, rs []timed[netip.Addr]) []byte {
	b = append(b, optResolvers, byte(1+2*len(rs)), 0, 0)
	b = binary.BigEndian.AppendUint32(b, seconds(rs[0].life))
	for _, r := range rs {
		addr := r.what.As16()
		b = append(b, addr[:]...)
	}
	return b
}

// appendSearch writes one DNSSL option, padded with zeros to whole words of eight octets (RFC 8106 §5.2), and says how many
// of the domains are in it: those of the same lifetime, as long as there is room.
func appendSearch(b []byte, domains []timed[string]) (option []byte, n int) {
	start := len(b)
	b = append(b, optSearch, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, seconds(domains[0].life))
	for _, d := range domains {
		longer, err := appendName(b, d.what)
		if n > 0 && (len(longer)-start > maxSearchOctets || d.life != domains[0].life) {
			break
		}
		n++
		if err == nil { // else clean let a bad name pass
			b = longer
		}
	}
	for (len(b)-start)%8 != 0 {
		b = append(b, 0)
	}
	b[start+1] = byte((len(b) - start) / 8)
	return b, n
}

// appendName writes a domain in the wire form of RFC 1035 §3.1, without compression.
func appendName(b []byte, domain string) ([]byte, error) {
	start := len(b)
	for label := range strings.SplitSeq(strings.TrimSuffix(domain, "."), ".") {
		if label == "" || len(label) > 63 {
			return b[:start], fmt.Errorf("%q is no domain: a label has 1 to 63 octets", domain)
		}
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0)
	if len(b)-start > 255 {
		return b[:start], fmt.Errorf("%q is no domain: it is longer than 253 octets", domain)
	}
	return b, nil
}

// seconds rounds down; more than fits is for ever.
func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 0), infinite))
}
