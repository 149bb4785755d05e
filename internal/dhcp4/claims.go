package dhcp4

import (
	"sync"
	"time"

	"berth/internal/ipam"
)

// maxNames bounds the names that clients may claim at a time; beyond it they are not trusted.
const maxNames = 4096

// claimant is a client behind a port.
type claimant struct {
	port int
	mac  ipam.MAC
}

// claims remembers who was first with what only one may have: a hardware address that two
// guests say is their own, a name that clients nobody can name sent. Its methods may be called from several goroutines.
type claims struct {
	mu      sync.Mutex
	macs    map[ipam.MAC]int // port
	ports   map[int]ipam.MAC // the inverse
	names   map[string]heldName
	clients map[claimant]string // the inverse
	swept   time.Time
}

type heldName struct {
	by    claimant
	until time.Time
}

// ownMAC reports whether mac, which is the guest's own on that port, is so with better right than
// on any other port; elsewhere says whether it is plugged in on another one too.
func (c *claims) ownMAC(mac ipam.MAC, port int, elsewhere bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.macs[mac]; ok && first != port && elsewhere {
		return false
	}
	if c.ports[port] == mac {
		return true
	}
	if c.macs == nil {
		c.macs, c.ports = map[ipam.MAC]int{}, map[int]ipam.MAC{}
	}
	c.forgetMAC(port)
	c.macs[mac], c.ports[port] = port, mac
	return true
}

func (c *claims) forgetMAC(port int) {
	if mac, ok := c.ports[port]; ok {
		delete(c.ports, port)
		if c.macs[mac] == port {
			delete(c.macs, mac)
		}
	}
}

// name claims a name for a client until nothing was heard of it for one and a half leases;
// false: another has it.
func (c *claims) name(name string, by claimant, now time.Time, lease time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	had, taken := c.names[name]
	if taken && had.by != by && now.Before(had.until) {
		return false
	}
	if !taken && len(c.names) >= maxNames && !c.sweep(now) {
		return false
	}
	if c.names == nil {
		c.names, c.clients = map[string]heldName{}, map[claimant]string{}
	}
	if last, ok := c.clients[by]; ok && last != name {
		delete(c.names, last)
	}
	if taken && had.by != by {
		delete(c.clients, had.by)
	}
	lease = min(lease, 365*24*time.Hour)
	c.names[name], c.clients[by] = heldName{by, now.Add(lease + lease/2)}, name
	return true
}

// sweep makes room, at most once a second; it reports whether there is any.
func (c *claims) sweep(now time.Time) bool {
	if now.Sub(c.swept) < time.Second {
		return false
	}
	c.swept = now
	for name, had := range c.names {
		if !now.Before(had.until) {
			c.forgetName(name)
		}
	}
	return len(c.names) < maxNames
}

func (c *claims) forgetName(name string) {
	delete(c.clients, c.names[name].by)
	delete(c.names, name)
}

// nameOf is the name that a client claimed, or "".
func (c *claims) nameOf(by claimant) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clients[by]
}

// forget ends the claims of a port that is gone.
func (c *claims) forget(port int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetMAC(port)
	for by, name := range c.clients {
		if by.port == port {
			c.forgetName(name)
		}
	}
}
