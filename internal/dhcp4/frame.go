package dhcp4

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"berth/internal/ipam"
)

const (
	ethernetLen = 14
	ipLen       = 20
	udpLen      = 8
	headersLen  = ethernetLen + ipLen + udpLen
	serverPort  = 67
	clientPort  = 68
	protocolUDP = 17
	typeIPv4    = 0x0800
)

var everyMAC = ipam.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// limited is the limited broadcast address (RFC 919 §7).
func limited() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

var errFrame = errors.New("frame holds no whole UDP datagram for the server")

// frame is a received Ethernet frame that holds a datagram for port 67.
type frame struct {
	srcMAC, dstMAC ipam.MAC
	src, dst       netip.Addr // src is invalid when it was 0.0.0.0
	payload        []byte
}

// parse checks b and keeps slices of it. The UDP checksum is not verified: between the
// namespaces of one host it is not filled in yet, and nothing there can garble a byte.
func (f *frame) parse(b []byte) error {
	if len(b) < headersLen || binary.BigEndian.Uint16(b[12:]) != typeIPv4 {
		return errFrame
	}
	ip := b[ethernetLen:]
	header, total := int(ip[0]&0xf)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || header < ipLen || total < header+udpLen || total > len(ip) {
		return errFrame
	}
	// RFC 1122 §3.2.1.2: a header whose checksum is wrong is dropped in silence.
	if binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 || ip[9] != protocolUDP || checksum(0, ip[:header]) != 0 {
		return errFrame
	}
	udp := ip[header:total]
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp[2:]) != serverPort || size < udpLen || size > len(udp) {
		return errFrame
	}
	f.dstMAC, f.srcMAC = ipam.MACFrom(b[0:6]), ipam.MACFrom(b[6:12])
	f.src, f.dst = addrFrom(ip[12:16]), addrFrom(ip[16:20])
	f.payload = udp[udpLen:size]
	return nil
}

// address is where a reply goes.
type address struct {
	mac  ipam.MAC
	ip   netip.Addr
	port uint16
}

// seal writes the headers around the n bytes of a message that lie at headersLen of b, with
// both checksums, and returns the whole frame. The kernel is not left to finish the UDP
// checksum: it would not, towards a packet socket, and several clients drop such datagrams.
func seal(b []byte, n int, srcMAC ipam.MAC, src netip.Addr, to address) []byte {
	b = b[:headersLen+n]
	copy(b[0:6], to.mac[:])
	copy(b[6:12], srcMAC[:])
	binary.BigEndian.PutUint16(b[12:], typeIPv4)

	ip := b[ethernetLen:]
	from4, to4 := src.As4(), to.ip.As4()
	ip[0], ip[1] = 0x45, 0
	binary.BigEndian.PutUint16(ip[2:], uint16(ipLen+udpLen+n))
	binary.BigEndian.PutUint16(ip[4:], 0)
	binary.BigEndian.PutUint16(ip[6:], 0x4000) // RFC 6864 §4.1: never fragmented, so the id may be 0
	ip[8], ip[9] = 64, protocolUDP
	ip[10], ip[11] = 0, 0
	copy(ip[12:16], from4[:])
	copy(ip[16:20], to4[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip[:ipLen]))

	udp := ip[ipLen:]
	binary.BigEndian.PutUint16(udp[0:], serverPort)
	binary.BigEndian.PutUint16(udp[2:], to.port)
	binary.BigEndian.PutUint16(udp[4:], uint16(udpLen+n))
	udp[6], udp[7] = 0, 0
	sum := checksum(pseudoHeader(ip, udpLen+n), udp)
	if sum == 0 {
		sum = 0xffff // RFC 768: zero would say that there is none
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
	return b
}

// pseudoHeader is the start of a UDP checksum (RFC 768).
func pseudoHeader(ip []byte, udpSize int) uint32 {
	sum := uint32(protocolUDP) + uint32(udpSize)
	for i := 12; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	return sum
}

// checksum is the Internet checksum (RFC 1071) of b, continued from sum.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
