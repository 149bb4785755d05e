package ra

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

var errMalformed = errors.New("malformed message")

// packet is a message as the kernel handed it over.
type packet struct {
	from netip.Addr // with the bridge as its zone
	hops int        // hop limit it came with; -1: not known
	body []byte     // from the type of ICMPv6 on
}

// solicitation is what is worth knowing of a valid router solicitation.
type solicitation struct {
	from netip.Addr // unspecified while the guest has no address yet
}

// parseSolicitation checks what RFC 4861 §6.1.1 asks to be checked, but for the checksum, which the kernel did.
func parseSolicitation(p packet) (solicitation, error) {
	if p.hops != 255 || len(p.body) < 8 || p.body[0] != typeSolicitation || p.body[1] != 0 || p.from.IsMulticast() {
		return solicitation{}, errMalformed
	}
	knowsLinkLayer := false
	err := eachOption(p.body[8:], func(kind byte, _ []byte) {
		knowsLinkLayer = knowsLinkLayer || kind == optSourceLinkLayer
	})
	if err != nil || knowsLinkLayer && p.from.IsUnspecified() {
		return solicitation{}, errMalformed
	}
	return solicitation{from: p.from}, nil
}

// parseAdvertisement checks what RFC 4861 §6.1.2 asks to be checked, and gives for how long the sender is a default router.
func parseAdvertisement(p packet) (lifetime time.Duration, err error) {
	if p.hops != 255 || len(p.body) < 16 || p.body[0] != typeAdvertisement || p.body[1] != 0 || !p.from.IsLinkLocalUnicast() {
		return 0, errMalformed
	}
	if err := eachOption(p.body[16:], func(byte, []byte) {}); err != nil {
		return 0, err
	}
	return time.Duration(binary.BigEndian.Uint16(p.body[6:])) * time.Second, nil
}

// eachOption walks over options: type, length in words of eight octets, and what follows (RFC 4861 §4.6).
func eachOption(b []byte, visit func(kind byte, value []byte)) error {
	for len(b) > 0 {
		if len(b) < 2 || b[1] == 0 || int(b[1])*8 > len(b) {
			return errMalformed
		}
		size := int(b[1]) * 8
		visit(b[0], b[2:size])
		b = b[size:]
	}
	return nil
}
