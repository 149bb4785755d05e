package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// streamPort is where each guest echoes.
const streamPort = 7

// stream is a TCP connection to a guest that asks for an echo every 10 ms.
type stream struct {
	conn net.Conn
	done chan struct{}

	mu     sync.Mutex
	echoes int
	pause  time.Duration
	err    error
}

func (p *play) openStream(ctx context.Context, g *guest, addr netip.Addr) (*stream, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", netip.AddrPortFrom(addr, streamPort).String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", g.name, err)
	}
	s := &stream{conn: conn, done: make(chan struct{})}
	go s.run()
	return s, nil
}

func (s *stream) run() {
	defer close(s.done)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var b [1]byte
	for range tick.C {
		asked := time.Now()
		_ = s.conn.SetDeadline(asked.Add(patience))
		_, err := s.conn.Write([]byte{'.'})
		if err == nil {
			_, err = io.ReadFull(s.conn, b[:])
		}
		s.mu.Lock()
		if err != nil {
			s.err = err
			s.mu.Unlock()
			return
		}
		s.echoes++
		s.pause = max(s.pause, time.Since(asked))
		s.mu.Unlock()
	}
}

// want waits until n echoes came in all.
func (s *stream) want(ctx context.Context, n int) error {
	return poll(ctx, "the TCP connection", func() (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			return false, fmt.Errorf("the TCP connection died: %w", s.err)
		}
		return s.echoes >= n, nil
	})
}

// close ends the stream and reports how many echoes came and the longest wait for one.
func (s *stream) close() (int, time.Duration) {
	s.conn.Close()
	<-s.done
	return s.echoes, s.pause
}

// echo answers every connection with what it says, until the listener is closed.
func echo(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}
