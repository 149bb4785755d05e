package dhcp4

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"berth/internal/ipam"
	"berth/internal/netnstest"
)

// box is a guest on a real bridge, with a raw socket on its interface.
type box struct {
	*netnstest.Guest
	t    testing.TB
	conn *packet.Conn
	client
}

// stage is a server on a real bridge br0.
type stage struct {
	*Server
	t      testing.TB
	book   *fakeBook
	plugs  *plugs
	cancel context.CancelFunc
	done   chan error
}

func addBox(t testing.TB, name string, number byte) *box {
	t.Helper()
	b := &box{Guest: netnstest.AddGuest(t, "br0", name, mac(number).String()), t: t, client: guest(number)}
	err := b.Do(func() error {
		nic, err := net.InterfaceByName(b.NIC)
		if err != nil {
			return err
		}
		b.conn, err = packet.Listen(nic, packet.Raw, typeIPv4, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.Close() })
	return b
}

func (b *box) portIndex() int {
	b.t.Helper()
	i, err := net.InterfaceByName(b.Port)
	if err != nil {
		b.t.Fatal(err)
	}
	return i.Index
}

// ask sends a frame and returns the first reply of a server within the time; false: there was none.
func (b *box) ask(frame []byte, within time.Duration) (got, bool) {
	b.t.Helper()
	deadline := time.Now().Add(within)
	if _, err := b.conn.WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr(frame[:6])}); err != nil {
		if errors.Is(err, syscall.ENETDOWN) {
			time.Sleep(time.Until(deadline))
			return got{}, false
		}
		b.t.Fatal(err)
	}
	return b.hear(deadline)
}

func (b *box) hear(deadline time.Time) (got, bool) {
	b.t.Helper()
	buf := make([]byte, 2048)
	for {
		b.conn.SetReadDeadline(deadline)
		n, _, err := b.conn.ReadFrom(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return got{}, false
		case errors.Is(err, syscall.ENETDOWN):
			continue
		case err != nil:
			b.t.Fatal(err)
		case n > headersLen && buf[23] == protocolUDP && buf[34] == 0 && buf[35] == serverPort && buf[36] == 0 && buf[37] == clientPort:
			return read(b.t, buf[:n]), true
		}
	}
}

// answered asks until there is an answer.
func (b *box) answered(frame []byte) got {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if g, ok := b.ask(frame, 200*time.Millisecond); ok {
			return g
		}
	}
	b.t.Fatalf("%s gets no answer", b.Name)
	return got{}
}

// ignored asks until there is no answer any more.
func (b *box) ignored(frame []byte) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if _, ok := b.ask(frame, 200*time.Millisecond); !ok {
			return
		}
	}
	b.t.Fatalf("%s is still answered", b.Name)
}

func realBridge(t testing.TB) {
	t.Helper()
	netnstest.Bridge(t, "br0", "10.0.0.1/24")
	netnstest.Run(t, "ip", "link", "set", "br0", "address", bridgeMAC.String())
}

// newStage has a server serve on br0. Guests are plugged in with plug.
func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{t: t, book: newBook(testNetwork()), plugs: &plugs{sources: map[int]Source{}}}
	s.Server = NewServer(testNetwork(), s.book, s.plugs, Options{})
	t.Cleanup(s.stop)
	return s
}

func (s *stage) start() *stage {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan error, 1)
	go func() { s.done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-s.done:
		s.done <- err
		s.t.Fatal("Run:", err)
	case <-time.After(10 * time.Second):
		s.t.Fatal("not ready")
	}
	return s
}

func (s *stage) stop() {
	if s.cancel == nil {
		return
	}
	s.cancel()
	s.cancel = nil
	if err := <-s.done; err != nil {
		s.t.Error("Run:", err)
	}
}

func (s *stage) plug(b *box) {
	s.t.Helper()
	s.plugs.set(b.portIndex(), b.Name, b.mac)
	s.AddPort(b.portIndex(), b.Port)
}

func TestKernelGuestsAreServedAtTheirOwnPorts(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	realBridge(t)
	s := newStage(t)
	one := addBox(t, "c1", 1)
	s.plug(one) // before Run
	s.start()
	two := addBox(t, "c2", 2)
	s.plug(two) // and after
	for _, b := range []*box{one, two} {
		o := b.answered(b.discover())
		a, ok := b.ask(b.selecting(o.YourIPAddr.String()), 5*time.Second)
		if !ok || a.String() != strings.Replace(o.String(), "OFFER", "ACK", 1) {
			t.Fatalf("%s: %s, then %s", b.Name, o, a)
		}
		if a.srcMAC != bridgeMAC || a.dstMAC != b.mac || a.src != addr("10.0.0.1") {
			t.Errorf("%s: from %s %s to %s", b.Name, a.srcMAC, a.src, a.dstMAC)
		}
		if r := s.book.get(ipam.ByName(b.Name)); r.addr.String() != a.YourIPAddr.String() {
			t.Errorf("%s has %s, stored is %s", b.Name, a.YourIPAddr, r.addr)
		}
	}
	// A reply for everyone is still for one: only the port that asked hears it.
	if g, ok := one.ask(one.rebooting("192.168.1.1"), 5*time.Second); !ok || g.dstMAC != everyMAC {
		t.Fatalf("got %s", g)
	}
	if g, ok := two.hear(time.Now().Add(100 * time.Millisecond)); ok {
		t.Errorf("the neighbour heard %s", g)
	}
}

func TestKernelPortsComeAndGo(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	realBridge(t)
	s := newStage(t).start()
	b := addBox(t, "c1", 1)
	s.plug(b)
	b.answered(b.discover())

	s.RemovePort(b.portIndex())
	b.ignored(b.discover())
	s.AddPort(b.portIndex(), b.Port)
	s.AddPort(b.portIndex(), b.Port) // twice is once
	b.answered(b.discover())
	if g, ok := b.hear(time.Now().Add(50 * time.Millisecond)); ok {
		t.Errorf("answered twice: %s", g)
	}

	old := b.portIndex()
	netnstest.Run(t, "ip", "link", "del", b.Port)
	s.RemovePort(old)
	s.RemovePort(old) // of one that is gone, nothing
	again := addBoxAgain(t, b)
	s.plug(again)
	again.answered(again.discover())
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("all is well, but: %v", p)
	}
}

// addBoxAgain plugs a guest in anew: another veth, the same guest.
func addBoxAgain(t testing.TB, b *box) *box {
	t.Helper()
	b.Plug(t, "br0", b.Port+"x", "eth0", b.mac.String())
	again := &box{Guest: &netnstest.Guest{Name: b.Name, Port: b.Port + "x", NIC: "eth0", Path: b.Path}, t: t, client: b.client}
	err := again.Do(func() error {
		nic, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		again.conn, err = packet.Listen(nic, packet.Raw, typeIPv4, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.conn.Close() })
	return again
}

func TestKernelPortGoesDownAndUp(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	realBridge(t)
	s := newStage(t).start()
	b := addBox(t, "c1", 1)
	s.plug(b)
	b.answered(b.discover())
	for range 3 {
		netnstest.Run(t, "ip", "link", "set", b.Port, "down")
		netnstest.Run(t, "ip", "link", "set", b.Port, "up")
		b.answered(b.discover())
	}
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("all is well, but: %v", p)
	}
}

// TestKernelPortLeavesAndComesBack: an interface that was in another namespace has its number again, while
// the socket that was bound to it would stay mute.
func TestKernelPortLeavesAndComesBack(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	realBridge(t)
	s := newStage(t).start()
	b := addBox(t, "c1", 1)
	s.plug(b)
	b.answered(b.discover())
	index := b.portIndex()
	netnstest.Run(t, "ip", "netns", "add", "away")
	t.Cleanup(func() { netnstest.Run(t, "ip", "netns", "del", "away") })
	netnstest.Run(t, "ip", "link", "set", b.Port, "netns", "away")
	eventually(t, "the trouble to be told", func() bool {
		p := s.Problems()
		return len(p) == 1 && strings.Contains(p[0].Text, b.Port)
	})
	netnstest.Run(t, "ip", "netns", "exec", "away", "ip", "link", "set", b.Port, "netns", fmt.Sprint(here(t)))
	netnstest.Run(t, "ip", "link", "set", b.Port, "master", "br0")
	netnstest.Run(t, "ip", "link", "set", b.Port, "up")
	if b.portIndex() != index {
		t.Fatalf("the interface has number %d, had %d", b.portIndex(), index)
	}
	b.answered(b.discover())
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("all is well, but: %v", p)
	}
}

// here is a process in the namespace of the tests. Our own number does not do: its thread may be inside a guest.
func here(t testing.TB) int {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for", what)
		}
	}
}

func TestKernelBridgeIsMadeAnew(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	realBridge(t)
	s := newStage(t).start()
	b := addBox(t, "c1", 1)
	s.plug(b)
	b.answered(b.discover())

	netnstest.Run(t, "ip", "link", "del", "br0")
	s.SetNetwork(testNetwork())
	if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "no bridge br0") {
		t.Errorf("problems: %v", p)
	}
	netnstest.Bridge(t, "br0", "10.0.0.1/24")
	other := ipam.MAC{2, 0xbb, 0, 0, 0, 2}
	netnstest.Run(t, "ip", "link", "set", "br0", "address", other.String())
	netnstest.Run(t, "ip", "link", "set", b.Port, "master", "br0")
	s.SetNetwork(testNetwork())
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("all is well, but: %v", p)
	}
	if g := b.answered(b.discover()); g.srcMAC != other {
		t.Errorf("the reply comes from %s, the bridge is %s now", g.srcMAC, other)
	}
	// Port 67 is ours on the new bridge, not on the dead one.
	if c, err := listen67("br0"); err == nil {
		c.Close()
		t.Error("port 67 of the new bridge is free")
	}
}

func TestKernelGuardKeepsRenewalsFromBeingRefused(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	realBridge(t)
	s := newStage(t)
	b := addBox(t, "c1", 1)
	b.Run(t, "ip", "addr", "add", "10.0.0.150/24", "dev", "eth0")
	s.plug(b)
	// refused reports what a client hears that sends to the server's port by an ordinary socket.
	refused := func() bool {
		var refused bool
		err := b.Do(func() error {
			c, err := net.DialUDP("udp4", &net.UDPAddr{Port: clientPort}, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: serverPort})
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Write(b.message(request, withCiaddr("10.0.0.150"))); err != nil {
				return err
			}
			c.SetReadDeadline(time.Now().Add(2 * time.Second))
			_, err = c.Read(make([]byte, 2000))
			refused = errors.Is(err, syscall.ECONNREFUSED)
			if refused {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return refused
	}
	if !refused() {
		t.Fatal("without a server the kernel must refuse, or this proves nothing")
	}
	s.start()
	if refused() {
		t.Error("a renewal was refused by the kernel")
	}
}

func TestKernelIgnoresFramesOfAnotherVLAN(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	realBridge(t)
	s := newStage(t).start()
	b := addBox(t, "c1", 1)
	s.plug(b)
	frame := b.discover()
	tagged := append(append(append([]byte(nil), frame[:12]...), 0x81, 0, 0, 7), frame[12:]...)
	if g, ok := b.ask(tagged, 200*time.Millisecond); ok {
		t.Errorf("answered: %s", g)
	}
	b.answered(frame)
}

func TestKernelNoSuchBridge(t *testing.T) {
	netnstest.Require(t, "ip")
	for name, prepare := range map[string]func(){
		"absent":    func() {},
		"no bridge": func() { netnstest.Run(t, "ip", "link", "add", "br0", "type", "veth", "peer", "name", "br0p") },
	} {
		prepare()
		var p *ipam.Problem
		if err := newStage(t).Run(t.Context()); !errors.As(err, &p) || p.Code != ipam.CodeHost || !strings.Contains(p.Text, "br0") || p.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	netnstest.Run(t, "ip", "link", "del", "br0")
}

// dnsmasq serves DHCP on br0 until the function that it returns is called.
func dnsmasq(t testing.TB) (pid int, stop func()) {
	t.Helper()
	cmd := exec.Command("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface=br0",
		"--pid-file="+t.TempDir()+"/pid", "--dhcp-leasefile="+t.TempDir()+"/leases", "--dhcp-range=10.0.0.200,10.0.0.210,5m")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	eventually(t, "dnsmasq to have port 67", func() bool { return len(ownersOf(serverPort)) > 0 })
	return cmd.Process.Pid, stop
}

func TestKernelPortTakenByDnsmasq(t *testing.T) {
	netnstest.Require(t, "ip", "dnsmasq")
	realBridge(t)
	pid, stop := dnsmasq(t)
	s := newStage(t)
	err := s.Run(t.Context())
	var p *ipam.Problem
	if !errors.As(err, &p) || p.Code != ipam.CodeHost || p.Hint == "" {
		t.Fatalf("Run: %v", err)
	}
	if want := fmt.Sprintf("UDP port 67 on br0 is taken by dnsmasq (process %d)", pid); p.Text != want {
		t.Errorf("says %q, want %q", p.Text, want)
	}
	stop()
	s.start() // the same server
	b := addBox(t, "c1", 1)
	s.plug(b)
	b.answered(b.discover())
}

func TestKernelServerStopsAndStarts(t *testing.T) {
	netnstest.Require(t, "ip", "nsenter")
	realBridge(t)
	s := newStage(t)
	b := addBox(t, "c1", 1)
	s.plug(b)
	for range 3 {
		s.start()
		b.answered(b.discover())
		s.stop()
		b.ignored(b.discover())
		c, err := listen67("br0")
		if err != nil {
			t.Fatal("port 67 was kept:", err)
		}
		c.Close()
	}
}
