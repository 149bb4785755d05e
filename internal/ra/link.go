package ra

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"berth/internal/ipam"
)

// link is the bridge, as far as it decides whether and how to advertise.
type link struct {
	index    int
	mac      ipam.MAC
	up       bool       // the administrator's wish
	carrier  bool       // a port is up; before, nobody hears, and the kernel makes no link-local address
	disabled bool       // IPv6 is switched off here
	clash    bool       // somebody else has the link-local address
	source   netip.Addr // link-local address to send from; invalid when there is none yet
	pending  bool       // there will be one when duplicate address detection is over
}

// ready reports whether advertisements can be sent.
func (l link) ready() bool {
	return l.up && l.carrier && !l.disabled && !l.pending && l.source.IsValid()
}

// problem says what a person must do before advertisements can be sent; nil when nothing, or only time, is lacking.
func (l link) problem(bridge string) *ipam.Problem {
	p := &ipam.Problem{Code: ipam.CodeHost, Text: "no router advertisements on " + bridge + ": "}
	switch {
	case l.disabled:
		p.Text += "IPv6 is switched off there"
		p.Hint = "sysctl -w net/ipv6/conf/" + bridge + "/disable_ipv6=0"
	case !l.up:
		p.Text += "it is down"
		p.Hint = "ip link set " + bridge + " up"
	case l.clash && !l.source.IsValid():
		p.Text += "another interface on it has the same link-local address, hence most likely the same hardware address"
		p.Hint = fmt.Sprintf("find it: bridge fdb show br %s | grep %s", bridge, l.mac)
	case l.carrier && !l.source.IsValid() && !l.pending:
		p.Text += "it has no link-local address"
		p.Hint = "ip link set " + bridge + " addrgenmode eui64"
	default:
		return nil
	}
	return p
}

// absent says why a bridge can not be looked at.
func absent(bridge string, err error) *ipam.Problem {
	var p *ipam.Problem
	if errors.As(err, &p) {
		return p
	}
	return &ipam.Problem{
		Code: ipam.CodeHost, Err: err, Hint: "ip link show type bridge",
		Text: fmt.Sprintf("no router advertisements on %s: %v", bridge, err),
	}
}

// address is a link-local address of the bridge.
type address struct {
	addr      netip.Addr
	tentative bool // duplicate address detection is not over
	failed    bool // it found a duplicate
}

// choose sets the address to advertise from. Guests know a router by it, so the choice must not depend on what else
// comes and goes: the one made from the hardware address is preferred, and fe80::1, which is there for the proxy alone, is the
// last. One that is about to be there is waited for.
func (l *link) choose(addrs []address) {
	made, proxy := eui64(l.mac), netip.MustParseAddr("fe80::1")
	rank := func(a address) int {
		switch a.addr {
		case made:
			return 0
		case proxy:
			return 2
		}
		return 1
	}
	addrs = slices.Clone(addrs)
	slices.SortFunc(addrs, func(a, b address) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.addr.Compare(b.addr))
	})
	l.source, l.pending, l.clash = netip.Addr{}, false, false
	for _, a := range addrs {
		if a.failed {
			l.clash = true
			continue
		}
		l.source, l.pending = a.addr, a.tentative
		return
	}
}

// eui64 is the link-local address that is made from a hardware address (RFC 4291 appendix A).
func eui64(m ipam.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}
