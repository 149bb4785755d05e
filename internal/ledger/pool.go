package ledger

import (
	"encoding/binary"
	"hash/fnv"
	"math/bits"
	"net/netip"
	"time"

	"berth/internal/ipam"
)

// maxPool bounds the addresses of a range that are given out, and so the memory for them (2 MB).
const maxPool = 1 << 24

// pool knows which addresses of a network's range are free: a bit an address, set when it may
// not be given to somebody new. The ledger's lock guards it.
type pool struct {
	net  *ipam.Network
	size int
	bits []uint64

	idle     []ipam.Holder // whose leases could be taken back, longest idle first
	idleFrom time.Time     // when idle was collected; zero: it must be
	stale    bool          // somebody may be missing from idle
}

func newPool(n *ipam.Network) *pool {
	size := min(n.Range.Size(), maxPool)
	p := &pool{net: n, size: size, bits: make([]uint64, (size+63)/64)}
	for i := size; i < len(p.bits)*64; i++ {
		p.bits[i/64] |= 1 << (i % 64)
	}
	return p
}

// index is the place of a in the range.
func (p *pool) index(a netip.Addr) (int, bool) {
	if !a.Is4() || !p.net.Range.Contains(a) {
		return 0, false
	}
	i := int(number(a) - number(p.net.Range.From))
	return i, i < p.size
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func (p *pool) set(a netip.Addr, used bool) {
	i, ok := p.index(a)
	if !ok {
		return
	}
	if used {
		p.bits[i/64] |= 1 << (i % 64)
	} else {
		p.bits[i/64] &^= 1 << (i % 64)
	}
}

// isFree reports whether a is in the range and nobody's.
func (p *pool) isFree(a netip.Addr) bool {
	i, ok := p.index(a)
	return ok && p.bits[i/64]&(1<<(i%64)) == 0
}

// free is the first free address from start on, around the end.
func (p *pool) free(start int) (netip.Addr, bool) {
	if p.size == 0 {
		return netip.Addr{}, false
	}
	word := start / 64
	// One word more than there are: the first is looked at again for what lies before start.
	for i := range len(p.bits) + 1 {
		w := (word + i) % len(p.bits)
		used := p.bits[w]
		if i == 0 {
			used |= 1<<(start%64) - 1
		}
		if used != ^uint64(0) {
			return p.net.Range.At(w*64 + bits.TrailingZeros64(^used)), true
		}
	}
	return netip.Addr{}, false
}

// start is where the search for a client begins, so that the same client tends to get the
// same address even from an empty ledger.
func (p *pool) start(h ipam.Holder, mac ipam.MAC) int {
	if p.size == 0 {
		return 0
	}
	hash := fnv.New32a()
	if mac.IsZero() {
		_, _ = hash.Write([]byte(h.Guest))
		mac = h.MAC
	}
	_, _ = hash.Write(mac[:])
	return int(hash.Sum32() % uint32(p.size))
}

// isUsable reports whether a guest may have a on n: it is what n.Refuse explains, without making words.
func isUsable(n *ipam.Network, a netip.Addr) bool {
	if !n.Subnet.Contains(a) || a == n.Gateway {
		return false
	}
	return n.Subnet.Bits() > 30 || a != n.Subnet.Addr() && a != n.Broadcast()
}
