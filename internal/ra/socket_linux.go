package ra

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	sniff "github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"berth/internal/ipam"
)

// requiredHops is the hop limit of all neighbour discovery: what has it was sent on the link (RFC 4861 §6.1).
const requiredHops = 255

// socket is a raw ICMPv6 socket of one bridge. The kernel checks and makes the checksums.
type socket struct {
	conn   *ipv6.PacketConn
	link   link
	bridge string
	buffer []byte
}

func openWire(bridge string, l link) (wire, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctl := c.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, bridge)
		})
		return errors.Join(ctl, err)
	}}
	raw, err := config.ListenPacket(context.Background(), "ip6:58", "::")
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, &ipam.Problem{
			Code: ipam.CodeDenied, Err: err, Text: "router advertisements on " + bridge + " are not permitted",
			Hint: "run berth as root, or with CAP_NET_RAW and CAP_NET_ADMIN",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("raw ICMPv6 socket: %w", err)
	}
	s := &socket{conn: ipv6.NewPacketConn(raw), link: l, bridge: bridge, buffer: make([]byte, 1500)}
	if err := s.prepare(); err != nil {
		raw.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) prepare() error {
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	ifi := &net.Interface{Index: s.link.index, Name: s.bridge}
	return errors.Join(
		wrap("filter messages", s.conn.SetICMPFilter(&filter)),
		wrap("join ff02::2", s.conn.JoinGroup(ifi, &net.IPAddr{IP: net.IPv6linklocalallrouters})),
		wrap("ask for hop limits", s.conn.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagInterface, true)),
		wrap("hop limit", s.conn.SetHopLimit(requiredHops)),
		wrap("multicast hop limit", s.conn.SetMulticastHopLimit(requiredHops)),
		wrap("multicast interface", s.conn.SetMulticastInterface(ifi)),
		wrap("multicast loopback", s.conn.SetMulticastLoopback(false)),
	)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// send leaves from the link-local address: guests accept no other (RFC 4861 §6.1.2).
func (s *socket) send(message []byte, to netip.Addr) error {
	cm := &ipv6.ControlMessage{Src: s.link.source.AsSlice(), IfIndex: s.link.index}
	// By number: package net remembers for a minute which index a name had, also when the bridge was made anew since.
	_, err := s.conn.WriteTo(message, cm, &net.IPAddr{IP: to.AsSlice(), Zone: strconv.Itoa(s.link.index)})
	return err
}

func (s *socket) receive() (packet, error) {
	for {
		n, cm, from, err := s.conn.ReadFrom(s.buffer)
		if err != nil {
			return packet{}, err
		}
		ip, ok := from.(*net.IPAddr)
		if !ok || cm == nil || cm.IfIndex != s.link.index {
			continue
		}
		addr, ok := netip.AddrFromSlice(ip.IP)
		if !ok {
			continue
		}
		return packet{from: addr.WithZone(s.bridge), hops: cm.HopLimit, body: append([]byte(nil), s.buffer[:n]...)}, nil
	}
}

func (s *socket) Close() error { return s.conn.Close() }

// packetEar is a packet socket of the bridge: only it says from which hardware address a message came.
type packetEar struct {
	conn   *sniff.Conn
	bridge string
	buffer []byte
}

func openEar(bridge string, l link) (ear, error) {
	filter, err := bpf.Assemble(advertisementFilter())
	if err != nil {
		return nil, fmt.Errorf("assemble filter: %w", err)
	}
	conn, err := sniff.Listen(&net.Interface{Index: l.index, Name: bridge}, sniff.Datagram, unix.ETH_P_IPV6, &sniff.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("packet socket on %s: %w", bridge, err)
	}
	return &packetEar{conn: conn, bridge: bridge, buffer: make([]byte, 1500)}, nil
}

const (
	ipv6HeaderLen = 40
	outgoing      = 4 // PACKET_OUTGOING
)

// advertisementFilter lets router advertisements of others pass: what an IPv6 packet without extension headers holds.
func advertisementFilter() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: outgoing, SkipTrue: 5},
		bpf.LoadAbsolute{Off: 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 3},
		bpf.LoadAbsolute{Off: ipv6HeaderLen, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: typeAdvertisement, SkipTrue: 1},
		bpf.RetConstant{Val: 1500},
		bpf.RetConstant{Val: 0},
	}
}

func (e *packetEar) receive() (heard, error) {
	for {
		n, from, err := e.conn.ReadFrom(e.buffer)
		if err != nil {
			return heard{}, err
		}
		sender, ok := from.(*sniff.Addr)
		if !ok {
			continue
		}
		p, err := parsePacket(e.buffer[:n])
		if err != nil {
			continue
		}
		p.from = p.from.WithZone(e.bridge)
		return heard{packet: p, mac: ipam.MACFrom(sender.HardwareAddr)}, nil
	}
}

// parsePacket takes off the IPv6 header (RFC 8200 §3). The checksum is not looked at: guests that check it
// are not misled, those that do not are.
func parsePacket(b []byte) (packet, error) {
	if len(b) < ipv6HeaderLen || b[0]>>4 != 6 {
		return packet{}, errMalformed
	}
	end := ipv6HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
	if end > len(b) {
		return packet{}, errMalformed
	}
	return packet{
		from: netip.AddrFrom16([16]byte(b[8:24])), hops: int(b[7]),
		body: append([]byte(nil), b[ipv6HeaderLen:end]...),
	}, nil
}

func (e *packetEar) Close() error { return e.conn.Close() }
