package lab_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/netnstest"
)

// train is a run of pings, one every 10 ms.
type train struct {
	cmd *exec.Cmd
	out *lockedBuffer
}

func startTrain(t testing.TB, addr string) *train {
	t.Helper()
	tr := &train{cmd: exec.Command("ping", "-i", "0.01", "-W", "1", addr), out: &lockedBuffer{}}
	tr.cmd.Stdout = tr.out
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if tr.cmd.ProcessState == nil {
			_ = tr.cmd.Process.Kill()
			_ = tr.cmd.Wait()
		}
	})
	await(t, "the first ping", func() bool { return strings.Contains(tr.out.String(), "time=") })
	return tr
}

// stop ends the train and counts the pings that were not answered, but for the last,
// whose answer may be under way.
func (tr *train) stop() (lost int) {
	_ = tr.cmd.Process.Signal(os.Interrupt)
	_ = tr.cmd.Wait()
	var sent, received int
	for line := range strings.Lines(tr.out.String()) {
		if strings.Contains(line, "packets transmitted") {
			_, _ = fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &received)
		}
	}
	if sent == 0 {
		return 1
	}
	return max(sent-received-1, 0)
}

// stream is an open TCP connection to a container, asked for an echo every 10 ms.
type stream struct {
	conn net.Conn

	mu     sync.Mutex
	echoes int
	err    error
}

// openStream starts an echo service inside the container and connects to it at addr.
func openStream(t testing.TB, g *netnstest.Guest, addr string) *stream {
	t.Helper()
	var l net.Listener
	if err := g.Do(func() (err error) { l, err = net.Listen("tcp4", ":7"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	conn, err := net.DialTimeout("tcp4", net.JoinHostPort(addr, "7"), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{conn: conn}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		s.run()
	}()
	return s
}

func (s *stream) run() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var b [1]byte
	for range tick.C {
		_ = s.conn.SetDeadline(time.Now().Add(3 * time.Second))
		_, err := s.conn.Write([]byte{'.'})
		if err == nil {
			_, err = io.ReadFull(s.conn, b[:])
		}
		s.mu.Lock()
		s.echoes++
		s.err = err
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// mustLive asserts that echoes come until the time, and after it.
func (s *stream) mustLive(t testing.TB, until time.Time) {
	t.Helper()
	after := 0
	await(t, "the TCP connection to carry data", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			t.Fatalf("the TCP connection died: %v", s.err)
		}
		if after == 0 && time.Now().After(until) {
			after = s.echoes + 10
		}
		return after > 0 && s.echoes >= after
	})
}

// probe sends an echo request to addr every millisecond, until the first answer.
type probe struct {
	conn     *net.IPConn
	answered chan time.Time
	done     chan struct{}
}

// startProbe begins to ask; the answer may be long in coming.
func startProbe(t testing.TB, addr string) *probe {
	t.Helper()
	conn, err := net.ListenIP("ip4:icmp", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &probe{conn: conn, answered: make(chan time.Time, 1), done: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { p.send(netip.MustParseAddr(addr)) })
	wg.Go(func() { p.receive(netip.MustParseAddr(addr)) })
	t.Cleanup(func() { p.stop(); wg.Wait() })
	return p
}

func (p *probe) stop() {
	select {
	case <-p.done:
	default:
		close(p.done)
		p.conn.Close()
	}
}

func (p *probe) send(addr netip.Addr) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	to := &net.IPAddr{IP: addr.AsSlice()}
	for seq := uint16(0); ; seq++ {
		_, _ = p.conn.WriteToIP(echoRequest(seq), to) // nobody there is what it finds out
		select {
		case <-p.done:
			return
		case <-tick.C:
		}
	}
}

func (p *probe) receive(addr netip.Addr) {
	buf := make([]byte, 1500)
	for {
		n, from, err := p.conn.ReadFromIP(buf)
		now := time.Now()
		select {
		case <-p.done:
			return
		default:
		}
		if err != nil {
			continue // an ICMP error of the host itself
		}
		const echoReply = 0 // RFC 792
		if have, _ := netip.AddrFromSlice(from.IP.To4()); have == addr && n > 0 && buf[0] == echoReply {
			select {
			case p.answered <- now:
			default:
			}
			return
		}
	}
}

// first waits for the first answer.
func (p *probe) first(t testing.TB) time.Time {
	t.Helper()
	defer p.stop()
	select {
	case at := <-p.answered:
		return at
	case <-time.After(patience):
		t.Fatalf("no answer within %s", patience)
		return time.Time{}
	}
}

// echoRequest is an ICMP echo request, RFC 792.
func echoRequest(seq uint16) []byte {
	m := make([]byte, 16)
	m[0] = 8
	binary.BigEndian.PutUint16(m[4:], uint16(os.Getpid()))
	binary.BigEndian.PutUint16(m[6:], seq)
	var sum uint32
	for i := 0; i < len(m); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(m[i:]))
	}
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(m[2:], ^uint16(sum))
	return m
}
