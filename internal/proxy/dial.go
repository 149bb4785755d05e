package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// minAttempt is what an attempt to connect gets at least, however many addresses a server has.
const minAttempt = 2 * time.Second

// maxAddrs is how many addresses of a server are looked at; whoever has more lives with that.
const maxAddrs = 16

// connect reaches a server. A name is resolved once, and it is the addresses that were checked that are connected to, so that a
// name server can not say one thing to the check and another to the connection.
func (s *Server) connect(ctx context.Context, t target) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Limits.Dial)
	defer cancel()
	addrs, err := s.resolve(ctx, t.host)
	if err != nil {
		return nil, err
	}
	allowed, refused := s.allowed(addrs)
	if len(allowed) == 0 {
		return nil, refused
	}
	for i, a := range allowed {
		var c *net.TCPConn
		if c, err = s.attempt(ctx, netip.AddrPortFrom(a, t.port), len(allowed)-i); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (s *Server) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return s.opts.Resolver.LookupNetIP(ctx, "ip", host)
}

// allowed leaves the addresses that a guest may reach; refused says why the last of the others is none.
func (s *Server) allowed(addrs []netip.Addr) (allowed []netip.Addr, refused error) {
	refused = &net.DNSError{Err: "no address", IsNotFound: true}
	for _, a := range addrs[:min(len(addrs), maxAddrs)] {
		a = a.Unmap()
		if r := s.refuse(a); r != nil {
			refused = r
			continue
		}
		allowed = append(allowed, a)
	}
	return allowed, refused
}

// refuse asks the routing table last: it knows every address of the host, those of the bridges and those that whole prefixes
// of are local, at this instant.
func (s *Server) refuse(a netip.Addr) error {
	if r := refuseAddr(a); r != nil {
		return r
	}
	for _, a := range both(a) {
		local, err := s.kernel.isLocal(a)
		if err != nil {
			return fmt.Errorf("route to %s: %w", a, err)
		}
		if local {
			return denied("destination_ip_prohibited", fmt.Sprintf("%s is not allowed: it is the host itself", a))
		}
	}
	return nil
}

// both is an address, and the IPv4 address that it stands for.
func both(a netip.Addr) []netip.Addr {
	if inner, ok := carried(a); ok {
		return []netip.Addr{a, inner}
	}
	return []netip.Addr{a}
}

// attempt connects to one address, with its share of the time that is left for as many as rest.
func (s *Server) attempt(ctx context.Context, to netip.AddrPort, rest int) (*net.TCPConn, error) {
	deadline, _ := ctx.Deadline()
	share := max(time.Until(deadline)/time.Duration(rest), minAttempt)
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	c, ok := conn.(*net.TCPConn)
	if !ok {
		conn.Close()
		return nil, net.UnknownNetworkError("tcp")
	}
	// The host took the address since it was looked at: it speaks to itself from the same one.
	if c.LocalAddr().(*net.TCPAddr).IP.Equal(c.RemoteAddr().(*net.TCPAddr).IP) {
		c.Close()
		return nil, denied("destination_ip_prohibited", to.Addr().String()+" is not allowed: it is the host itself")
	}
	return c, nil
}
