package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// streamSocket serves TCP (RFC 7766): many queries on a connection, answered as
// soon as each answer is known.
type streamSocket struct {
	server  *Server
	network string
	tcp     *net.TCPListener

	mu    sync.Mutex
	conns map[net.Conn]netip.Addr
	each  map[netip.Addr]int
}

func newStreamSocket(s *Server, network string, tcp *net.TCPListener) *streamSocket {
	return &streamSocket{
		server: s, network: network, tcp: tcp,
		conns: make(map[net.Conn]netip.Addr), each: make(map[netip.Addr]int),
	}
}

// Close makes serve return.
func (t *streamSocket) Close() error { return t.tcp.Close() }

// serve accepts connections until the socket is closed, and returns when all of them are gone.
func (t *streamSocket) serve(ctx context.Context) {
	var open sync.WaitGroup
	defer open.Wait()
	defer t.closeAll()
	for {
		conn, err := t.tcp.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			if conn != nil {
				conn.Close()
			}
			return
		case err != nil:
			if !pause(ctx, t.server.limits.errorPause) {
				return
			}
			continue
		}
		peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err != nil || !t.admit(conn, peer.Addr()) {
			conn.Close()
			continue
		}
		open.Go(func() {
			defer t.dismiss(conn)
			t.converse(conn, peer)
		})
	}
}

// admit counts a connection in, unless there are too many already.
func (t *streamSocket) admit(conn net.Conn, peer netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.conns) >= t.server.limits.conns || t.each[peer] >= t.server.limits.connsEach {
		t.server.counters.dropped.Add(1)
		return false
	}
	t.conns[conn] = peer
	t.each[peer]++
	return true
}

func (t *streamSocket) dismiss(conn net.Conn) {
	conn.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	peer := t.conns[conn]
	delete(t.conns, conn)
	if t.each[peer]--; t.each[peer] <= 0 {
		delete(t.each, peer)
	}
}

func (t *streamSocket) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for conn := range t.conns {
		conn.Close()
	}
}

// converse reads queries from one connection, and has a second goroutine write the
// answers. A query takes a place before it is read, and leaves it when its answer is written,
// so that a client that asks and never listens is not read from any more.
func (t *streamSocket) converse(conn net.Conn, peer netip.AddrPort) {
	limits := t.server.limits
	places := make(chan struct{}, limits.pipelined)
	replies := make(chan []byte, limits.pipelined)
	var writing sync.WaitGroup
	writing.Go(func() {
		for reply := range replies {
			conn.SetWriteDeadline(time.Now().Add(limits.write))
			if reply != nil && writeFramed(conn, reply) != nil {
				conn.Close() // which ends the reading too; what comes still is drained
			}
			<-places
		}
	})
	from := asker{network: t.network, addr: netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()), stream: true}
	for {
		places <- struct{}{}
		query, err := receive(conn, limits.idle, func() bool { return len(places) > 1 })
		if err != nil {
			break
		}
		later := func(reply []byte) { replies <- reply } // there is room: the query has a place
		if reply, pending := t.server.handle(from, query, later); !pending {
			replies <- reply
		}
	}
	<-places
	// Whoever is owed an answer has a place. All of them are delivered before the channel closes.
	for range cap(places) {
		places <- struct{}{}
	}
	close(replies)
	writing.Wait()
}

// receive reads one message. While answers are owed, the client is not idle.
func receive(conn net.Conn, idle time.Duration, owed func() bool) ([]byte, error) {
	var size [2]byte
	for {
		conn.SetReadDeadline(time.Now().Add(idle))
		n, err := io.ReadFull(conn, size[:])
		if err == nil {
			break
		}
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !owed() {
			return nil, err
		}
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, query) // under the same deadline: nobody trickles
	return query, err
}
