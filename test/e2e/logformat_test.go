package e2e_test

import (
	"context"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"berth/internal/netnstest"
)

// dhcpLine is a line of dnsmasq's log about a message, from where its own words begin.
var dhcpLine = regexp.MustCompile(`dnsmasq-dhcp\[\d+\]: (DHCP[A-Z]+\(.*)`)

// dhcpLines are the lines about messages, without the process that wrote them.
func dhcpLines(log string) []string {
	var lines []string
	for _, m := range dhcpLine.FindAllStringSubmatch(log, -1) {
		lines = append(lines, m[1])
	}
	return lines
}

// speaker sends DHCP messages as a client would, from inside a guest.
type speaker struct {
	t    *testing.T
	conn net.PacketConn
	mac  net.HardwareAddr
}

func newSpeaker(t *testing.T, g *netnstest.Guest, mac string) *speaker {
	t.Helper()
	s := &speaker{t: t}
	var err error
	if s.mac, err = net.ParseMAC(mac); err != nil {
		t.Fatal(err)
	}
	err = g.Do(func() (err error) {
		config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			failed := raw.Control(func(fd uintptr) {
				if err = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "eth0"); err == nil {
					err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
				}
			})
			if failed != nil {
				return failed
			}
			return err
		}}
		s.conn, err = config.ListenPacket(context.Background(), "udp4", "0.0.0.0:68")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close() })
	return s
}

// say broadcasts a message of a type; it asks for broadcast answers.
func (s *speaker) say(kind dhcpv4.MessageType, modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	s.t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(s.mac), dhcpv4.WithBroadcast(true),
	}, modifiers...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.conn.WriteTo(m.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 67}); err != nil {
		s.t.Fatal(err)
	}
	return m
}

// hear waits for an answer to a message.
func (s *speaker) hear(m *dhcpv4.DHCPv4, want dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := s.conn.ReadFrom(buf)
		if err != nil {
			s.t.Fatalf("no %s: %v", want, err)
		}
		if a, err := dhcpv4.FromBytes(buf[:n]); err == nil && a.TransactionID == m.TransactionID {
			if a.MessageType() != want {
				s.t.Fatalf("answered %s, want %s", a.MessageType(), want)
			}
			return a
		}
	}
}

// bind goes from DISCOVER to ACK.
func (s *speaker) bind() net.IP {
	s.t.Helper()
	name := dhcpv4.WithOption(dhcpv4.OptHostName("web"))
	offer := s.hear(s.say(dhcpv4.MessageTypeDiscover, name), dhcpv4.MessageTypeOffer)
	s.hear(s.say(dhcpv4.MessageTypeRequest, name, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(gateway))),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr))), dhcpv4.MessageTypeAck)
	return offer.YourIPAddr
}

// everyMessage has the guest called web say everything that a client can say to a server, and waits until
// the server has written about it.
func everyMessage(t *testing.T, log func() string) []string {
	t.Helper()
	g := netnstest.AddGuest(t, bridge, "web", importMAC(1))
	s := newSpeaker(t, g, importMAC(1))
	server := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(gateway)))
	written := func(n int) {
		t.Helper()
		awaitLong(t, 10*time.Second, "the server to write", func() bool { return len(dhcpLines(log())) >= n })
	}
	a := s.bind()
	written(4)
	s.hear(s.say(dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptHostName("web")), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(a))), dhcpv4.MessageTypeOffer)
	written(6)
	nested, err := net.ParseMAC(importMAC(3)) // dnsmasq has another word for one who has a lease
	if err != nil {
		t.Fatal(err)
	}
	s.hear(s.say(dhcpv4.MessageTypeRequest, dhcpv4.WithHwAddr(nested), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 0, 2, 9)))), dhcpv4.MessageTypeNak)
	written(8)
	s.say(dhcpv4.MessageTypeInform, dhcpv4.WithClientIP(a), dhcpv4.WithOption(dhcpv4.OptHostName("web")))
	written(10)
	s.say(dhcpv4.MessageTypeRelease, server, dhcpv4.WithClientIP(a))
	written(11)
	s.bind()
	written(15)
	s.say(dhcpv4.MessageTypeDecline, server, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(a)))
	written(16)
	return dhcpLines(log())
}

// TestLogInTheFormOfDnsmasq lets the same client say the same to a dnsmasq and to berth.
func TestLogInTheFormOfDnsmasq(t *testing.T) {
	netnstest.Require(t, "dnsmasq", "ip")
	var want []string
	t.Run("dnsmasq", func(t *testing.T) {
		netnstest.Bridge(t, bridge, gateway+"/24")
		var said lockedBuffer
		cmd := exec.Command("dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--user=root", "--bind-interfaces",
			"--pid-file=", "--port=0", "--interface="+bridge, "--except-interface=lo", "--dhcp-authoritative", "--no-ping",
			"--dhcp-range=10.64.177.50,10.64.177.50,1h", "--dhcp-leasefile="+t.TempDir()+"/leases")
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		await(t, "dnsmasq to start", func() bool { return strings.Contains(said.String(), "DHCP, sockets bound") })
		want = everyMessage(t, said.String)
	})
	t.Run("berth", func(t *testing.T) {
		config := strings.Replace(baseConfig, "10.64.177.10-10.64.177.99", "10.64.177.50", 1)
		s := serve(t, config+"[log]\nformat = \"dnsmasq\"\n", "")
		have := everyMessage(t, s.log.String)
		if !slices.Equal(have, want) {
			t.Errorf("berth writes\n%s\ndnsmasq wrote\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
		}
		if log := s.log.String(); strings.Contains(log, "msg=bound") || strings.Contains(log, "msg=received") || !strings.Contains(log, "msg=serving") {
			t.Errorf("the other lines are not as they should be:\n%s", log)
		}
		write(t, s.config, config)
		s.must("reload")
		g := netnstest.AddGuest(t, bridge, "late", importMAC(2))
		newSpeaker(t, g, importMAC(2)).say(dhcpv4.MessageTypeDiscover)
		s.await("a line in the other format", func() bool { return strings.Contains(s.log.String(), "msg=received") })
		if lines := dhcpLines(s.log.String()); len(lines) != len(have) {
			t.Errorf("after the format was changed back: %v", lines[len(have):])
		}
	})
}
