package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"berth/internal/ipam"
)

// crowdMemory is for how long it is reported that there were too many connections.
const crowdMemory = time.Minute

// visitor is who has a connection: the port of the bridge that a guest is behind, however many addresses it gives itself.
type visitor struct {
	port int        // interface index; 0 when it is not known
	addr netip.Addr // valid only then
}

// door counts the connections of guests.
type door struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	total   int
	each    map[visitor]int
	full    time.Time // when somebody was last turned away because there were too many in all
	crowd   time.Time // because there were too many of its own
	crowder netip.Addr
}

// enter counts a connection in, or says why it may not be.
func (d *door) enter(v visitor, from netip.Addr) *refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.each[v] >= d.limits.ConnsEach:
		d.crowd, d.crowder = d.now(), from
		return &refusal{http.StatusServiceUnavailable, "connection_limit_reached", "this guest has as many connections as it may have"}
	case d.total >= d.limits.Conns:
		d.full = d.now()
		return &refusal{http.StatusServiceUnavailable, "connection_limit_reached", "there are too many connections"}
	}
	if d.each == nil {
		d.each = make(map[visitor]int)
	}
	d.total++
	d.each[v]++
	return nil
}

func (d *door) leave(v visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	if d.each[v]--; d.each[v] == 0 {
		delete(d.each, v)
	}
}

func (d *door) problems(bridge string) ipam.Problems {
	d.mu.Lock()
	defer d.mu.Unlock()
	var problems ipam.Problems
	lately := func(t time.Time) bool { return !t.IsZero() && d.now().Sub(t) < crowdMemory }
	if lately(d.crowd) {
		problems = append(problems, &ipam.Problem{
			Code: ipam.CodeFull,
			Text: fmt.Sprintf("the proxy on %s turned guest %s away: it has %d connections already", bridge, d.crowder, d.limits.ConnsEach),
			Hint: fmt.Sprintf("find its port: ip neigh show dev %s | grep %s", bridge, d.crowder),
		})
	}
	if lately(d.full) {
		problems = append(problems, &ipam.Problem{
			Code: ipam.CodeFull,
			Text: fmt.Sprintf("the proxy on %s turned guests away: it has %d connections already", bridge, d.limits.Conns),
			Hint: "see whose they are: ss -tn state established",
		})
	}
	return problems
}

// admit hands a connection on when it comes from a guest that may have another one.
func (s *Server) admit(c *net.TCPConn, bridge int, in *intake) {
	from, refused := s.guestBehind(c, bridge)
	v := visitor{addr: from}
	if refused == nil {
		if port, ok := s.kernel.portOf(bridge, from); ok {
			v = visitor{port: port}
		}
		refused = s.door.enter(v, from)
	}
	if refused != nil {
		s.log.Debug("proxy connection refused", "addr", from, "err", refused)
		turnAway(c, refused)
		return
	}
	s.open.Add(1)
	in.put(&guestConn{TCPConn: c, patience: s.opts.Limits.Body, leave: func() { s.door.leave(v); s.open.Done() }})
}

// guestBehind gives the address of who connected, without the zone, if it is a guest's.
func (s *Server) guestBehind(c *net.TCPConn, bridge int) (netip.Addr, *refusal) {
	peer, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, notAGuest()
	}
	from := peer.AddrPort().Addr().Unmap().WithZone("")
	known := from.IsLinkLocalUnicast()
	for _, subnet := range s.config.Load().Subnets {
		known = known || subnet.Contains(from)
	}
	if !known || s.kernel.isOwn(bridge, from) {
		return from, notAGuest()
	}
	return from, nil
}

func notAGuest() *refusal {
	return &refusal{http.StatusForbidden, "http_request_denied", "this proxy is for the guests of its network alone"}
}

// turnAway answers before anything was asked, without waiting: what it says fits into an empty socket buffer.
func turnAway(c *net.TCPConn, r *refusal) {
	defer c.Close()
	body := r.body()
	_ = c.SetWriteDeadline(time.Now().Add(acceptPause))
	_, _ = io.WriteString(c, fmt.Sprintf(
		"HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nProxy-Status: %s\r\nContent-Length: %d\r\n\r\n%s",
		r.status, http.StatusText(r.status), r.proxyStatus(), len(body), body))
	_ = c.CloseWrite()
}

// guestConn is a connection of a guest. It is counted until it is closed.
type guestConn struct {
	*net.TCPConn
	patience time.Duration // with a guest that takes nothing
	leave    func()

	mu       sync.Mutex
	closed   bool
	upstream *http.Transport // of its requests; nil before the first
}

// Write gives up on a guest that does not read.
func (c *guestConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.TCPConn.Write(b)
}

// ReadFrom hides that of the socket, which would write without a deadline.
func (c *guestConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// Close closes also the connections to servers that were kept for further requests.
func (c *guestConn) Close() error {
	c.mu.Lock()
	first, upstream := !c.closed, c.upstream
	c.closed, c.upstream = true, nil
	c.mu.Unlock()
	err := c.TCPConn.Close()
	if first {
		if upstream != nil {
			upstream.CloseIdleConnections()
		}
		c.leave()
	}
	return err
}
