package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// packetSocket serves UDP. It is bound to the one address that is asked, so answers
// leave from there.
type packetSocket struct {
	server  *Server
	network string
	conn    *net.UDPConn
}

// Close makes serve return.
func (p *packetSocket) Close() error { return p.conn.Close() }

// serve answers until the socket is closed. Local names are answered in the loop;
// what must be asked upstream is answered from elsewhere and delays nobody.
func (p *packetSocket) serve(ctx context.Context) {
	buf := make([]byte, streamSize)
	for {
		n, addr, err := p.conn.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed) || ctx.Err() != nil:
			return
		case err != nil:
			if !pause(ctx, p.server.limits.errorPause) {
				return
			}
			continue
		}
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		later := func(reply []byte) { p.send(reply, addr) }
		reply, _ := p.server.handle(asker{network: p.network, addr: addr}, buf[:n], later)
		p.send(reply, addr)
	}
}

// send is without result: a client that got no answer asks again.
func (p *packetSocket) send(reply []byte, to netip.AddrPort) {
	if reply == nil {
		return
	}
	if _, err := p.conn.WriteToUDPAddrPort(reply, to); err != nil {
		p.server.counters.dropped.Add(1)
	}
}

// pause waits for d and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
