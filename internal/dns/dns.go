// Package dns answers for the names of the guests with authority, and passes every
// other question on to the upstream resolvers.
package dns

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/ipam"
)

// Names is what the server must be told about guests. Both methods are called for
// every query and must not block.
type Names interface {
	// LookupName gives the addresses of a name of a network, relative to its domain and
	// in lower case. exists with no addresses is an empty non-terminal, or a name
	// without an address now.
	LookupName(network, name string) (addrs []netip.Addr, exists bool)
	// LookupAddr gives the name, relative to the network's domain, that an address has.
	LookupAddr(a netip.Addr) (name, network string, ok bool)
}

// Options is what New needs; only Names is required.
type Options struct {
	Names        Names
	Log          *slog.Logger     // nil: silent
	Now          func() time.Time // nil: time.Now
	Port         uint16           // 0: 53
	ResolvConf   string           // "": /etc/resolv.conf
	ResolvedConf string           // "": /run/systemd/resolve/resolv.conf, used in place of the stub's address
	CacheEntries int              // 0: 10,000
}

// Server answers the DNS queries of several networks, each on its gateway's address.
type Server struct {
	names    Names
	log      *slog.Logger
	now      func() time.Time
	port     uint16
	view     atomic.Pointer[view]
	forward  *forwarder
	host     *hostAddresses
	resolv   *resolvConf
	limits   limits
	counters counters

	mu        sync.Mutex // guards what follows
	ctx       context.Context
	listeners map[endpoint]*listener
	running   sync.WaitGroup
}

// New makes a server that has no network yet.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Port == 0 {
		o.Port = 53
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.ResolvedConf == "" {
		o.ResolvedConf = "/run/systemd/resolve/resolv.conf"
	}
	if o.CacheEntries == 0 {
		o.CacheEntries = 10_000
	}
	s := &Server{
		names:     o.Names,
		log:       o.Log,
		now:       o.Now,
		port:      o.Port,
		forward:   newForwarder(o.Now, newCache(o.CacheEntries)),
		host:      &hostAddresses{now: o.Now},
		resolv:    &resolvConf{now: o.Now, path: o.ResolvConf, behindStub: o.ResolvedConf},
		limits:    defaultLimits,
		listeners: make(map[endpoint]*listener),
	}
	s.view.Store(newView(nil))
	return s
}

// SetNetworks puts networks in force, for the next packet: zones, upstreams and
// sockets. Sockets whose address stays are not touched.
func (s *Server) SetNetworks(networks ipam.Networks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.Store(newView(networks))
	s.listenLocked()
}

// Run serves until ctx ends, and returns when all it started is gone. A port that
// is taken is no error: see Problems. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.forward.open(ctx)
	s.mu.Lock()
	s.ctx = ctx
	s.listenLocked()
	s.mu.Unlock()

	<-ctx.Done()

	s.mu.Lock()
	s.ctx = nil
	s.listenLocked()
	s.mu.Unlock()
	s.running.Wait()
	s.forward.wait()
	return nil
}

// String names the task in logs.
func (s *Server) String() string { return "dns" }
