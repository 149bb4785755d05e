package dhcp4

import (
	"sync"
	"time"

	"berth/internal/ipam"
)

const (
	offerMemory = time.Minute // that an offered address counts as taken
	crowdSweep  = time.Minute
)

// share is how many addresses of the range the clients behind one port may have beside its own guest: all
// but a sixteenth. Thousands of nested clients are welcome, but whoever makes up hardware addresses
// shall not keep the next guest from having one.
func share(n *ipam.Network) int {
	size := n.Range.Size()
	return size - size/16
}

// crowd counts the clients behind one port that have an address, in memory: after a restart it is known
// again when they have renewed. Its methods may be called from several goroutines.
type crowd struct {
	mu    sync.Mutex
	until map[ipam.Holder]time.Time
	swept time.Time
}

// admits reports whether one more client may be given an address of which at most limit may be had.
func (c *crowd) admits(h ipam.Holder, limit int, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.until[h]; ok || len(c.until) < limit {
		return true
	}
	if now.Sub(c.swept) < time.Second {
		return false // a flood must not make every request cost what the crowd does
	}
	c.sweep(now)
	return len(c.until) < limit
}

// note says that a client has an address for a time.
func (c *crowd) note(h ipam.Holder, now time.Time, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil {
		c.until, c.swept = map[ipam.Holder]time.Time{}, now
	}
	if end := now.Add(d); end.After(c.until[h]) {
		c.until[h] = end
	}
	if now.Sub(c.swept) >= crowdSweep {
		c.sweep(now)
	}
}

// gone says that a client has given its address up.
func (c *crowd) gone(h ipam.Holder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.until, h)
}

func (c *crowd) sweep(now time.Time) {
	c.swept = now
	for h, end := range c.until {
		if !now.Before(end) {
			delete(c.until, h)
		}
	}
}
