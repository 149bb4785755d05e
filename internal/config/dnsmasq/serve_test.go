package dnsmasq_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"berth/internal/config/dnsmasq"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

const (
	bridge  = "lxdbr0"
	gateway = "10.64.0.1"
)

// serve starts a real dnsmasq on a configuration, and returns a way to ask it.
func serve(t *testing.T, text string) *asker {
	t.Helper()
	netnstest.Require(t, "dnsmasq", "ip")
	netnstest.Bridge(t, bridge, gateway+"/16")
	file := filepath.Join(t.TempDir(), "dnsmasq.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dnsmasq", "--no-daemon", "--conf-file="+file, "--port=0", "--interface="+bridge, "--bind-interfaces", "--no-ping",
		"--dhcp-leasefile="+file+".leases", "--pid-file=", "--user=root", "--log-facility="+file+".log")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(file + ".log")
			t.Logf("%s%s", output.String(), log[:min(len(log), 4096)])
		}
	})
	g := netnstest.AddGuest(t, bridge, "asker", "02:00:00:00:00:01")
	g.Run(t, "ip", "link", "set", g.NIC, "up")
	a := &asker{}
	if err := g.Do(func() error {
		config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			return errors.Join(c.Control(func(fd uintptr) {
				err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1), unix.BindToDevice(int(fd), g.NIC))
			}), err)
		}}
		conn, err := config.ListenPacket(context.Background(), "udp4", "0.0.0.0:68")
		if err == nil {
			a.conn = conn.(*net.UDPConn)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.conn.Close() })
	return a
}

// asker is as many DHCP clients as one likes, on one socket.
type asker struct {
	conn *net.UDPConn
	xid  uint32
}

// discover asks until an OFFER comes; it is nil when none does.
func (a *asker) discover(t *testing.T, mac ipam.MAC, hostname string, patience time.Duration, asked ...uint8) *dhcpv4.DHCPv4 {
	t.Helper()
	a.xid++
	m, err := dhcpv4.New(dhcpv4.WithHwAddr(net.HardwareAddr(mac[:])), dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover), dhcpv4.WithBroadcast(true))
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(m.TransactionID[:], a.xid)
	if hostname != "" {
		m.UpdateOption(dhcpv4.OptHostName(hostname))
	}
	if asked != nil {
		m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionParameterRequestList, asked))
	}
	raw := m.ToBytes()
	b := make([]byte, 1500)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := a.conn.WriteToUDP(raw, &net.UDPAddr{IP: net.IPv4bcast, Port: 67}); err != nil {
			t.Fatal(err)
		}
		for _ = a.conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); ; {
			n, _, err := a.conn.ReadFromUDP(b)
			if err != nil {
				break
			}
			reply, err := dhcpv4.FromBytes(b[:n])
			if err == nil && reply.TransactionID == m.TransactionID && reply.MessageType() == dhcpv4.MessageTypeOffer {
				return reply
			}
		}
	}
	return nil
}

// TestDnsmasqGivesThePinnedAddresses makes lines of all kinds, and asks a real dnsmasq for everybody in them: who
// has a pin here gets that address there, for as long.
func TestDnsmasqGivesThePinnedAddresses(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := mixer{rand.New(rand.NewPCG(seed, 0))}
	lines := []string{"dhcp-range=10.64.1.0,10.64.1.255,255.255.0.0,2h", "dhcp-authoritative", "domain=lxd"}
	type client struct {
		mac  ipam.MAC
		name string
	}
	var clients []client
	for i := range 300 {
		mac := ipam.MAC{2, 0x16, 0x3e, byte(m.IntN(4)), byte(i >> 8), byte(i)}
		name := fmt.Sprintf("%s%d", m.of("c", "Web-", "x_"), i)
		addr := fmt.Sprintf("10.64.%d.%d", 10+i/200, 1+i%200)
		fields := []string{addr}
		switch m.IntN(6) {
		case 0, 1:
			fields = append(fields, name+m.of("", "", ".lxd"))
		case 2:
			fields = append(fields, m.of(mac.String(), strings.ToUpper(mac.String())))
		case 3:
			fields = append(fields, mac.String(), name)
		case 4:
			fields = append(fields, mac.String(), m.of("id:*", "set:red", "id:01:02:03", fmt.Sprintf("02:16:3e:ff:%02x:%02x", i>>8, i&255)))
		case 5:
			fields = append(fields, m.of(name+",ignore", "tag:never,"+name, "id:"+name, fmt.Sprintf("02:16:3e:%02x:%02x:*", 100+i>>8, i&255)))
		}
		if m.IntN(3) == 0 {
			fields = append(fields, m.of("45m", "infinite", "300", "1W"))
		}
		lines = append(lines, "dhcp-host="+m.list(fields...))
		clients = append(clients, client{mac, name})
	}
	text := strings.Join(lines, "\n") + "\n"
	a := serve(t, text)
	c, problems := dnsmasq.Command{Bridge: bridge}.Parse("dnsmasq.conf", []byte(text), machineless)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	pins := make(map[ipam.Holder]ipam.Pin)
	for _, p := range c.Pins {
		pins[p.Holder] = p
	}
	compared := 0
	for _, who := range clients {
		pin, ok := pins[ipam.ByMAC(who.mac)]
		if !ok {
			pin, ok = pins[ipam.ByName(who.name)]
		}
		if !ok {
			continue
		}
		compared++
		offer := a.discover(t, who.mac, who.name, 10*time.Second)
		if offer == nil {
			t.Fatalf("%s %s: no answer", who.mac, who.name)
		}
		want := c.Ranges[0].LeaseTime
		if pin.LeaseTime != 0 {
			want = pin.LeaseTime
		}
		got, _ := netip.AddrFromSlice(offer.YourIPAddr.To4())
		if got != pin.Addr || offer.IPAddressLeaseTime(0) != want {
			t.Errorf("%s %s: dnsmasq gives %s for %s, want %s for %s (%s)", who.mac, who.name, got, offer.IPAddressLeaseTime(0), pin.Addr, want, lines[pin.Source.Line-1])
		}
	}
	if compared < 150 || compared > 299 {
		t.Errorf("%d of %d hosts have a pin: no mixture", compared, len(clients))
	}
}

// TestDnsmasqPrefers asks as clients for which several lines could be meant.
func TestDnsmasqPrefers(t *testing.T) {
	const text = `dhcp-range=10.64.1.0,10.64.1.255,255.255.0.0,1h
dhcp-host=both,10.64.9.1
dhcp-host=02:00:00:00:09:02,10.64.9.2
dhcp-host=02:00:00:00:*:*,10.64.9.3
dhcp-host=02:00:00:00:09:04,guarded,10.64.9.4
dhcp-host=twice,10.64.9.5
dhcp-host=twice,10.64.9.6
`
	a := serve(t, text)
	c, problems := dnsmasq.Parse("dnsmasq.conf", []byte(text), machineless)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	tests := []struct {
		name     string
		mac      ipam.MAC
		hostname string
		want     string
		holder   ipam.Holder // whose pin that is here; zero: nobody's
	}{
		{"the hardware address before the name", ipam.MAC{2, 0, 0, 0, 9, 2}, "both", "10.64.9.2", ipam.ByMAC(ipam.MAC{2, 0, 0, 0, 9, 2})},
		{"the name", ipam.MAC{2, 7, 0, 0, 9, 7}, "both", "10.64.9.1", ipam.ByName("both")},
		{"a wildcard before the name", ipam.MAC{2, 0, 0, 0, 9, 8}, "both", "10.64.9.3", ipam.Holder{}},
		{"of two lines for a name the last", ipam.MAC{2, 7, 0, 0, 9, 9}, "twice", "10.64.9.6", ipam.ByName("twice")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			offer := a.discover(t, tt.mac, tt.hostname, 10*time.Second)
			if offer == nil || offer.YourIPAddr.String() != tt.want {
				t.Errorf("dnsmasq offers %v, want %s", offer, tt.want)
			}
			have := ""
			for _, p := range c.Pins {
				if p.Holder == tt.holder {
					have = p.Addr.String() // the last one counts
				}
			}
			if tt.holder.IsZero() != (have == "") || have != "" && have != tt.want {
				t.Errorf("the pin of %s is %q, want %s", tt.holder, have, tt.want)
			}
		})
	}
	t.Run("a name is nobody's when its line has a hardware address", func(t *testing.T) {
		offer := a.discover(t, ipam.MAC{2, 7, 0, 0, 9, 10}, "guarded", 10*time.Second)
		if offer == nil || offer.YourIPAddr.String() == "10.64.9.4" {
			t.Errorf("dnsmasq offers %v", offer)
		}
		for _, p := range c.Pins {
			if p.Holder == ipam.ByName("guarded") {
				t.Errorf("%s is pinned to %s", p.Holder, p.Addr)
			}
		}
	})
}

// TestDnsmasqSendsTheOptions compares the bytes of each option with those that a real dnsmasq sends.
func TestDnsmasqSendsTheOptions(t *testing.T) {
	const text = `dhcp-range=10.64.1.0,10.64.1.255,255.255.0.0,1h
dhcp-option=option:router,10.64.0.9
dhcp-option=2,-3600
dhcp-option=4,10.64.0.8,10.64.0.7
dhcp-option=6
dhcp-option=13,300
dhcp-option=15,other.example
dhcp-option=17,"/root, path"
dhcp-option=19,0
dhcp-option=option:static-route,10.1.1.1,10.64.0.1
dhcp-option=23,50
dhcp-option=option:mtu,1400
dhcp-option=28,10.64.255.255
dhcp-option=option:arp-timeout,90
dhcp-option=40,nis
dhcp-option=option:ntp-server,0.0.0.0,10.64.0.5
dhcp-option=44,0.0.0.0
dhcp-option=46,8
dhcp-option=66,boot.example
dhcp-option=100,"EST5EDT4,M3.2.0/02:00,M11.1.0/02:00"
dhcp-option=108,300
dhcp-option=119,eng.lxd,lxd,sales.eng.lxd,other.example
dhcp-option=option:sip-server,10.64.0.3
dhcp-option=121,10.8.0.0/16,10.64.0.1,0.0.0.0/0,10.64.0.1,10.9.9.9/32,10.64.0.2,10.128.0.0/9,10.64.0.3
dhcp-option=128,e4:45:74:68:00:00
dhcp-option=129,NIC=eepro100
dhcp-option=150,10.64.0.4
dhcp-option=224,1
dhcp-option=225,256
dhcp-option=226,65536
dhcp-option=227,1i
dhcp-option=228,1s
dhcp-option=230,abc
dhcp-option=231,1:2:fff
dhcp-option=232,10.1.2.3
dhcp-option=234,"1"
dhcp-option=235,a.b,10.1.1.1
dhcp-option=236,lxd
dhcp-option=236,incus
dhcp-option=237," padded "
dhcp-option=252,"\n"
dhcp-option=253,-1
dhcp-option=lxdbr0,254,tagged
`
	a := serve(t, text)
	c, problems := dnsmasq.Command{Bridge: bridge, Gateway: netip.MustParseAddr(gateway)}.Parse("dnsmasq.conf", []byte(text), machineless)
	if len(problems) > 0 || len(c.Unserved) > 0 {
		t.Errorf("problems: %v\nunserved: %v", problems, c.Unserved)
	}
	asked := make(map[uint8]bool)
	for i, o := range c.Options {
		asked[o.Code] = true
		offer := a.discover(t, ipam.MAC{2, 9, 0, 0, 0, byte(i)}, "", 10*time.Second, o.Code)
		if offer == nil {
			t.Fatalf("option %d: no answer", o.Code)
		}
		got := offer.Options[o.Code]
		if o.Code == 66 {
			got = bytes.TrimSuffix(got, []byte{0}) // which RFC 2132 §2 wants nobody to send
		}
		if !bytes.Equal(got, o.Data) {
			t.Errorf("option %d: dnsmasq sends %x, want %x", o.Code, got, o.Data)
		}
	}
	if len(asked) < 40 {
		t.Errorf("%d options only", len(asked))
	}
}
