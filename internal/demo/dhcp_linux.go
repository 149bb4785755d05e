package demo

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
)

// The parts of DHCP (RFC 2131, 2132) that the built-in client needs.
const (
	msgDiscover, msgOffer, msgRequest, msgACK, msgNAK = 1, 2, 3, 5, 6

	optMask, optRouter, optRequested, optLease = 1, 3, 50, 51
	optType, optServer                         = 53, 54
)

// askAgain is how long an answer may take.
const askAgain = time.Second

// dhcpClient is a DHCP client of one interface, no more than the demo needs. Like
// udhcpc it renews at half of the lease, and at SIGUSR1.
type dhcpClient struct {
	nic   string
	mac   net.HardwareAddr
	conn  *packet.Conn
	xid   uint32
	addr  netip.Addr // what it has; invalid: nothing
	renew chan os.Signal
}

// lease is what a server gave.
type lease struct {
	kind   byte
	addr   netip.Addr
	server []byte
	router netip.Addr
	bits   int
	time   time.Duration
}

// RunClient keeps the interface configured by DHCP until ctx ends.
func RunClient(ctx context.Context, nic string) error {
	link, err := net.InterfaceByName(nic)
	if err != nil {
		return fmt.Errorf("interface %s: %w", nic, err)
	}
	conn, err := packet.Listen(link, packet.Raw, syscall.ETH_P_IP, nil)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", nic, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c := &dhcpClient{nic: nic, mac: link.HardwareAddr, conn: conn, renew: make(chan os.Signal, 1)}
	signal.Notify(c.renew, syscall.SIGUSR1)
	defer signal.Stop(c.renew)
	for ctx.Err() == nil {
		l, err := c.acquire()
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return err
		}
		if l == nil {
			continue // nobody answered, or not as hoped: from the beginning
		}
		if err := c.apply("bound", l); err != nil {
			return err
		}
		if err := c.hold(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// acquire asks for any address; nil without an error: try again.
func (c *dhcpClient) acquire() (*lease, error) {
	c.newTransaction()
	c.addr = netip.Addr{}
	offer, err := c.ask(msgDiscover, nil)
	if offer == nil || err != nil || offer.kind != msgOffer {
		return nil, err
	}
	requested := offer.addr.AsSlice()
	l, err := c.ask(msgRequest, append(option(optRequested, requested), option(optServer, offer.server)...))
	if l == nil || err != nil || l.kind != msgACK {
		return nil, err
	}
	return l, nil
}

// hold keeps the lease until it is refused or runs out.
func (c *dhcpClient) hold(ctx context.Context, l *lease) error {
	c.addr = l.addr
	expiry := time.Now().Add(l.time)
	for {
		timer := time.NewTimer(l.time / 2)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-c.renew:
			timer.Stop()
		}
		c.newTransaction()
		renewed, err := c.ask(msgRequest, nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case renewed == nil && time.Now().Before(expiry):
			continue
		case renewed == nil, renewed.kind != msgACK:
			return c.apply("deconfig", &lease{})
		}
		l, expiry = renewed, time.Now().Add(renewed.time)
		c.addr = l.addr
		if err := c.apply("renew", l); err != nil {
			return err
		}
	}
}

// apply configures the interface as udhcpc's script would.
func (c *dhcpClient) apply(event string, l *lease) error {
	env := map[string]string{"interface": c.nic, "mask": strconv.Itoa(l.bits)}
	if l.addr.IsValid() {
		env["ip"] = l.addr.String()
	}
	if l.router.IsValid() {
		env["router"] = l.router.String()
	}
	return Apply(event, func(key string) string { return env[key] })
}

func (c *dhcpClient) newTransaction() {
	var b [4]byte
	rand.Read(b[:]) // never fails, as documented
	c.xid = binary.BigEndian.Uint32(b[:])
}

// ask broadcasts a message and waits for the answer to it; nil: none came.
func (c *dhcpClient) ask(kind byte, options []byte) (*lease, error) {
	everyone := &packet.Addr{HardwareAddr: net.HardwareAddr{255, 255, 255, 255, 255, 255}}
	if _, err := c.conn.WriteTo(c.frame(kind, options), everyone); err != nil {
		return nil, fmt.Errorf("send on %s: %w", c.nic, err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(askAgain)); err != nil {
		return nil, fmt.Errorf("wait on %s: %w", c.nic, err)
	}
	buf := make([]byte, 2048)
	for {
		n, _, err := c.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read on %s: %w", c.nic, err)
		}
		if l := c.parse(buf[:n]); l != nil {
			return l, nil
		}
	}
}

func option(code byte, value []byte) []byte { return append([]byte{code, byte(len(value))}, value...) }

const (
	ethLen, ipLen, udpLen, bootpLen = 14, 20, 8, 240
	headers                         = ethLen + ipLen + udpLen
)

// frame is a whole Ethernet frame with a DHCP message to everyone.
func (c *dhcpClient) frame(kind byte, options []byte) []byte {
	b := make([]byte, headers+bootpLen, 400)
	copy(b, []byte{255, 255, 255, 255, 255, 255})
	copy(b[6:], c.mac)
	b[12] = 8 // IPv4
	m := b[headers:]
	m[0], m[1], m[2] = 1, 1, 6 // a request, by Ethernet
	binary.BigEndian.PutUint32(m[4:], c.xid)
	if c.addr.IsValid() {
		copy(m[12:], c.addr.AsSlice())
	}
	copy(m[28:], c.mac)
	copy(m[236:], []byte{99, 130, 83, 99}) // RFC 2131 §3: the magic cookie
	b = append(b, option(optType, []byte{kind})...)
	b = append(b, options...)
	b = append(b, 55, 2, optMask, optRouter, 255)
	ip := b[ethLen:]
	ip[0], ip[8], ip[9] = 0x45, 64, syscall.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	if c.addr.IsValid() {
		copy(ip[12:], c.addr.AsSlice())
	}
	copy(ip[16:], []byte{255, 255, 255, 255})
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:ipLen]))
	udp := ip[ipLen:]
	udp[1], udp[3] = 68, 67
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp))) // RFC 768: checksum 0 is none
	return b
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// parse reads the answer to this client's question out of a frame; nil: it is none.
func (c *dhcpClient) parse(b []byte) *lease {
	if len(b) < headers+bootpLen || b[ethLen] != 0x45 || b[ethLen+9] != syscall.IPPROTO_UDP {
		return nil
	}
	m := b[headers:]
	if b[headers-udpLen+3] != 68 || m[0] != 2 || binary.BigEndian.Uint32(m[4:]) != c.xid {
		return nil
	}
	l := &lease{addr: netip.AddrFrom4([4]byte(m[16:20])), bits: 24, time: time.Hour}
	for o := m[bootpLen:]; len(o) > 1 && o[0] != 255; {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		size := int(o[1])
		if len(o) < 2+size {
			return nil
		}
		l.note(o[0], o[2:2+size])
		o = o[2+size:]
	}
	return l
}

// note takes over one option; what is too short is left out.
func (l *lease) note(code byte, value []byte) {
	switch {
	case code == optType && len(value) == 1:
		l.kind = value[0]
	case code == optServer && len(value) == 4:
		l.server = value
	case code == optRouter && len(value) >= 4:
		l.router = netip.AddrFrom4([4]byte(value[:4]))
	case code == optMask && len(value) == 4:
		l.bits, _ = net.IPMask(value).Size()
	case code == optLease && len(value) == 4:
		l.time = time.Duration(binary.BigEndian.Uint32(value)) * time.Second
	}
}
