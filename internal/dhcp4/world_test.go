package dhcp4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"berth/internal/ipam"
)

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func mac(last byte) ipam.MAC { return ipam.MAC{0x02, 0, 0, 0, 0, last} }

var bridgeMAC = ipam.MAC{0x02, 0xbb, 0, 0, 0, 1}

func testNetwork() *ipam.Network {
	return &ipam.Network{
		Name: "br0", Gateway: addr("10.0.0.1"), Subnet: netip.MustParsePrefix("10.0.0.0/24"),
		Range:     ipam.Range{From: addr("10.0.0.100"), To: addr("10.0.0.199")},
		LeaseTime: time.Hour, Domain: "lxd", Authoritative: true,
	}
}

// plugs is a Ports of a map.
type plugs struct {
	mu      sync.Mutex
	sources map[int]Source
}

func (p *plugs) Source(i int) (Source, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.sources[i]
	return s, ok
}

func (p *plugs) ElsewhereMAC(m ipam.MAC, i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, s := range p.sources {
		if other != i && s.NIC == m {
			return true
		}
	}
	return false
}

func (p *plugs) PluggedIn(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sources {
		if s.Guest == name {
			return true
		}
	}
	return false
}

func (p *plugs) set(i int, guest string, nic ipam.MAC) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sources[i] = Source{Guest: guest, NIC: nic, Port: fmt.Sprint("veth", i), PortIndex: i}
}

// pipe is a tap in memory.
type pipe struct {
	in     chan []byte
	out    chan []byte
	closed chan struct{}
	once   sync.Once
}

func newPipe() *pipe {
	return &pipe{in: make(chan []byte, 1000), out: make(chan []byte, 1000), closed: make(chan struct{})}
}

func (p *pipe) Read(b []byte) (int, error) {
	select {
	case <-p.closed:
		return 0, os.ErrClosed
	case f := <-p.in:
		return copy(b, f), nil
	}
}

func (p *pipe) Write(b []byte) (int, error) {
	p.out <- append([]byte(nil), b...)
	return len(b), nil
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

// world is a server with ports 1, 2 and 3 in memory, where guests c1, c2 and c3 with hardware
// addresses mac(1) to mac(3) are plugged in. It must be used in a bubble of testing/synctest.
type world struct {
	t     testing.TB
	net   *ipam.Network
	book  *fakeBook
	plugs *plugs
	pipes map[int]*pipe
	logs  *strings.Builder
	gone  atomic.Bool // the bridge and its ports
	*Server
}

var errGone = errors.New("no such device")

func newWorld(t testing.TB, n *ipam.Network) *world {
	w := &world{t: t, net: n, book: newBook(n), plugs: &plugs{sources: map[int]Source{}}, pipes: map[int]*pipe{}, logs: &strings.Builder{}}
	var mu sync.Mutex
	log := slog.New(slog.NewTextHandler(lockedWriter{&mu, w.logs}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.Server = NewServer(n, w.book, w.plugs, Options{Log: log})
	w.Server.kernel = kernel{
		bridgeOf: func(string) (int, ipam.MAC, error) {
			if w.gone.Load() {
				return 0, ipam.MAC{}, errGone
			}
			return 1000, bridgeMAC, nil
		},
		listen: func(string) (io.Closer, error) { return nopCloser{}, nil },
		tap: func(i int) (tap, error) {
			if w.gone.Load() || w.pipes[i] == nil {
				return nil, errGone
			}
			return w.pipes[i], nil
		},
	}
	for i := 1; i <= 3; i++ {
		w.plug(i, fmt.Sprint("c", i), mac(byte(i)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("Run:", err)
		}
	})
	<-w.Ready()
	return w
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (w *world) plug(i int, guest string, nic ipam.MAC) {
	w.plugs.set(i, guest, nic)
	w.pipes[i] = newPipe()
	w.AddPort(i, fmt.Sprint("veth", i))
}

// got is a reply as a client sees it.
type got struct {
	*dhcpv4.DHCPv4
	frame
	dstPort uint16
}

// String is what most tests compare: type, yiaddr, where to.
func (g got) String() string {
	if g.DHCPv4 == nil {
		return "silence"
	}
	to := g.frame.dst.String()
	if g.frame.dstMAC == everyMAC {
		to += " for all"
	}
	return fmt.Sprintf("%s %s to %s", g.MessageType(), g.YourIPAddr, to)
}

// ask sends messages in through a port and returns what comes out of it within a minute, in order; it
// fails the test when anything comes out of another port.
func (w *world) ask(port int, frames ...[]byte) []got {
	w.t.Helper()
	for _, f := range frames {
		w.pipes[port].in <- f
	}
	synctest.Wait()
	return w.replies(port)
}

func (w *world) replies(port int) []got {
	w.t.Helper()
	var out []got
	for i, p := range w.pipes {
		for len(p.out) > 0 {
			f := <-p.out
			if i != port {
				w.t.Errorf("a reply came out of port %d, want only %d", i, port)
			}
			out = append(out, read(w.t, f))
		}
	}
	return out
}

// one is ask for a single answer, or none; a second copy for the holder of a NAK is checked to be the same.
func (w *world) one(port int, frames ...[]byte) got {
	w.t.Helper()
	switch all := w.ask(port, frames...); len(all) {
	case 0:
		return got{}
	case 1:
		return all[0]
	default:
		w.t.Fatalf("%d replies, want at most one: %v", len(all), all)
		return got{}
	}
}

// read checks a frame as a suspicious client would, and takes it apart.
func read(t testing.TB, b []byte) got {
	t.Helper()
	var g got
	if err := checkFrame(b); err != nil {
		t.Fatal(err)
	}
	g.dstMAC, g.srcMAC = ipam.MACFrom(b[0:6]), ipam.MACFrom(b[6:12])
	g.src, g.dst = addrFrom(b[26:30]), addrFrom(b[30:34])
	g.dstPort = uint16(b[36])<<8 | uint16(b[37])
	m, err := dhcpv4.FromBytes(b[headersLen:])
	if err != nil {
		t.Fatalf("reply is no DHCP message: %v", err)
	}
	g.DHCPv4 = m
	if len(b) < headersLen+minMessage {
		t.Errorf("the message has %d bytes, want at least 300 (RFC 1542 §2.1)", len(b)-headersLen)
	}
	return g
}

// checkFrame verifies lengths and both checksums by a route of its own.
func checkFrame(b []byte) error {
	if len(b) < headersLen || b[12] != 8 || b[13] != 0 || b[14] != 0x45 || b[23] != 17 {
		return fmt.Errorf("no plain Ethernet, IPv4, UDP frame: %x", b[:min(len(b), headersLen)])
	}
	total := int(b[16])<<8 | int(b[17])
	size := int(b[38])<<8 | int(b[39])
	if total != len(b)-14 || size != total-20 {
		return fmt.Errorf("lengths: frame %d, IP %d, UDP %d", len(b), total, size)
	}
	if s := onesSum(b[14:34]); s != 0xffff {
		return fmt.Errorf("IP header sums up to %#x", s)
	}
	pseudo := append([]byte{0, 17, b[38], b[39]}, b[26:]...)
	if s := onesSum(pseudo); s != 0xffff || b[40] == 0 && b[41] == 0 {
		return fmt.Errorf("UDP datagram sums up to %#x, checksum %x", s, b[40:42])
	}
	return nil
}

func onesSum(b []byte) (sum uint32) {
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
		sum = sum&0xffff + sum>>16
	}
	return sum
}
