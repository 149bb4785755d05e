package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"berth/internal/ledger/journal"
)

// change is what is decided and stored together. It is already done in the decided tables, and
// shown when it is on disk.
type change struct {
	l       *Ledger
	rev     uint64
	ops     []op
	undo    []op
	events  []Event
	carried []key  // whose leases are stored besides; see Ledger.carry
	also    func() // runs with show held when the change is shown; nil for none
}

// begin starts a change. The caller holds mu until it is stored or rolled back.
func (l *Ledger) begin() *change { return &change{l: l} }

// do adds o to the change.
func (c *change) do(o op) {
	b := c.l.bookOf(o.network)
	undo := b.apply(o)
	c.ops = append(c.ops, o)
	c.undo = append(c.undo, undo)
	c.l.touchOp(o)
	c.l.touchOp(undo)
}

// bookOf is the decided book of a network; one that is not configured may still have had pins or leases.
func (l *Ledger) bookOf(network string) *book {
	b := l.decided[network]
	if b == nil {
		b = newBook()
		l.decided[network] = b
	}
	return b
}

// touchOp brings the pool up to date with the addresses that an operation is about.
func (l *Ledger) touchOp(o op) {
	switch {
	case o.lease != nil:
		l.touch(o.network, o.lease.Addr)
	case o.pin != nil:
		l.touch(o.network, o.pin.Addr)
	case o.addr.IsValid():
		l.touch(o.network, o.addr)
		if o.kind == opBlock {
			l.sweepAt(o.block.Until)
		}
	}
}

// rollback undoes the change in the decided tables, latest first.
func (c *change) rollback() {
	for _, o := range slices.Backward(c.undo) {
		undone := c.l.decided[o.network].apply(o)
		c.l.touchOp(o)
		c.l.touchOp(undone)
		if p := c.l.pools[o.network]; p != nil && o.lease != nil {
			p.stale = true
		}
	}
	for _, k := range c.carried {
		c.l.unstored[k] = true
	}
}

// store puts the change on its way to the disk. The caller holds mu, and waits with await after
// giving it back.
func (c *change) store() (journal.Ticket, error) {
	l := c.l
	c.rev = l.rev + 1
	l.scratch = appendRecord(l.scratch[:0], c.rev, c.ops)
	ticket, err := l.journal.Append(l.scratch, c.settle)
	if err != nil {
		c.rollback()
		return ticket, err
	}
	l.rev = c.rev
	if cap(l.scratch) > 1<<20 {
		l.scratch = nil // a whole new set of pins need not stay in memory
	}
	return ticket, nil
}

// settle is told by the journal's committer whether the change is on disk. With an error, mu is held.
func (c *change) settle(err error) {
	if err != nil {
		c.rollback()
		return
	}
	l := c.l
	l.show.Lock()
	l.shown.rev = c.rev
	for i := range c.ops {
		l.shown.apply(c.ops[i])
	}
	if c.also != nil {
		c.also()
	}
	l.show.Unlock()
	for i := range c.events {
		c.events[i].Rev = c.rev
	}
	l.watchers.send(c.events)
}

// apply does o in the tables that are seen, and in what is derived from them.
func (s *shown) apply(o op) {
	undo := s.bookOf(o.network).apply(o)
	s.names[o.network].replace(undo, o)
	if o.kind == opLease || o.kind == opForget {
		s.wake(key{o.network, o.holder})
	}
}

// await waits until a change is stored. The fate of one whose ctx ends first is open.
func (l *Ledger) await(ctx context.Context, t journal.Ticket) error {
	err := t.Wait(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return fmt.Errorf("store in ledger: %w", err)
	}
	return diskProblem(err)
}

func (s *shown) bookOf(network string) *book {
	b := s.books[network]
	if b == nil {
		b = newBook()
		s.books[network] = b
		s.names[network] = newNameIndex()
	}
	return b
}
