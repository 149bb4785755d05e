package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// tunnel connects a guest with a server, and passes on what they say to each other (RFC 9110 §9.3.6).
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request) *refusal {
	t, refused := parseTarget(r.RequestURI, 0)
	if refused == nil {
		refused = refuseConnect(t, s.config.Load().ConnectPorts)
	}
	if refused != nil {
		return refused
	}
	server, err := s.connect(r.Context(), t) // which ends when the guest hangs up
	if err != nil {
		s.log.Debug("proxy tunnel not connected", "network", s.config.Load().Bridge, "addr", r.RemoteAddr, "err", err)
		return refusalOf(err, t.host)
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		server.Close()
		return &refusal{http.StatusInternalServerError, "proxy_internal_error", "the connection can not become a tunnel"}
	}
	defer conn.Close() // last: the proxy has ended when all of these are closed
	defer server.Close()
	if guest, ok := conn.(*guestConn); ok && greet(guest, server, buffered.Reader) == nil {
		s.pipe(r.Context(), guest.TCPConn, server)
	}
	return nil
}

// greet tells the guest that it is connected, and the server what the guest said before it was told.
func greet(guest *guestConn, server net.Conn, early *bufio.Reader) error {
	if _, err := io.WriteString(guest, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return err
	}
	said, err := early.Peek(early.Buffered())
	if err != nil {
		return err
	}
	if _, err := server.Write(said); err != nil {
		return err
	}
	return guest.SetDeadline(time.Time{})
}

// pipe passes octets both ways until both are done, one breaks, nothing moved for a while, or ctx ends. It is the kernel that moves them,
// so that it is the kernel that is asked whether any did.
func (s *Server) pipe(ctx context.Context, guest, server *net.TCPConn) {
	hangUp := func() { guest.Close(); server.Close() }
	defer context.AfterFunc(ctx, hangUp)()
	defer hangUp()
	done := make(chan struct{})
	var ways sync.WaitGroup
	ways.Go(func() { s.oneWay(server, guest, hangUp) })
	ways.Go(func() { s.oneWay(guest, server, hangUp) })
	go func() { ways.Wait(); close(done) }()

	ticker := time.NewTicker(max(s.opts.Limits.Idle/4, time.Millisecond))
	defer ticker.Stop()
	moved, since := uint64(0), s.opts.Now()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		now := s.opts.Now()
		if n := received(guest) + received(server); n != moved {
			moved, since = n, now
		}
		if now.Sub(since) >= s.opts.Limits.Idle {
			hangUp()
			<-done
			return
		}
	}
}

// oneWay copies until from is at its end, which it tells to; the other way may go on (RFC 9110 §9.3.6 would let us hang up, but
// there are servers that answer only when all was said).
func (s *Server) oneWay(to, from *net.TCPConn, hangUp func()) {
	_, err := io.Copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		hangUp()
	}
}
