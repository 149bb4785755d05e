package ledger

import (
	"net/netip"

	"berth/internal/ipam"
)

// Draining tells who moved away from an address and keeps it for open connections still; the zero
// Holder when nobody does. A pin may give it to somebody else all the same.
func (l *Ledger) Draining(network string, a netip.Addr) ipam.Holder {
	l.show.RLock()
	defer l.show.RUnlock()
	b := l.shown.books[network]
	if b == nil {
		return ipam.Holder{}
	}
	if block, ok := b.blocks[a]; ok && !block.Declined && block.Until.After(l.opts.Now()) {
		return block.Holder
	}
	return ipam.Holder{}
}
