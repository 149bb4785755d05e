package dns

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// health is a short memory of upstreams that did not answer (RFC 9520 §3.3), so that
// a dead one costs its time once and not for every question.
type health struct {
	now     func() time.Time
	mu      sync.Mutex
	servers map[netip.AddrPort]*record
}

// record counts the failures of one server since its last answer.
type record struct {
	failures int
	since    time.Time // of the first of them
	until    time.Time // asked after all others until then
}

const (
	shortestAvoidance = 5 * time.Second
	longestAvoidance  = time.Minute
	toleratedFailures = 2 // one slow answer does not change the order
)

// failed notes that a server did not answer, or was not reachable.
func (h *health) failed(a netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.servers[a]
	if r == nil {
		r = &record{since: h.now()}
		h.servers[a] = r
	}
	now := h.now()
	if now.Before(r.until) {
		return // questions that were open together count once
	}
	r.failures++
	if n := r.failures - toleratedFailures; n >= 0 {
		r.until = now.Add(min(shortestAvoidance<<min(n, 10), longestAvoidance))
	}
}

// answered notes that a server lives.
func (h *health) answered(a netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.servers, a)
}

// isSuspect reports whether a server has failed so often that it is not waited for.
func (h *health) isSuspect(a netip.AddrPort) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.servers[a]
	return r != nil && r.failures >= toleratedFailures
}

// order is the strict order, with those that are avoided now at the end.
func (h *health) order(servers []netip.AddrPort) []netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	ordered := slices.Clone(servers)
	slices.SortStableFunc(ordered, func(a, b netip.AddrPort) int {
		return h.rankLocked(a, now) - h.rankLocked(b, now)
	})
	return ordered
}

func (h *health) rankLocked(a netip.AddrPort, now time.Time) int {
	if r := h.servers[a]; r != nil && now.Before(r.until) {
		return 1
	}
	return 0
}

// failing says since when a server has not answered; zero when it did.
func (h *health) failing(a netip.AddrPort) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.servers[a]; r != nil && r.failures >= toleratedFailures {
		return r.since
	}
	return time.Time{}
}
