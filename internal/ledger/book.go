package ledger

import (
	"maps"
	"net/netip"
	"sync/atomic"
	"time"

	"berth/internal/ipam"
)

// binding is a lease with what only the ledger needs to know of it. It is never changed, only replaced.
type binding struct {
	ipam.Lease
	PinMAC ipam.MAC // pins by this hardware address apply to the holder; zero: none do
}

func (b *binding) isIdle(now time.Time) bool {
	return b.Idle || !b.Expiry.IsZero() && !b.Expiry.After(now)
}

// pin is a pin in force. All but its source and mark is never changed, only replaced.
type pin struct {
	ipam.Pin // Source is what it was when the pin was made
	network  string
	source   atomic.Pointer[ipam.Source] // where it stands in its file now
	mark     uint64                      // the last SetPins that wished it; that call's only
}

// current is the pin with the place where it stands now.
func (p *pin) current() ipam.Pin {
	out := p.Pin
	if s := p.source.Load(); s != nil {
		out.Source = *s
	}
	return out
}

// block keeps an address from being given out for a time.
type block struct {
	Holder   ipam.Holder // who declined it; or who is draining it, and may have it back
	Until    time.Time
	Declined bool
}

// book is what one network's addresses are used for. Whichever lock guards the
// tables guards it.
type book struct {
	leases map[ipam.Holder]*binding
	pins   map[ipam.Holder]*pin
	blocks map[netip.Addr]block

	owners map[netip.Addr]ipam.Holder // of leases, by address
	pinned map[netip.Addr]*pin
	byMAC  map[ipam.MAC]ipam.Holder // whose lease has this PinMAC
}

func newBook() *book {
	return &book{
		leases: map[ipam.Holder]*binding{},
		pins:   map[ipam.Holder]*pin{},
		blocks: map[netip.Addr]block{},
		owners: map[netip.Addr]ipam.Holder{},
		pinned: map[netip.Addr]*pin{},
		byMAC:  map[ipam.MAC]ipam.Holder{},
	}
}

func (b *book) clone() *book {
	return &book{
		leases: maps.Clone(b.leases), pins: maps.Clone(b.pins), blocks: maps.Clone(b.blocks),
		owners: maps.Clone(b.owners), pinned: maps.Clone(b.pinned), byMAC: maps.Clone(b.byMAC),
	}
}

// pinFor is the pin that applies to a client: by the guest's name, else by hardware address.
func (b *book) pinFor(h ipam.Holder, pinMAC ipam.MAC) *pin {
	if p := b.pins[h]; p != nil {
		return p
	}
	if pinMAC.IsZero() {
		return nil
	}
	return b.pins[ipam.ByMAC(pinMAC)]
}

// leaseFor is the lease of a client. One that is known by a name, its own or that of the guest behind whose
// port it is, also has the one that its hardware address got while nobody could tell.
func (b *book) leaseFor(h ipam.Holder, pinMAC ipam.MAC) *binding {
	if own := b.leases[h]; own != nil {
		return own
	}
	if h.Guest != "" && !pinMAC.IsZero() {
		return b.leases[ipam.ByMAC(pinMAC)]
	}
	return nil
}

// clientOf is the holder of the lease to which a pin applies, as far as is known: the
// pin's own for a name, whoever speaks with it for a hardware address.
func (b *book) clientOf(p *pin) ipam.Holder {
	if p.Holder.Guest == "" {
		if h, ok := b.byMAC[p.Holder.MAC]; ok {
			return h
		}
	}
	return p.Holder
}

// op puts one thing in the place of another; nil or zero takes it away.
type op struct {
	kind    opKind
	network string
	holder  ipam.Holder // of lease or pin
	lease   *binding
	pin     *pin
	addr    netip.Addr // of block
	block   block
}

type opKind byte

// The kinds are stored; their numbers must not change.
const (
	opLease   opKind = 1
	opForget  opKind = 2
	opPin     opKind = 3
	opUnpin   opKind = 4
	opBlock   opKind = 5
	opUnblock opKind = 6
)

func putLease(l *binding) op {
	return op{kind: opLease, network: l.Network, holder: l.Holder, lease: l}
}
func putPin(p *pin) op { return op{kind: opPin, network: p.network, holder: p.Holder, pin: p} }

func forget(network string, h ipam.Holder) op { return op{kind: opForget, network: network, holder: h} }
func unpin(p *pin) op                         { return op{kind: opUnpin, network: p.network, holder: p.Holder} }

func putBlock(network string, a netip.Addr, b block) op {
	return op{kind: opBlock, network: network, addr: a, block: b}
}

// apply does o and returns what undoes it.
func (b *book) apply(o op) (undo op) {
	undo = o
	switch o.kind {
	case opLease, opForget:
		undo.lease = b.leases[o.holder]
		undo.kind = opForget
		if undo.lease != nil {
			undo.kind = opLease
		}
		b.setLease(o.holder, undo.lease, o.lease)
	case opPin, opUnpin:
		undo.pin = b.pins[o.holder]
		undo.kind = opUnpin
		if undo.pin != nil {
			undo.kind = opPin
		}
		b.setPin(o.holder, undo.pin, o.pin)
	case opBlock, opUnblock:
		var had bool
		undo.block, had = b.blocks[o.addr]
		undo.kind = opUnblock
		if had {
			undo.kind = opBlock
		}
		if o.kind == opBlock {
			b.blocks[o.addr] = o.block
		} else {
			delete(b.blocks, o.addr)
		}
	}
	return undo
}

// setLease also keeps the indexes; within one change two holders may have one address for a
// moment, so an index entry is only removed by the one it names.
func (b *book) setLease(h ipam.Holder, old, now *binding) {
	if old != nil {
		if b.owners[old.Addr] == h {
			delete(b.owners, old.Addr)
		}
		if !old.PinMAC.IsZero() && b.byMAC[old.PinMAC] == h {
			delete(b.byMAC, old.PinMAC)
		}
	}
	if now == nil {
		delete(b.leases, h)
		return
	}
	b.leases[h] = now
	b.owners[now.Addr] = h
	if !now.PinMAC.IsZero() {
		b.byMAC[now.PinMAC] = h
	}
}

func (b *book) setPin(h ipam.Holder, old, now *pin) {
	if old != nil && b.pinned[old.Addr] == old {
		delete(b.pinned, old.Addr)
	}
	if now == nil {
		delete(b.pins, h)
		return
	}
	b.pins[h] = now
	b.pinned[now.Addr] = now
}
