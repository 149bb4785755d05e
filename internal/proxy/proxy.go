// Package proxy is the HTTP proxy of one network (RFC 9110 §3.7): guests that have nothing but link-local IPv6 reach web
// servers through it, both by plain HTTP and, with CONNECT, by HTTPS.
package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"
)

// The address that lxd-bridge's proxy had, and that is in the profiles of its users: http://[fe80::1%eth0]:13128
const defaultPort = 13128

func defaultAddr() netip.Addr { return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: 1}) }

// Config is the proxy of one network.
type Config struct {
	Bridge       string
	Addr         netip.Addr     // of the bridge, to listen on, without zone; invalid: fe80::1
	Port         uint16         // 0: 13128
	Subnets      []netip.Prefix // of the network: served beside link-local addresses
	ConnectPorts []uint16       // that CONNECT may lead to; nil: 443 and 8443
}

func (c Config) withDefaults() Config {
	if !c.Addr.IsValid() {
		c.Addr = defaultAddr()
	}
	if c.Port == 0 {
		c.Port = defaultPort
	}
	if c.ConnectPorts == nil {
		c.ConnectPorts = []uint16{443, 8443}
	}
	c.Subnets, c.ConnectPorts = slices.Clone(c.Subnets), slices.Clone(c.ConnectPorts)
	return c
}

// endpoint is where the proxy listens.
type endpoint struct {
	bridge string
	addr   netip.Addr
	port   uint16
}

func (c Config) endpoint() endpoint { return endpoint{c.Bridge, c.Addr, c.Port} }

// String is the address as a guest's configuration would have it, but for the name of the interface.
func (e endpoint) String() string {
	a := e.addr
	if a.IsLinkLocalUnicast() && a.Is6() {
		a = a.WithZone(e.bridge)
	}
	return netip.AddrPortFrom(a, e.port).String()
}

// Resolver turns the name of a server into addresses; a *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options is what NewServer needs; the zero Options will do.
type Options struct {
	Resolver Resolver         // nil: the system's
	Log      *slog.Logger     // nil: silent
	Now      func() time.Time // nil: time.Now
	Limits   Limits
}

// Limits bound what guests can make the proxy hold. A zero is the default.
type Limits struct {
	Conns     int           // connections of all guests; 1024
	ConnsEach int           // of them from one port of the bridge; 128
	Header    int           // octets of a request's header; 64 KiB
	Request   time.Duration // for a request's header to arrive; 10 s
	Body      time.Duration // without a part of a request's body, or without the guest taking a part of the response; 60 s
	KeepAlive time.Duration // between two requests; 60 s
	Dial      time.Duration // to find and to reach a server; 20 s
	Response  time.Duration // for a response's header; 2 min
	Idle      time.Duration // without an octet from a server, or either way through a tunnel; 15 min
	Grace     time.Duration // for what is under way when the proxy stops; 3 s
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	if l.Conns == 0 {
		l.Conns = 1024
	}
	if l.ConnsEach == 0 {
		l.ConnsEach = 128
	}
	if l.Header == 0 {
		l.Header = 64 << 10
	}
	set(&l.Request, 10*time.Second)
	set(&l.Body, time.Minute)
	set(&l.KeepAlive, time.Minute)
	set(&l.Dial, 20*time.Second)
	set(&l.Response, 2*time.Minute)
	set(&l.Idle, 15*time.Minute)
	set(&l.Grace, 3*time.Second)
	return l
}

func (o Options) withDefaults() Options {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Limits = o.Limits.withDefaults()
	return o
}
