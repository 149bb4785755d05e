package dns

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	codec "github.com/miekg/dns"

	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// serve runs the server until the test ends, and checks that Run leaves nothing behind.
func serve(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	eventually(t, "the server listens", func() bool { return len(s.Status().Listeners) > 0 })
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not after 10 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // polls, until a deadline that fails the test
	}
}

// loopback is a network whose gateway is 127.0.0.1, so that no bridge is needed.
func loopback(upstreams ...netip.AddrPort) *ipam.Network {
	n := lxdbr0()
	n.Gateway = netip.MustParseAddr("127.0.0.1")
	n.Upstream = append([]netip.AddrPort{}, upstreams...)
	return n
}

// dig asks the server from the namespace of the test, or from a guest's.
func dig(t *testing.T, g *netnstest.Guest, args ...string) string {
	t.Helper()
	args = append([]string{"+tries=1", "+time=5", "+noall", "+comments", "+answer", "+authority"}, args...)
	if g != nil {
		return g.Run(t, "dig", args...)
	}
	return netnstest.Run(t, "dig", args...)
}

func TestDigFromGuestAndHost(t *testing.T) {
	netnstest.Require(t, "ip", "dig", "nsenter")
	netnstest.Bridge(t, "lxdbr0", "10.64.177.1/24")
	netnstest.Bridge(t, "lxcbr0", "10.0.3.1/24")
	guest := netnstest.AddGuest(t, "lxdbr0", "g1", "")
	guest.Run(t, "ip", "addr", "add", "10.64.177.9/24", "dev", "eth0")
	guest.Run(t, "ip", "route", "add", "default", "via", "10.64.177.1")
	u := newUpstream(t, says(codec.RcodeSuccess, exampleA))
	n := lxdbr0()
	n.Upstream = []netip.AddrPort{u.addr}
	s := newTestServer(t, Options{}, n, lxcbr0())
	serve(t, s)

	for _, from := range []*netnstest.Guest{nil, guest} {
		for _, transport := range []string{"+notcp", "+tcp"} {
			for args, want := range map[string][]string{
				"cent01.lxd A":                          {"NOERROR", "flags: qr aa rd ra;", "cent01.lxd.\t\t10\tIN\tA\t10.64.177.101"},
				"CENT01.LxD A":                          {"CENT01.LxD.\t\t10\tIN\tA\t10.64.177.101"},
				"-x 10.64.177.101":                      {"NOERROR", "PTR\tcent01.lxd."},
				"nobody.lxd A":                          {"NXDOMAIN", "lxd.\t\t\t10\tIN\tSOA\t_gateway.lxd."},
				"cent01.lxd AAAA":                       {"NOERROR", "ANSWER: 0, AUTHORITY: 1", "IN\tSOA"},
				"cent01.lxd ANY":                        {"NOERROR", "10.64.177.101"},
				"lxd NS":                                {"NOERROR", "NS\t_gateway.lxd."},
				"example.com A":                         {"NOERROR", "192.0.2.80", "flags: qr rd ra;"},
				"lxd AXFR +comments":                    {"REFUSED"},
				"version.bind CH TXT":                   {"REFUSED"},
				"cent01.lxd +opcode=4":                  {"NOTIMP"},
				"cent01.lxd +edns=1 +noednsnegotiation": {"BADVERS"},
				"cent01.lxd +noedns":                    {"NOERROR", "10.64.177.101"},
				"cent01.lxd +dnssec":                    {"NOERROR", "flags: do; udp: 1232"},
			} {
				if strings.Contains(args, "AXFR") && transport == "+notcp" {
					continue // dig goes to TCP for it whatever it is told
				}
				fields := append([]string{"@10.64.177.1", transport}, strings.Fields(args)...)
				var out string
				if strings.Contains(args, "AXFR") {
					out = dig(t, from, append(fields, "+noall", "+answer", "+onesoa")...)
					want = []string{"Transfer failed"}
				} else {
					out = dig(t, from, fields...)
				}
				for _, w := range want {
					if from == nil { // the host's own resolver must remember nothing
						w = strings.Replace(w, "\t10\tIN", "\t0\tIN", 1)
					}
					if !strings.Contains(out, w) {
						t.Errorf("dig %s says\n%s\nwant %q", strings.Join(fields, " "), out, w)
					}
				}
			}
		}
	}
	t.Run("another network's guest is refused", func(t *testing.T) {
		for _, transport := range []string{"+notcp", "+tcp"} {
			if out := dig(t, guest, "@10.0.3.1", transport, "web.lxc"); !strings.Contains(out, "REFUSED") {
				t.Errorf("dig says\n%s", out)
			}
		}
	})
	t.Run("a name that changes is answered anew at once", func(t *testing.T) {
		s.names.(*book).set("lxdbr0", "cent01", "10.64.177.202")
		if out := dig(t, guest, "@10.64.177.1", "+short", "cent01.lxd"); !strings.Contains(out, "10.64.177.202") {
			t.Errorf("dig says\n%s", out)
		}
	})
}

func TestSocketWaitsForItsAddressAndOutlivesTheBridge(t *testing.T) {
	netnstest.Require(t, "ip", "dig")
	s := newTestServer(t, Options{}, lxdbr0())
	serve(t, s)
	if p := s.Problems(); len(p) != 0 {
		t.Fatalf("before the bridge is there: %v", p)
	}
	for _, round := range []string{"created", "created again"} {
		netnstest.Run(t, "ip", "link", "add", "lxdbr0", "type", "bridge")
		netnstest.Run(t, "ip", "link", "set", "lxdbr0", "up")
		netnstest.Run(t, "ip", "addr", "add", "10.64.177.1/24", "dev", "lxdbr0")
		for _, transport := range []string{"+notcp", "+tcp"} {
			if out := dig(t, nil, "@10.64.177.1", transport, "cent01.lxd"); !strings.Contains(out, "10.64.177.101") {
				t.Errorf("bridge %s, %s:\n%s", round, transport, out)
			}
		}
		netnstest.Run(t, "ip", "link", "del", "lxdbr0")
	}
}

func TestSetNetworksOpensAndClosesSockets(t *testing.T) {
	netnstest.Require(t, "ip")
	s := newTestServer(t, Options{}, lxdbr0())
	serve(t, s)
	listening := func() string {
		var words []string
		for _, l := range s.Status().Listeners {
			if l.Problem != nil {
				t.Errorf("%s: %v", l.Addr, l.Problem)
			}
			words = append(words, l.Network+"="+l.Addr.String()+"/"+l.Proto)
		}
		return strings.Join(words, " ")
	}
	free := func(addr string) bool {
		conn, err := (&net.ListenConfig{Control: freebind}).ListenPacket(t.Context(), "udp", addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	}
	s.SetNetworks(ipam.Networks{lxdbr0(), lxcbr0()})
	if got, want := listening(), "lxcbr0=10.0.3.1:53/tcp lxcbr0=10.0.3.1:53/udp lxdbr0=10.64.177.1:53/tcp lxdbr0=10.64.177.1:53/udp"; got != want {
		t.Errorf("listening on %s, want %s", got, want)
	}
	renamed := lxdbr0()
	renamed.Name = "br0"
	s.SetNetworks(ipam.Networks{renamed})
	if got, want := listening(), "br0=10.64.177.1:53/tcp br0=10.64.177.1:53/udp"; got != want {
		t.Errorf("listening on %s, want %s: the same address for another bridge, at once", got, want)
	}
	if !free("10.0.3.1:53") || free("10.64.177.1:53") {
		t.Error("the socket of the network that went stays, or that of the other is gone")
	}
}

func TestPortTakenIsNamedAndTakenLater(t *testing.T) {
	netnstest.Require(t)
	for _, tt := range []struct{ proto, addr string }{
		{"udp", "127.0.0.1:53"}, {"udp", "0.0.0.0:53"}, {"udp", "[::]:53"}, {"tcp", "127.0.0.1:53"}, {"tcp", "[::]:53"},
	} {
		t.Run(tt.proto+" "+tt.addr, func(t *testing.T) {
			var holder io.Closer
			var err error
			if tt.proto == "udp" {
				holder, err = net.ListenPacket("udp", tt.addr)
			} else {
				holder, err = net.Listen("tcp", tt.addr)
			}
			if err != nil {
				t.Fatal(err)
			}
			s := newTestServer(t, Options{}, loopback())
			s.limits.retry = time.Millisecond
			serve(t, s)
			problems := s.Problems()
			if len(problems) != 1 || problems[0].Code != ipam.CodeHost || problems[0].Hint == "" {
				t.Fatalf("problems are %v, want one with a hint", problems)
			}
			comm, err := os.ReadFile("/proc/self/comm")
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("port 53 on 127.0.0.1 (%s) is taken by %s (pid %d)", tt.proto, strings.TrimSpace(string(comm)), os.Getpid()); problems[0].Text != want {
				t.Errorf("problem %q\nwant %q", problems[0].Text, want)
			}
			holder.Close()
			eventually(t, "the port is taken over", func() bool { return len(s.Problems()) == 0 })
			c := codec.Client{Net: tt.proto, Timeout: 5 * time.Second}
			r, _, err := c.Exchange(newQuery("cent01.lxd.", codec.TypeA), "127.0.0.1:53")
			if err != nil || oneLine(r) != "NOERROR 10.64.177.101" {
				t.Errorf("afterwards: %v, %v", r, err)
			}
		})
	}
}

func TestHintsNameTheOwnersSetting(t *testing.T) {
	e := endpoint{"lxdbr0", netip.MustParseAddrPort("10.64.177.1:53"), "udp"}
	for comm, want := range map[string]string{
		"dnsmasq": "except-interface=lxdbr0", "named": "listen-on", "unbound": "interface:",
		"systemd-resolve": "DNSStubListenerExtra", "whatever": "systemctl stop lxc-net.service",
	} {
		if got := (process{pid: 7, comm: comm, unit: "lxc-net.service"}).hint(e); !strings.Contains(got, want) {
			t.Errorf("hint for %s: %q, want it to say %q", comm, got, want)
		}
	}
	if got := (process{pid: 7, comm: "x"}).hint(e); !strings.Contains(got, "kill 7") {
		t.Errorf("hint without a service: %q", got)
	}
}

// dialTCP opens a connection to the server.
func dialTCP(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func TestTCPPipelining(t *testing.T) {
	netnstest.Require(t)
	release := make(chan struct{})
	u := newUpstream(t, func(q *codec.Msg, _ bool) *codec.Msg { <-release; return says(codec.RcodeSuccess, exampleA)(q, false) })
	s := newTestServer(t, Options{}, loopback(u.addr))
	serve(t, s)
	conn := dialTCP(t)
	var burst []byte
	for i := range 30 {
		m := newQuery("cent01.lxd.", codec.TypeA)
		if i == 0 {
			m = newQuery("example.com.", codec.TypeA)
		}
		m.Id = uint16(i)
		wire := packed(t, m)
		burst = append(burst, byte(len(wire)>>8), byte(len(wire)))
		burst = append(burst, wire...)
	}
	// In two writes that cut a message in half.
	for _, part := range [][]byte{burst[:len(burst)/2+3], burst[len(burst)/2+3:]} {
		if _, err := conn.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[uint16]bool)
	for range 29 {
		r := readMsg(t, conn)
		seen[r.Id] = true
	}
	if seen[0] || len(seen) != 29 {
		t.Errorf("RFC 7766 §6.2.1.1: a slow answer holds up others, or some are missing: %v", seen)
	}
	close(release)
	if r := readMsg(t, conn); r.Id != 0 || oneLine(r) != "NOERROR 192.0.2.80" {
		t.Errorf("the slow one:\n%s", r)
	}
}

func readMsg(t testing.TB, conn net.Conn) *codec.Msg {
	t.Helper()
	wire, err := readFramed(conn)
	if err != nil {
		t.Fatal(err)
	}
	r := new(codec.Msg)
	if err := r.Unpack(wire); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTCPIdleConnectionsAreClosed(t *testing.T) {
	netnstest.Require(t)
	var answered atomic.Bool
	release := make(chan struct{})
	u := newUpstream(t, func(q *codec.Msg, _ bool) *codec.Msg {
		<-release
		answered.Store(true)
		return says(codec.RcodeSuccess, exampleA)(q, false)
	})
	s := newTestServer(t, Options{}, loopback(u.addr))
	s.limits.idle = 50 * time.Millisecond
	serve(t, s)
	t.Run("without a query", func(t *testing.T) {
		if _, err := dialTCP(t).Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("reading gives %v, want EOF", err)
		}
	})
	t.Run("in the middle of one", func(t *testing.T) {
		conn := dialTCP(t)
		conn.Write([]byte{0, 40, 1, 2})
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a client that trickles is kept")
		}
	})
	t.Run("not while an answer is owed", func(t *testing.T) {
		conn := dialTCP(t)
		if err := writeFramed(conn, packed(t, newQuery("example.com.", codec.TypeA))); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(4*s.limits.idle, func() { close(release) })
		if r := readMsg(t, conn); oneLine(r) != "NOERROR 192.0.2.80" {
			t.Errorf("answer\n%s", r)
		}
	})
}

func TestTCPConnectionLimits(t *testing.T) {
	netnstest.Require(t)
	s := newTestServer(t, Options{}, loopback())
	s.limits.conns, s.limits.connsEach = 3, 2
	serve(t, s)
	answers := func(conn net.Conn) bool {
		if writeFramed(conn, packed(t, newQuery("cent01.lxd.", codec.TypeA))) != nil {
			return false
		}
		_, err := readFramed(conn)
		return err == nil
	}
	first, second := dialTCP(t), dialTCP(t)
	if !answers(first) || !answers(second) {
		t.Fatal("two connections must be served")
	}
	if answers(dialTCP(t)) {
		t.Error("a third connection of one address is served")
	}
	first.Close()
	eventually(t, "there is room again", func() bool { return answers(dialTCP(t)) })
}

func TestTCPClientThatNeverReads(t *testing.T) {
	netnstest.Require(t)
	s := newTestServer(t, Options{}, loopback())
	s.limits.write = 50 * time.Millisecond
	serve(t, s)
	conn := dialTCP(t)
	wire := packed(t, newQuery("cent01.lxd.", codec.TypeA))
	for i := 0; ; i++ {
		if writeFramed(conn, wire) != nil {
			break // the server has closed it
		}
		if i > 1_000_000 {
			t.Fatal("a client that never reads its answers is served for ever")
		}
	}
	if r, _, err := new(codec.Client).Exchange(newQuery("cent01.lxd.", codec.TypeA), "127.0.0.1:53"); err != nil || oneLine(r) != "NOERROR 10.64.177.101" {
		t.Errorf("others meanwhile: %v, %v", r, err)
	}
}

func TestRunEndsWithQuestionsOpen(t *testing.T) {
	netnstest.Require(t)
	u := newUpstream(t, silent)
	s := newTestServer(t, Options{}, loopback(u.addr))
	s.forward.pace = patient
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	eventually(t, "the server listens", func() bool { return len(s.Status().Listeners) > 0 })
	for _, network := range []string{"udp", "tcp"} {
		c := codec.Client{Net: network, Timeout: time.Minute}
		go c.Exchange(newQuery(network+".example.com.", codec.TypeA), "127.0.0.1:53")
	}
	eventually(t, "both are asked upstream", func() bool { return u.asked.Load() == 2 })
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Run does not return")
	}
}
