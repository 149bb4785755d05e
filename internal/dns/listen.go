package dns

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"berth/internal/ipam"
)

// limits bound what clients can make the server hold.
type limits struct {
	retry      time.Duration // between two attempts to get a port that is taken
	idle       time.Duration // after which a TCP connection without a query is closed (RFC 7766 §6.2.3)
	write      time.Duration // for a client to take one answer over TCP
	conns      int           // TCP connections of one network
	connsEach  int           // of them from one address
	pipelined  int           // answers that one connection may be owed (RFC 7766 §6.2.1.1)
	errorPause time.Duration // after a socket error, so that a lasting one does not spin
}

var defaultLimits = limits{
	retry: time.Second, idle: 10 * time.Second, write: 5 * time.Second,
	conns: 256, connsEach: 32, pipelined: 64, errorPause: 100 * time.Millisecond,
}

// endpoint is one socket that the server should have.
type endpoint struct {
	network string
	addr    netip.AddrPort
	proto   string // "udp" or "tcp"
}

// listener keeps one socket: it opens it, or tries until it can.
type listener struct {
	endpoint
	server *Server
	cancel context.CancelFunc

	mu      sync.Mutex
	socket  socket        // nil when there is none
	problem *ipam.Problem // why there is none
	closed  bool
}

// listenLocked makes the open sockets those of the networks in force; s.mu is held.
func (s *Server) listenLocked() {
	wanted := make(map[endpoint]bool)
	if s.ctx != nil && s.ctx.Err() == nil {
		for _, n := range s.view.Load().networks {
			at := netip.AddrPortFrom(n.gateway, s.port)
			wanted[endpoint{n.name, at, "udp"}] = true
			wanted[endpoint{n.name, at, "tcp"}] = true
		}
	}
	for e, l := range s.listeners {
		if !wanted[e] {
			l.close() // before others are opened: they may want the same address
			delete(s.listeners, e)
		}
	}
	for e := range wanted {
		if s.listeners[e] == nil {
			s.listeners[e] = s.start(e)
		}
	}
}

// start opens the socket before it returns, if it can be had.
func (s *Server) start(e endpoint) *listener {
	ctx, cancel := context.WithCancel(s.ctx)
	l := &listener{endpoint: e, server: s, cancel: cancel}
	l.open(ctx)
	s.running.Go(func() { l.run(ctx) })
	return l
}

// close frees the port before it returns.
func (l *listener) close() {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.socket != nil {
		l.socket.Close()
	}
}

// socket is an open port; serve returns when it is closed or broken.
type socket interface {
	serve(ctx context.Context)
	Close() error
}

// open gets the socket, or says in l.problem why it can not.
func (l *listener) open(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	var err error
	l.socket, err = l.listen(ctx)
	l.noteLocked(err)
}

func (l *listener) listen(ctx context.Context) (socket, error) {
	config := net.ListenConfig{Control: freebind}
	if l.proto == "udp" {
		conn, err := config.ListenPacket(ctx, "udp", l.addr.String())
		if err != nil {
			return nil, err
		}
		return &packetSocket{server: l.server, network: l.network, conn: conn.(*net.UDPConn)}, nil
	}
	tcp, err := config.Listen(ctx, "tcp", l.addr.String())
	if err != nil {
		return nil, err
	}
	return newStreamSocket(l.server, l.network, tcp.(*net.TCPListener)), nil
}

// run serves on the socket, and opens it again whenever there is none.
func (l *listener) run(ctx context.Context) {
	// The end of Run closes sockets too, also while l.open waits for nothing.
	defer context.AfterFunc(ctx, l.close)()
	for {
		l.mu.Lock()
		s := l.socket
		l.mu.Unlock()
		if s != nil {
			s.serve(ctx)
			s.Close()
		}
		if !pause(ctx, l.server.limits.retry) {
			return
		}
		l.open(ctx)
	}
}

// noteLocked turns what became of opening the socket into a standing problem.
func (l *listener) noteLocked(err error) {
	var p *ipam.Problem
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		p = portTaken(l.endpoint, err)
	case err != nil:
		p = &ipam.Problem{
			Code: ipam.CodeHost, Err: err,
			Text: "DNS can not listen on " + l.addr.String() + " (" + l.proto + "): " + reason(err),
			Hint: "berth needs root, or CAP_NET_BIND_SERVICE and CAP_NET_ADMIN",
		}
	}
	before := l.problem
	l.problem = p
	switch {
	case p != nil && (before == nil || before.Text != p.Text):
		l.server.log.Warn("dns port not available", "network", l.network, "addr", l.addr, "err", p)
	case p == nil && before != nil:
		l.server.log.Info("dns port available", "network", l.network, "addr", l.addr)
	}
}

// reason is the system's own words, without the call and the address around them.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// Problems are the ports that could not be had, with who has them. The server
// tries each of them again every second.
func (s *Server) Problems() ipam.Problems {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems ipam.Problems
	for _, l := range s.listeners {
		l.mu.Lock()
		if l.problem != nil {
			problems = append(problems, l.problem)
		}
		l.mu.Unlock()
	}
	slices.SortFunc(problems, func(a, b *ipam.Problem) int { return cmp.Compare(a.Text, b.Text) })
	return problems
}
