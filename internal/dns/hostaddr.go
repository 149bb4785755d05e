package dns

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// hostAddresses are the addresses of this host, from which its own programs ask.
type hostAddresses struct {
	now func() time.Time

	mu    sync.Mutex
	read  time.Time
	addrs map[netip.Addr]bool
}

// has reports whether a is an address of this host; what it knows is at most a second old.
func (h *hostAddresses) has(a netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if h.addrs == nil || now.Sub(h.read) >= checkEvery || now.Before(h.read) {
		h.addrs = make(map[netip.Addr]bool)
		h.read = now
		list, err := net.InterfaceAddrs()
		if err != nil {
			return false // then only guests are answered, which is safe
		}
		for _, entry := range list {
			if p, err := netip.ParsePrefix(entry.String()); err == nil {
				h.addrs[p.Addr().Unmap()] = true
			}
		}
	}
	return h.addrs[a.WithZone("")]
}
