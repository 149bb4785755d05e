package move

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

const (
	arpLength  = 14 + 28
	arpRequest = 1 // RFC 826
	arpReply   = 2
)

// arpFrame is an Ethernet frame with an ARP packet for IPv4 (RFC 826).
func arpFrame(to ipam.MAC, op uint16, sender ipam.MAC, senderIP netip.Addr, target ipam.MAC, targetIP netip.Addr) []byte {
	b := make([]byte, 0, arpLength)
	b = append(b, to[:]...)
	b = append(b, sender[:]...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_ARP)
	b = append(b, 0, 1, 8, 0, 6, 4) // Ethernet, IPv4, their lengths
	b = binary.BigEndian.AppendUint16(b, op)
	b = append(b, sender[:]...)
	b = append(b, senderIP.AsSlice()...)
	b = append(b, target[:]...)
	return append(b, targetIP.AsSlice()...)
}

// everyone is the broadcast address.
func everyone() ipam.MAC { return ipam.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// announcements tell the whole link who has the address now: as a request (RFC 5227 §2.3) and as a
// reply, because there are systems that heed only one of them.
func announcements(mac ipam.MAC, a netip.Addr) [][]byte {
	return [][]byte{
		arpFrame(everyone(), arpRequest, mac, a, ipam.MAC{}, a),
		arpFrame(everyone(), arpReply, mac, a, everyone(), a),
	}
}

// question asks who has the address, without telling anything about the asker (RFC 5227 §1.1, ARP
// probe): a request by the gateway's address would depend on the guest's route back.
func question(to, asker ipam.MAC, a netip.Addr) []byte {
	return arpFrame(to, arpRequest, asker, netip.IPv4Unspecified(), ipam.MAC{}, a)
}

// parseReply reads who told asker to have which address; ok is false for anything else, so also for
// an announcement, which proves that somebody speaks but not that he answers.
func parseReply(frame []byte, asker ipam.MAC) (mac ipam.MAC, a netip.Addr, ok bool) {
	if len(frame) < arpLength || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_ARP || ipam.MACFrom(frame) != asker {
		return mac, a, false
	}
	p := frame[14:]
	if [6]byte(p) != [6]byte{0, 1, 8, 0, 6, 4} || binary.BigEndian.Uint16(p[6:]) != arpReply {
		return mac, a, false
	}
	return ipam.MAC(p[8:14]), netip.AddrFrom4([4]byte(p[14:18])), true
}
