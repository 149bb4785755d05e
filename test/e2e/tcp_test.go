package e2e_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"berth/internal/netnstest"
)

// tcpStream is an open TCP connection to a guest that is asked for an echo every 10 ms.
type tcpStream struct {
	conn net.Conn

	mu     sync.Mutex
	echoes int
	err    error
}

// openTCP starts an echo service in the guest and connects to it at addr.
func openTCP(t testing.TB, g *netnstest.Guest, addr string) *tcpStream {
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
	s := &tcpStream{conn: conn}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		s.run()
	}()
	return s
}

func (s *tcpStream) run() {
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

// mustLive asserts that n more echoes come.
func (s *tcpStream) mustLive(t testing.TB, n int) {
	t.Helper()
	s.mu.Lock()
	want := s.echoes + n
	s.mu.Unlock()
	await(t, "the TCP connection to carry data", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			t.Fatalf("the TCP connection died: %v", s.err)
		}
		return s.echoes >= want
	})
}
