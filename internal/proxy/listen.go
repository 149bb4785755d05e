package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"berth/internal/ipam"
)

const (
	// listenInterval is between two attempts to listen, and between two looks at whether the bridge is the same.
	listenInterval = time.Second
	// acceptPause is after an error of accepting, such as too many open files.
	acceptPause = 100 * time.Millisecond
)

var errNoBridge = errors.New("there is no such bridge")

// intake hands connections from whatever socket there is to the web server.
type intake struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newIntake() *intake { return &intake{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Accept gives the next connection.
func (in *intake) Accept() (net.Conn, error) {
	select {
	case c := <-in.conns:
		return c, nil
	case <-in.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (in *intake) Close() error {
	in.once.Do(func() { close(in.closed) })
	return nil
}

// Addr is no real one.
func (in *intake) Addr() net.Addr { return &net.TCPAddr{} }

func (in *intake) put(c net.Conn) {
	select {
	case in.conns <- c:
	case <-in.closed:
		c.Close()
	}
}

// keepListening keeps a socket where the configuration wants one, until ctx ends. A socket is bound to the bridge that was
// there when it was opened: one that was made anew under the same name needs another.
func (s *Server) keepListening(ctx context.Context, in *intake) {
	var l *net.TCPListener
	var at endpoint
	var index int
	var accepting sync.WaitGroup
	stop := func() {
		if l != nil {
			l.Close()
			accepting.Wait()
			l = nil
		}
	}
	defer stop()
	defer s.note(endpoint{}, nil)
	for ctx.Err() == nil {
		want := s.config.Load().endpoint()
		if l != nil && (want != at || s.kernel.indexOf(want.bridge) != index) {
			stop()
		}
		if l == nil && want.bridge != "" {
			opened, bridge, err := s.kernel.listen(ctx, want)
			if err == nil {
				l, at, index = opened, want, bridge
				accepting.Go(func() { s.accept(opened, bridge, in) })
			}
			s.note(want, err)
		} else if l == nil {
			s.note(endpoint{}, nil)
		}
		s.pause(ctx)
	}
}

func (s *Server) pause(ctx context.Context) {
	timer := time.NewTimer(listenInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.changed:
	case <-timer.C:
	}
}

// accept lets guests in until the socket is closed.
func (s *Server) accept(l *net.TCPListener, bridge int, in *intake) {
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("proxy connection not accepted", "err", err)
			time.Sleep(acceptPause)
			continue
		}
		s.admit(c, bridge, in)
	}
}

// note keeps where the proxy listens, or why it does not.
func (s *Server) note(e endpoint, err error) {
	p := listenProblem(e, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch before := s.problem; {
	case p != nil && (before == nil || before.Text != p.Text):
		s.log.Warn("proxy not available", "network", e.bridge, "addr", e, "err", p)
	case p == nil && e.bridge != "" && s.at != e:
		s.log.Info("proxy available", "network", e.bridge, "addr", e)
	}
	s.problem, s.at = p, e
	if p != nil {
		s.at = endpoint{}
	}
}

func listenProblem(e endpoint, err error) *ipam.Problem {
	if err == nil {
		return nil
	}
	p := &ipam.Problem{Code: ipam.CodeHost, Err: err}
	where := "the proxy can not listen on " + e.String() + ": "
	switch {
	case errors.Is(err, errNoBridge):
		p.Text = where + "there is no bridge " + e.bridge
		p.Hint = "ip link show type bridge"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		p.Text = where + e.bridge + " does not have the address"
		p.Hint = fmt.Sprintf("ip addr add %s/64 dev %s nodad", e.addr, e.bridge)
	case errors.Is(err, syscall.EADDRINUSE):
		p.Text, p.Hint = takenBy(e)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		p.Code = ipam.CodeDenied
		p.Text = where + "it is not permitted"
		p.Hint = "run berth as root, or with CAP_NET_RAW"
	default:
		p.Text = where + reason(err)
		p.Hint = "journalctl -u berth"
	}
	return p
}

// takenBy says who has the port, and how to end that.
func takenBy(e endpoint) (text, hint string) {
	text = fmt.Sprintf("TCP port %d on %s is taken", e.port, e.bridge)
	o, ok := findOwner("/proc", e)
	switch {
	case !ok:
		return text + " by a process that is not to be seen from here", fmt.Sprintf("see who has it: ss -ltnp 'sport = :%d'", e.port)
	case o.comm == "lxd-bridge-prox": // as the kernel cuts it
		hint = "the old service still runs: systemctl disable --now lxd-bridge"
	case o.unit != "":
		hint = "stop it: systemctl disable --now " + o.unit
	default:
		hint = fmt.Sprintf("stop it: kill %d; berth takes the port as soon as it is free", o.pid)
	}
	return fmt.Sprintf("%s by %s (process %d)", text, o.comm, o.pid), hint
}

// reason is the system's own words, without the call and the address around them.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
