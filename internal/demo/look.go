package demo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"berth/internal/control"
)

// patience bounds every wait of the demo: what takes longer has failed.
const patience = 15 * time.Second

// poll calls done every two milliseconds until it says so or patience ends.
func poll(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w", patience, what, ctx.Err())
		case <-tick.C:
		}
	}
}

// address waits until the guest has an address of its own and returns it.
func (p *play) address(ctx context.Context, name string) (netip.Addr, error) {
	var addr netip.Addr
	err := poll(ctx, "the address of "+name, func() (bool, error) {
		guests, err := p.client.Guests(ctx, "")
		for _, g := range guests {
			if g.Name == name && len(g.Configured) > 0 && len(g.Leased) > 0 {
				addr = g.Configured[0]
				return true, nil
			}
		}
		return false, err
	})
	return addr, err
}

// settled waits until the guest's own DHCP client believes its pin.
func (p *play) settled(ctx context.Context, name string) error {
	return poll(ctx, name+" to settle", func() (bool, error) {
		guests, err := p.client.Guests(ctx, name)
		return err == nil && len(guests) > 0 && guests[0].State == control.Settled, err
	})
}

// resolve asks berth's DNS for the guest's address.
func (p *play) resolve(ctx context.Context, name string) (string, error) {
	m := new(dns.Msg)
	m.SetQuestion(name+"."+domain+".", dns.TypeA)
	var c dns.Client
	r, _, err := c.ExchangeContext(ctx, m, net.JoinHostPort(gateway, "53"))
	if err != nil {
		return "", fmt.Errorf("ask DNS for %s: %w", name, err)
	}
	for _, rr := range r.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A.String(), nil
		}
	}
	return "", fmt.Errorf("DNS answers %s for %s", dns.RcodeToString[r.Rcode], name)
}

// answers waits until something accepts or refuses TCP at the address: it is in use.
func (p *play) answers(ctx context.Context, addr netip.Addr) error {
	return poll(ctx, addr.String()+" to answer", func() (bool, error) {
		d := net.Dialer{Timeout: 20 * time.Millisecond}
		conn, err := d.DialContext(ctx, "tcp4", netip.AddrPortFrom(addr, streamPort).String())
		if err != nil {
			return false, nil
		}
		conn.Close()
		return true, nil
	})
}
