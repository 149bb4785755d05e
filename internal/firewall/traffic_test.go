package firewall_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/firewall"
	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// world is this machine with two networks of berth's, one without NAT, and an uplink.
type world struct {
	a, b, far, plain, internet *netnstest.Guest
	fw                         *firewall.Firewall
}

func newWorld(t *testing.T) *world {
	t.Helper()
	netnstest.Require(t, "ip", "nft", "nsenter")
	t.Cleanup(func() { netnstest.Run(t, "nft", "flush", "ruleset") })
	set(t, "net/ipv4/ip_forward", "1")
	nets := ipam.Networks{network("br1", "10.1.0.0/24", true), network("br2", "10.2.0.0/24", true), network("br3", "10.3.0.0/24", false)}
	for _, n := range nets {
		netnstest.Bridge(t, n.Name, netip.PrefixFrom(n.Gateway, 24).String())
	}
	netnstest.Bridge(t, "uplink", "198.51.100.1/24")
	w := &world{fw: newFirewall(t)}
	w.a = guest(t, "br1", "a", "10.1.0.10/24", "10.1.0.1")
	w.b = guest(t, "br1", "b", "10.1.0.11/24", "10.1.0.1")
	w.far = guest(t, "br2", "far", "10.2.0.10/24", "10.2.0.1")
	w.plain = guest(t, "br3", "plain", "10.3.0.10/24", "10.3.0.1")
	w.internet = guest(t, "uplink", "internet", "198.51.100.2/24", "198.51.100.1")
	if _, err := w.fw.Apply(t.Context(), firewall.Wanted(nets)); err != nil {
		t.Fatal(err)
	}
	return w
}

func guest(t *testing.T, bridge, name, addr, gateway string) *netnstest.Guest {
	g := netnstest.AddGuest(t, bridge, name, "")
	g.Run(t, "ip", "addr", "add", addr, "dev", "eth0")
	g.Run(t, "ip", "route", "add", "default", "via", gateway)
	return g
}

// set changes a kernel parameter of this namespace until the test ends; it reports
// whether the kernel has it.
func set(t *testing.T, key, value string) bool {
	t.Helper()
	before, err := os.ReadFile("/proc/sys/" + key)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err == nil {
		err = os.WriteFile("/proc/sys/"+key, []byte(value), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile("/proc/sys/"+key, before, 0) })
	return true
}

// sourceSeen sends a packet from one place to a server in another (nil: this
// machine) and is the source address that the server sees; invalid when nothing arrives.
func sourceSeen(t *testing.T, from, at *netnstest.Guest, to string) netip.Addr {
	t.Helper()
	var server net.PacketConn
	var client net.Conn
	err := inside(at, func() (err error) {
		// Bound to the address itself where possible: 53 of others stays free.
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1) })
		}}
		server, err = lc.ListenPacket(context.Background(), "udp4", to)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := inside(from, func() (err error) { client, err = net.Dial("udp4", to); return err }); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	buf := make([]byte, 16)
	for range 3 { // the first may be lost to address resolution
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if err := server.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, source, err := server.ReadFrom(buf); err == nil {
			return source.(*net.UDPAddr).AddrPort().Addr()
		}
	}
	return netip.Addr{}
}

func inside(g *netnstest.Guest, f func() error) error {
	if g == nil {
		return f()
	}
	return g.Do(f)
}

func TestOnlyWhatLeavesBerthsNetworksIsMasqueraded(t *testing.T) {
	for _, hooks := range []string{"0", "1"} {
		t.Run("bridge-nf-call-iptables="+hooks, func(t *testing.T) {
			w := newWorld(t)
			if !set(t, "net/bridge/bridge-nf-call-iptables", hooks) && hooks == "1" {
				t.Log("bridge netfilter is not loaded: the same as 0")
			}
			// A network behind guest b, as nested containers have.
			w.b.Run(t, "ip", "addr", "add", "203.0.113.9/32", "dev", "eth0")
			w.a.Run(t, "ip", "route", "add", "203.0.113.9/32", "via", "10.1.0.11")
			if err := w.fw.Close(); err != nil { // stopping cuts nobody off
				t.Fatal(err)
			}
			for _, c := range []struct {
				name     string
				from, at *netnstest.Guest
				to, want string
			}{
				{"to the internet", w.a, w.internet, "198.51.100.2:7000", "198.51.100.1"},
				{"to a guest on the bridge", w.a, w.b, "10.1.0.11:7000", "10.1.0.10"},
				{"to a network behind a guest on the bridge", w.a, w.b, "203.0.113.9:7000", "10.1.0.10"},
				{"to another network of berth's", w.a, w.far, "10.2.0.10:7000", "10.1.0.10"},
				{"to one without NAT", w.far, w.plain, "10.3.0.10:7000", "10.2.0.10"},
				{"to the gateway", w.a, nil, "10.1.0.1:7000", "10.1.0.10"},
				{"without NAT to the internet", w.plain, w.internet, "198.51.100.2:7000", "10.3.0.10"},
				{"from outside to a guest", w.internet, w.plain, "10.3.0.10:7000", "198.51.100.2"},
			} {
				if got := sourceSeen(t, c.from, c.at, c.to); got.String() != c.want {
					t.Errorf("%s: source %v, want %s", c.name, got, c.want)
				}
			}
		})
	}
}

func TestTheNameServerAnswersItsOwnNetworkAndTheHostOnly(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		from *netnstest.Guest
		to   string
		want bool
	}{
		{"its own guest", w.a, "10.1.0.1:53", true},
		{"the host", nil, "10.1.0.1:53", true},
		{"a guest of another network", w.far, "10.1.0.1:53", false},
		{"the internet", w.internet, "10.1.0.1:53", false},
		{"the internet, another port", w.internet, "10.1.0.1:5353", true},
		{"the internet, another address of the host", w.internet, "198.51.100.1:53", true},
	} {
		if got := sourceSeen(t, c.from, nil, c.to); got.IsValid() != c.want {
			t.Errorf("%s: source %v, want it to arrive: %v", c.name, got, c.want)
		}
	}
}
