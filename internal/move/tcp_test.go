package move

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/netnstest"
)

// talkers are a connection into the guest, to a dual-stack server, and one out of it.
func talkers(t *testing.T, g *netnstest.Guest, old string) (in, out net.Conn) {
	t.Helper()
	serve := func(l net.Listener) {
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					for s := bufio.NewScanner(c); s.Scan(); {
						fmt.Fprintf(c, "%s\n", s.Text())
					}
				}()
			}
		}()
	}
	host, err := net.Listen("tcp4", "10.9.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(host)
	var inside net.Listener
	err = g.Do(func() (err error) {
		if inside, err = net.Listen("tcp", ":7000"); err != nil {
			return err
		}
		out, err = net.Dial("tcp4", host.Addr().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(inside)
	if in, err = net.Dial("tcp4", old+":7000"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	return in, out
}

// echoes sends a line and reads it back.
func echoes(c net.Conn, line string) error {
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "%s\n", line); err != nil {
		return err
	}
	back, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && back != line+"\n" {
		return fmt.Errorf("have %q back", back)
	}
	return err
}

func TestConnectionsLiveThroughADrain(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", "addr add 10.9.0.5/24 dev eth0\nroute add default via 10.9.0.1 dev eth0")
	in, out := talkers(t, g, "10.9.0.5")
	for i := range 5 {
		from, to := "10.9.0.5", "10.9.0.77"
		if i%2 == 1 {
			from, to = to, from
		}
		do(t, request(t, g, from, to, time.Minute))
		for name, c := range map[string]net.Conn{"in": in, "out": out} {
			if err := echoes(c, fmt.Sprint(name, i)); err != nil {
				t.Fatalf("%s after move %d: %v", name, i, err)
			}
		}
	}
	// New ones have the new address.
	err := g.Do(func() error {
		c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1), Port: 9})
		if err == nil && !strings.HasPrefix(c.LocalAddr().String(), "10.9.0.77:") {
			err = fmt.Errorf("speaks from %s", c.LocalAddr())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Both ends of a connection learn at once that it is over; otherwise they would wait for minutes.
func TestConnectionsAreClosedWithoutADrain(t *testing.T) {
	cases := []struct {
		name string
		move func(*testing.T, *netnstest.Guest)
	}{
		{"a free address", func(t *testing.T, g *netnstest.Guest) { do(t, request(t, g, "10.9.0.5", "10.9.0.77", 0)) }},
		{"a swap", func(t *testing.T, g *netnstest.Guest) {
			other := plug(t, "other", "addr add 10.9.0.6/24 dev eth0")
			do(t, request(t, g, "10.9.0.5", "10.9.0.6", time.Minute), request(t, other, "10.9.0.6", "10.9.0.5", time.Minute))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			newBridge(t)
			g := plug(t, "web", "addr add 10.9.0.5/24 dev eth0\nroute add default via 10.9.0.1 dev eth0")
			in, out := talkers(t, g, "10.9.0.5")
			if err := errors.Join(echoes(in, "in"), echoes(out, "out")); err != nil {
				t.Fatal(err)
			}
			c.move(t, g)
			for name, conn := range map[string]net.Conn{"in": in, "out": out} {
				err := echoes(conn, name)
				if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s: have %v, want a closed connection", name, err)
				}
				if name == "in" && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					t.Errorf("%s: have %v, want a reset", name, err)
				}
			}
		})
	}
}

// A failed move closes nothing: the guest has what it had.
func TestConnectionsLiveThroughAFailedMove(t *testing.T) {
	newBridge(t)
	g := plug(t, "web", "addr add 10.9.0.5/24 dev eth0\nroute add default via 10.9.0.1 dev eth0")
	netnstest.Run(t, "ip", "neigh", "replace", "10.9.0.5", "lladdr", seen(t, g).MAC.String(), "nud", "permanent", "dev", bridge)
	in, out := talkers(t, g, "10.9.0.5")
	deaf(t, g)
	results, _ := try(t.Context(), request(t, g, "10.9.0.5", "10.9.0.77", 0))
	wantProblem(t, results[0].Err, "it has 10.9.0.5 again")
	if err := errors.Join(echoes(in, "in"), echoes(out, "out")); err != nil {
		t.Error(err)
	}
}
