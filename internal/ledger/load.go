package ledger

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"berth/internal/ipam"
)

// loader builds the tables from what is stored. It keeps no index until all is read.
type loader struct {
	l       *Ledger
	decoder decoder
}

func newLoader(l *Ledger) *loader { return &loader{l: l} }

// record is the journal's Replay.
func (r *loader) record(data []byte) error {
	rev, err := r.decoder.record(data, r.op)
	r.l.rev = max(r.l.rev, rev)
	return err
}

func (r *loader) op(o op) {
	b := r.l.shown.bookOf(o.network)
	switch o.kind {
	case opLease:
		b.leases[o.holder] = o.lease
	case opForget:
		delete(b.leases, o.holder)
	case opPin:
		b.pins[o.holder] = o.pin
	case opUnpin:
		delete(b.pins, o.holder)
	case opBlock:
		b.blocks[o.addr] = o.block
	case opUnblock:
		delete(b.blocks, o.addr)
	}
}

// finish makes the indexes and the second set of tables.
func (r *loader) finish(now time.Time) {
	l := r.l
	l.shown.rev = l.rev
	for network, b := range l.shown.books {
		for a, block := range b.blocks {
			if !block.Until.After(now) {
				delete(b.blocks, a)
				continue
			}
			l.sweepAt(block.Until)
		}
		r.index(network, b)
		names := l.shown.names[network]
		for _, p := range b.pins {
			names.addOp(putPin(p))
		}
		for _, lease := range b.leases {
			names.addOp(putLease(lease))
		}
		l.decided[network] = b.clone()
	}
}

// index makes a book's indexes. Two owners of one address can not have been stored, but can be
// left by a journal that was cut by hand: the one who was told last keeps it.
func (r *loader) index(network string, b *book) {
	for h, lease := range b.leases {
		if other, ok := b.owners[lease.Addr]; ok {
			r.complain(network, other, h, lease.Addr.String())
			loser := h
			if later(lease, b.leases[other]) {
				loser = other
			}
			delete(b.leases, loser)
			if loser == h {
				continue
			}
		}
		b.owners[lease.Addr] = h
	}
	for h, lease := range b.leases {
		if !lease.PinMAC.IsZero() {
			b.byMAC[lease.PinMAC] = h
		}
	}
	for _, p := range b.pins {
		if other := b.pinned[p.Addr]; other != nil {
			r.complain(network, other.Holder, p.Holder, p.Addr.String())
			loser := p
			if b.hasBetterRight(p, other) {
				loser = other
			}
			delete(b.pins, loser.Holder)
			if loser == p {
				continue
			}
		}
		b.pinned[p.Addr] = p
	}
}

// hasBetterRight reports whether p rather than other goes on: the pin of the one who has the address.
func (b *book) hasBetterRight(p, other *pin) bool {
	switch owner := b.owners[p.Addr]; owner {
	case b.clientOf(p):
		return true
	case b.clientOf(other):
		return false
	}
	return p.Holder.String() < other.Holder.String()
}

// later reports whether a's client was told after b's.
func later(a, b *binding) bool {
	return cmp.Or(a.Expiry.Compare(b.Expiry), a.Start.Compare(b.Start), cmp.Compare(a.Holder.String(), b.Holder.String())) > 0
}

func (r *loader) complain(network string, a, b ipam.Holder, addr string) {
	p := &ipam.Problem{
		Code: ipam.CodeConflict,
		Text: fmt.Sprintf("%s of %s was stored for both %s and %s; one of them lost it", addr, network, a, b),
		Hint: "was the journal cut by hand? pin the guest that shall have it: berth pin NAME " + addr,
	}
	r.l.complaint.loaded = append(r.l.complaint.loaded, p)
	r.l.log.Warn("address stored for two holders", "network", network, "addr", addr)
}

// snapshotOps is how many things share a record of a snapshot.
const snapshotOps = 64

// contents is what a snapshot is made of. Leases and pins are never changed, only replaced, so it is enough
// to have noted which there were.
type contents struct {
	rev    uint64
	leases []*binding
	pins   []*pin
	blocks []op
}

// snapshot is the journal's Snapshot: what is shown amounts to everything that was settled.
func (l *Ledger) snapshot() iter.Seq[[]byte] {
	l.show.RLock()
	defer l.show.RUnlock()
	now := l.opts.Now()
	s := contents{rev: l.shown.rev}
	for network, b := range l.shown.books {
		s.leases = slices.AppendSeq(slices.Grow(s.leases, len(b.leases)), maps.Values(b.leases))
		s.pins = slices.AppendSeq(slices.Grow(s.pins, len(b.pins)), maps.Values(b.pins))
		for a, block := range b.blocks {
			if block.Until.After(now) {
				s.blocks = append(s.blocks, putBlock(network, a, block))
			}
		}
	}
	return s.records
}

// records gives the contents as records; a revision alone is one.
func (s *contents) records(yield func([]byte) bool) {
	var record []byte
	ops := make([]op, 0, snapshotOps)
	isBegun := false
	for o := range s.ops {
		if ops = append(ops, o); len(ops) < snapshotOps {
			continue
		}
		record = appendRecord(record[:0], s.rev, ops)
		if !yield(record) {
			return
		}
		ops, isBegun = ops[:0], true
	}
	if len(ops) > 0 || !isBegun && s.rev > 0 {
		yield(appendRecord(record[:0], s.rev, ops))
	}
}

func (s *contents) ops(yield func(op) bool) {
	for _, lease := range s.leases {
		if !yield(putLease(lease)) {
			return
		}
	}
	for _, p := range s.pins {
		if !yield(putPin(p)) {
			return
		}
	}
	for _, o := range s.blocks {
		if !yield(o) {
			return
		}
	}
}
