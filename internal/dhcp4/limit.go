package dhcp4

import (
	"sync"
	"time"

	"berth/internal/ipam"
)

// bucket lets through rate events per second, and burst of them at once. The zero rate is no limit.
type bucket struct {
	rate, burst float64
	tokens      float64
	last        time.Time
}

// wait is for how long the next event must wait; it counts as passed. Never more than a second's worth is owed.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.rate <= 0 {
		return 0
	}
	b.fill(now)
	b.tokens = max(b.tokens-1, -b.rate)
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / b.rate * float64(time.Second))
}

// take reports whether an event may pass now; it counts only then.
func (b *bucket) take(now time.Time) bool {
	if b.rate <= 0 {
		return true
	}
	b.fill(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (b *bucket) fill(now time.Time) {
	if b.last.IsZero() {
		b.tokens = b.burst
	} else if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.burst, b.tokens+d.Seconds()*b.rate)
	}
	b.last = now
}

// quota is a bucket for several goroutines.
type quota struct {
	mu sync.Mutex
	bucket
}

func (q *quota) allowed(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.take(now)
}

// maxNAKs bounds the clients of one port that are remembered to have been refused.
const maxNAKs = 256

// naks remembers when the clients behind one port were last refused.
type naks struct {
	mu   sync.Mutex
	last map[ipam.MAC]time.Time
}

func (n *naks) add(mac ipam.MAC, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = map[ipam.MAC]time.Time{}
	}
	if _, ok := n.last[mac]; !ok && len(n.last) >= maxNAKs {
		for m, t := range n.last {
			if now.Sub(t) >= nakMemory {
				delete(n.last, m)
			}
		}
		for m := range n.last {
			if len(n.last) < maxNAKs {
				break
			}
			delete(n.last, m) // any: a port with so many refused clients at a time is no guest
		}
	}
	n.last[mac] = now
}

func (n *naks) of(mac ipam.MAC) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[mac]
}
