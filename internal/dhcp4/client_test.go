package dhcp4

import (
	"encoding/binary"
	"net"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

// client makes the frames that a client sends. The reference codec writes the messages.
type client struct {
	mac  ipam.MAC
	via  ipam.MAC // source of the frames; zero: mac
	mods []dhcpv4.Modifier
}

// guest is the client on the own interface of guest number n.
func guest(n byte, mods ...dhcpv4.Modifier) client { return client{mac: mac(n), mods: mods} }

func (c client) with(mods ...dhcpv4.Modifier) client {
	c.mods = append(append([]dhcpv4.Modifier(nil), c.mods...), mods...)
	return c
}

func ip(s string) net.IP { return net.ParseIP(s).To4() }

func withCiaddr(a string) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) { d.ClientIPAddr = ip(a) }
}

func withGiaddr(a string) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) { d.GatewayIPAddr = ip(a) }
}

func withChaddr(m ipam.MAC) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) { d.ClientHWAddr = m[:] }
}

func withOption(code byte, data ...byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(code), data))
}

func withAddr(code byte, a string) dhcpv4.Modifier { return withOption(code, ip(a)...) }

func withText(code byte, text string) dhcpv4.Modifier { return withOption(code, []byte(text)...) }

// message is a message of the type, without a frame.
func (c client) message(kind messageType, mods ...dhcpv4.Modifier) []byte {
	d, err := dhcpv4.New(dhcpv4.WithHwAddr(c.mac[:]), dhcpv4.WithMessageType(dhcpv4.MessageType(kind)))
	if err != nil {
		panic(err)
	}
	d.TransactionID = [4]byte{1, 2, 3, 4}
	for _, m := range append(append([]dhcpv4.Modifier(nil), c.mods...), mods...) {
		m(d)
	}
	return d.ToBytes()
}

// broadcast is a frame for everyone.
func (c client) broadcast(kind messageType, mods ...dhcpv4.Modifier) []byte {
	return c.frame("0.0.0.0", "255.255.255.255", everyMAC, c.message(kind, mods...))
}

func (c client) discover(mods ...dhcpv4.Modifier) []byte { return c.broadcast(discover, mods...) }

// selecting chooses our offer.
func (c client) selecting(a string, mods ...dhcpv4.Modifier) []byte {
	return c.broadcast(request, append([]dhcpv4.Modifier{withAddr(optServerID, "10.0.0.1"), withAddr(optRequested, a)}, mods...)...)
}

func (c client) rebooting(a string, mods ...dhcpv4.Modifier) []byte {
	return c.broadcast(request, append([]dhcpv4.Modifier{withAddr(optRequested, a)}, mods...)...)
}

// unicast is sent from the client's address to the server's.
func (c client) unicast(kind messageType, from string, mods ...dhcpv4.Modifier) []byte {
	return c.frame(from, "10.0.0.1", bridgeMAC, c.message(kind, append([]dhcpv4.Modifier{withCiaddr(from)}, mods...)...))
}

func (c client) renewing(from string, mods ...dhcpv4.Modifier) []byte {
	return c.unicast(request, from, mods...)
}

func (c client) rebinding(from string, mods ...dhcpv4.Modifier) []byte {
	return c.frame(from, "255.255.255.255", everyMAC, c.message(request, append([]dhcpv4.Modifier{withCiaddr(from)}, mods...)...))
}

func (c client) release(from string, mods ...dhcpv4.Modifier) []byte {
	return c.unicast(release, from, append([]dhcpv4.Modifier{withAddr(optServerID, "10.0.0.1")}, mods...)...)
}

func (c client) decline(a string, mods ...dhcpv4.Modifier) []byte {
	return c.broadcast(decline, append([]dhcpv4.Modifier{withAddr(optServerID, "10.0.0.1"), withAddr(optRequested, a)}, mods...)...)
}

func (c client) frame(src, dst string, dstMAC ipam.MAC, payload []byte) []byte {
	from := c.via
	if from.IsZero() {
		from = c.mac
	}
	return rawFrame(from, dstMAC, src, dst, clientPort, serverPort, payload)
}

// rawFrame is written here by hand and not by seal, which is what is tested.
func rawFrame(from, to ipam.MAC, src, dst string, sport, dport uint16, payload []byte) []byte {
	b := append([]byte(nil), to[:]...)
	b = append(b, from[:]...)
	b = append(b, 8, 0, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(28+len(payload)))
	b = append(b, 0, 7, 0, 0, 64, 17, 0, 0)
	b = append(b, ip(src)...)
	b = append(b, ip(dst)...)
	sum := ^uint16(onesSum(b[14:34]))
	b[24], b[25] = byte(sum>>8), byte(sum)
	b = binary.BigEndian.AppendUint16(b, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	b = append(b, 0, 0)
	return append(b, payload...)
}
