package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"

	"berth/internal/netnstest"
)

// storm is a crowd of simulated DHCP clients behind one port, each with a hardware
// address of its own, as nested containers would be. It remembers what was ACKed.
type storm struct {
	conn *packet.Conn

	mu    sync.Mutex
	acked map[string]netip.Addr // by hardware address
	wait  map[string]chan *dhcpv4.DHCPv4
}

const ethIPv4 = 0x0800

func newStorm(t testing.TB, g *netnstest.Guest) *storm {
	t.Helper()
	s := &storm{acked: make(map[string]netip.Addr), wait: make(map[string]chan *dhcpv4.DHCPv4)}
	err := g.Do(func() error {
		nic, err := net.InterfaceByName(g.NIC)
		if err != nil {
			return err
		}
		// Promiscuous: the answers go to hardware addresses that the NIC does not have.
		if s.conn, err = packet.Listen(nic, packet.Raw, ethIPv4, nil); err != nil {
			return err
		}
		return s.conn.SetPromiscuous(true)
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.listen() }()
	t.Cleanup(func() { s.conn.Close(); <-done })
	return s
}

// listen hands each reply to the client it is for.
func (s *storm) listen() {
	buf := make([]byte, 2048)
	for {
		n, _, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		const headers = 14 + 20 + 8
		if n < headers || buf[23] != 17 || buf[36] != 0 || buf[37] != 68 {
			continue
		}
		m, err := dhcpv4.FromBytes(append([]byte(nil), buf[headers:n]...))
		if err != nil {
			continue
		}
		s.mu.Lock()
		ch := s.wait[m.ClientHWAddr.String()]
		s.mu.Unlock()
		if ch != nil {
			select {
			case ch <- m:
			default:
			}
		}
	}
}

// exchange sends a message and waits for the reply of the wanted type.
func (s *storm) exchange(ctx context.Context, m *dhcpv4.DHCPv4, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	mac := m.ClientHWAddr.String()
	ch := make(chan *dhcpv4.DHCPv4, 4)
	s.mu.Lock()
	s.wait[mac] = ch
	s.mu.Unlock()
	for {
		if _, err := s.conn.WriteTo(frame(m), &packet.Addr{HardwareAddr: net.HardwareAddr{255, 255, 255, 255, 255, 255}}); err != nil {
			return nil, err
		}
		retry := time.NewTimer(500 * time.Millisecond)
		select {
		case r := <-ch:
			retry.Stop()
			if r.MessageType() == want && r.TransactionID == m.TransactionID {
				return r, nil
			}
			if r.MessageType() == dhcpv4.MessageTypeNak {
				return nil, fmt.Errorf("%s was NAKed", mac)
			}
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return nil, ctx.Err()
		}
	}
}

// lease runs a whole exchange for the client and remembers what it was promised.
func (s *storm) lease(ctx context.Context, mac net.HardwareAddr) error {
	discover, err := dhcpv4.NewDiscovery(mac)
	if err != nil {
		return err
	}
	offer, err := s.exchange(ctx, discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer)
	if err != nil {
		return err
	}
	ack, err := s.exchange(ctx, request, dhcpv4.MessageTypeAck)
	if err != nil {
		return err
	}
	addr, _ := netip.AddrFromSlice(ack.YourIPAddr.To4())
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, ok := s.acked[mac.String()]; ok && before != addr {
		return fmt.Errorf("%s was promised %s, and %s before", mac, addr, before)
	}
	s.acked[mac.String()] = addr
	return nil
}

// frame wraps a message as a broadcast from the client's own hardware address.
func frame(m *dhcpv4.DHCPv4) []byte {
	payload := m.ToBytes()
	b := make([]byte, 0, 42+len(payload))
	b = append(b, 255, 255, 255, 255, 255, 255)
	b = append(b, m.ClientHWAddr...)
	b = append(b, 8, 0)
	total := 28 + len(payload)
	ip := []byte{0x45, 0, byte(total >> 8), byte(total), 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(ip[i])<<8 | uint32(ip[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	ip[10], ip[11] = byte(^sum>>8), byte(^sum)
	b = append(b, ip...)
	udp := 8 + len(payload)
	b = append(b, 0, 68, 0, 67, byte(udp>>8), byte(udp), 0, 0) // RFC 768: checksum 0 is none
	return append(b, payload...)
}
