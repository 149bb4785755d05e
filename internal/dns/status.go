package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"berth/internal/ipam"
)

// counters count messages since the start.
type counters struct {
	queries, local, cached, forwarded, refused, dropped atomic.Uint64
}

// Status is how the server is.
type Status struct {
	Listeners []ListenerStatus `json:"listeners"`
	Upstreams []UpstreamStatus `json:"upstreams"`
	Cached    int              `json:"cached"`    // replies in the cache
	Queries   uint64           `json:"queries"`   // all that came
	Local     uint64           `json:"local"`     // answered with authority
	CacheHits uint64           `json:"hits"`      // answered from the cache
	Forwarded uint64           `json:"forwarded"` // sent, or joined to one sent, upstream
	Refused   uint64           `json:"refused"`   // from strangers, or over a limit
	Dropped   uint64           `json:"dropped"`   // answered with silence
}

// ListenerStatus is one socket that the server has or should have.
type ListenerStatus struct {
	Network string         `json:"network"`
	Addr    netip.AddrPort `json:"addr"`
	Proto   string         `json:"proto"`             // udp or tcp
	Problem *ipam.Problem  `json:"problem,omitempty"` // nil: it listens
}

// UpstreamStatus is one resolver that questions are passed on to, in strict order.
type UpstreamStatus struct {
	Network      string         `json:"network"`
	Addr         netip.AddrPort `json:"addr"`
	FailingSince time.Time      `json:"failing_since,omitzero"` // zero: it answers, or was not asked
}

// Status says how the server is now.
func (s *Server) Status() Status {
	st := Status{
		Cached:    s.forward.cache.size(),
		Queries:   s.counters.queries.Load(),
		Local:     s.counters.local.Load(),
		CacheHits: s.counters.cached.Load(),
		Forwarded: s.counters.forwarded.Load(),
		Refused:   s.counters.refused.Load(),
		Dropped:   s.counters.dropped.Load(),
	}
	s.mu.Lock()
	for _, l := range s.listeners {
		l.mu.Lock()
		st.Listeners = append(st.Listeners, ListenerStatus{l.network, l.addr, l.proto, l.problem})
		l.mu.Unlock()
	}
	s.mu.Unlock()
	slices.SortFunc(st.Listeners, func(a, b ListenerStatus) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Proto, b.Proto))
	})
	v := s.view.Load()
	for _, n := range v.networks {
		servers, _ := s.upstreams(v, question{network: n})
		for _, a := range servers {
			st.Upstreams = append(st.Upstreams, UpstreamStatus{n.name, a, s.forward.health.failing(a)})
		}
	}
	return st
}
