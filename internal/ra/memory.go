package ra

import (
	"net/netip"
	"slices"
	"time"

	"berth/internal/ipam"
)

// maxRetired bounds what of each kind is remembered to have been advertised once; the oldest is forgotten.
const maxRetired = 32

// memory is what guests may still believe although it is no longer configured. Each thing in it is advertised with a
// lifetime that ends it, until no guest can remember it any more.
type memory struct {
	prefixes  []retiredPrefix
	routes    []retired[netip.Prefix]
	resolvers []retired[netip.Addr]
	search    []retired[string]
}

type retired[T comparable] struct {
	what  T
	until time.Time
}

// retiredPrefix has the flags that it no longer has.
type retiredPrefix struct {
	prefix             netip.Prefix
	onLink, autonomous bool
	until              time.Time
}

// change notes what guests were told by one configuration and are not by the next.
func (m *memory) change(from, to Config, o Options, now time.Time) {
	for _, p := range from.Prefixes {
		kept := flagsOf(to.Prefixes, p.Prefix)
		m.retire(p.Prefix, p.OnLink && !kept.OnLink, p.Autonomous && !kept.Autonomous, now)
	}
	for _, p := range to.Prefixes {
		m.reinstate(p)
	}
	m.routes = change(m.routes, from.Routes, to.Routes, now.Add(o.Lifetime))
	m.resolvers = change(m.resolvers, from.DNS, to.DNS, now.Add(o.dnsLifetime()))
	m.search = change(m.search, from.Search, to.Search, now.Add(o.dnsLifetime()))
}

func change[T comparable](gone []retired[T], from, to []T, until time.Time) []retired[T] {
	for _, what := range from {
		if !slices.ContainsFunc(gone, func(r retired[T]) bool { return r.what == what }) {
			gone = append(gone, retired[T]{what, until})
		}
	}
	gone = slices.DeleteFunc(gone, func(r retired[T]) bool { return slices.Contains(to, r.what) })
	return gone[max(len(gone)-maxRetired, 0):]
}

func flagsOf(prefixes []Prefix, prefix netip.Prefix) Prefix {
	for _, p := range prefixes {
		if p.Prefix == prefix {
			return p
		}
	}
	return Prefix{}
}

func (m *memory) retire(prefix netip.Prefix, onLink, autonomous bool, now time.Time) {
	if !onLink && !autonomous {
		return
	}
	until := now.Add(retiredValid)
	for i := range m.prefixes {
		if p := &m.prefixes[i]; p.prefix == prefix {
			p.onLink, p.autonomous, p.until = p.onLink || onLink, p.autonomous || autonomous, until
			return
		}
	}
	m.prefixes = append(m.prefixes, retiredPrefix{prefix, onLink, autonomous, until})
	m.prefixes = m.prefixes[max(len(m.prefixes)-maxRetired, 0):]
}

func (m *memory) reinstate(p Prefix) {
	m.prefixes = slices.DeleteFunc(m.prefixes, func(r retiredPrefix) bool {
		return r.prefix == p.Prefix && (!r.onLink || p.OnLink) && (!r.autonomous || p.Autonomous)
	})
	for i := range m.prefixes {
		if r := &m.prefixes[i]; r.prefix == p.Prefix {
			r.onLink, r.autonomous = r.onLink && !p.OnLink, r.autonomous && !p.Autonomous
		}
	}
}

// forget drops what no guest remembers any more.
func (m *memory) forget(now time.Time) {
	m.prefixes = slices.DeleteFunc(m.prefixes, func(r retiredPrefix) bool { return !r.until.After(now) })
	m.routes = forget(m.routes, now)
	m.resolvers = forget(m.resolvers, now)
	m.search = forget(m.search, now)
}

func forget[T comparable](gone []retired[T], now time.Time) []retired[T] {
	return slices.DeleteFunc(gone, func(r retired[T]) bool { return !r.until.After(now) })
}

// compose says what is to be advertised now: the configuration, and the ends of what was there before.
func (m *memory) compose(c Config, mac ipam.MAC, o Options, now time.Time) advertisement {
	m.forget(now)
	a := advertisement{managed: c.Managed, other: c.Other, mac: mac, mtu: c.MTU, prefixes: slices.Clone(c.Prefixes)}
	if c.Router {
		a.lifetime = o.Lifetime
	}
	for _, r := range m.prefixes {
		a.prefixes = append(a.prefixes, r.ending(c, now))
	}
	a.routes = lasting(c.Routes, o.Lifetime, m.routes)
	a.resolvers = lasting(c.DNS, o.dnsLifetime(), m.resolvers)
	a.search = lasting(c.Search, o.dnsLifetime(), m.search)
	return a
}

func lasting[T comparable](now []T, life time.Duration, gone []retired[T]) []timed[T] {
	var list []timed[T]
	for _, what := range now {
		list = append(list, timed[T]{what, life})
	}
	for _, r := range gone {
		list = append(list, timed[T]{r.what, 0})
	}
	return list
}

// ending is the option for a prefix that is gone. Guests cut the lifetime of their addresses in it to two hours and
// no further (RFC 4862 §5.5.3 e), so it is counted down from there, and the route to the neighbours goes together with the
// addresses. A prefix that is only no longer on the link stops being so at once (RFC 4861 §6.3.4).
func (r retiredPrefix) ending(c Config, now time.Time) Prefix {
	p := Prefix{Prefix: r.prefix, OnLink: r.onLink, Autonomous: r.autonomous, Valid: r.until.Sub(now), Deprecated: true}
	if stays := flagsOf(c.Prefixes, r.prefix); stays.Prefix.IsValid() && !r.autonomous {
		p.Valid = 0
	}
	return p
}
