package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"berth/internal/ipam"
)

// Found is a lease that another server made, and where that is written. Its Network is not looked at: it
// follows from the address. Its MAC is the hardware address that it was made for, its Holder whom the
// caller takes that to be: a guest, or the hardware address itself.
type Found struct {
	ipam.Lease
	Source ipam.Source
}

// Imported is what became of leases that were found.
type Imported struct {
	Rev      uint64        // the last revision, when something was taken over
	Taken    []ipam.Lease  // leases of this ledger from now on
	Same     int           // how many were so already
	Problems ipam.Problems // one for each that was left out: where it stands, and why
}

// importTogether is how many leases are stored in one step: between two of them clients are answered.
const importTogether = 1024

// Import makes leases that another server gave its own: the holder has the address, its client was told
// so, and the expiry stays what it was, so that a renewal finds everything as it is. One that
// has run out is kept too, idle: its holder gets the address again. What lies where no guest may be, is pinned to
// somebody else, or belongs to somebody else by now, is left out, and who already has another lease
// that is in use keeps that. An offer that nobody has asked for does not count. What it says is taken
// is durable on return, even with an error, which is ErrDisk or ctx's; to do it again does no harm.
func (l *Ledger) Import(ctx context.Context, found []Found) (Imported, error) {
	var all Imported
	for part := range slices.Chunk(found, importTogether) {
		if err := ctx.Err(); err != nil {
			return all, fmt.Errorf("take over leases: %w", err)
		}
		if err := l.importPart(ctx, part, &all); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (l *Ledger) importPart(ctx context.Context, part []Found, all *Imported) error {
	l.mu.Lock()
	t := l.takeOver(part)
	if len(t.change.ops) == 0 {
		l.mu.Unlock()
		all.add(&t.out)
		return nil
	}
	for _, lease := range t.out.Taken {
		if f := l.shown.offers.byAddr[placeKey{lease.Network, lease.Addr}]; f != nil {
			l.dropOffer(f.key)
		}
		l.dropOffer(key{lease.Network, lease.Holder})
	}
	ticket, err := t.change.store()
	rev := t.change.rev
	l.mu.Unlock()
	if err == nil {
		// Whoever cancels wants to know what came of it all the same.
		err = l.await(context.WithoutCancel(ctx), ticket)
	}
	if err != nil {
		return err
	}
	all.Rev = rev
	all.add(&t.out)
	return nil
}

func (all *Imported) add(part *Imported) {
	all.Taken = append(all.Taken, part.Taken...)
	all.Same += part.Same
	all.Problems = append(all.Problems, part.Problems...)
}

// PlanImport is what Import would do now; nothing is stored.
func (l *Ledger) PlanImport(found []Found) Imported {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.takeOver(found)
	t.change.rollback()
	return t.out
}

// takeover is leases being taken over in one step.
type takeover struct {
	l      *Ledger
	now    time.Time
	change *change
	out    Imported
}

// takeOver does it in the decided tables. The caller holds mu.
func (l *Ledger) takeOver(found []Found) *takeover {
	t := &takeover{l: l, now: l.now(), change: l.begin()}
	l.sweep(t.now)
	for i := range found {
		if problem := t.lease(&found[i]); problem != nil {
			if problem.Source.File == "" {
				problem.Source = found[i].Source
			}
			t.out.Problems = append(t.out.Problems, problem)
		}
	}
	return t
}

// lease takes over one of them, or says why not.
func (t *takeover) lease(f *Found) *ipam.Problem {
	n := t.l.shown.order.Containing(f.Addr)
	if n == nil {
		return leftOut(ipam.CodeRange, "the networks are in: berth status", "%s lies in no network of berth's", f.Addr)
	}
	if refused := n.Refuse(f.Addr); refused != nil {
		return refused
	}
	if f.Holder.IsZero() || !f.MAC.IsUnicast() {
		return leftOut(ipam.CodeConfig, "only leases of Ethernet clients can be taken over", "%s is leased to nobody that could be recognised", f.Addr)
	}
	b, h := t.l.bookOf(n.Name), f.Holder
	if known, ok := b.byMAC[f.MAC]; ok && h == ipam.ByMAC(f.MAC) {
		h = known // a guest that is not plugged in now
	}
	own := b.leaseFor(h, f.MAC)
	if own != nil && own.Addr == f.Addr && !own.MAC.IsZero() {
		t.out.Same++
		return nil
	}
	bound := t.binding(n, h, f)
	if problem := t.pinned(b, h, f); problem != nil {
		return problem
	}
	if problem := t.owned(b, own, bound); problem != nil {
		return problem
	}
	t.l.displace(t.change, b, bound, own)
	t.change.do(putLease(bound))
	if p := t.l.pools[n.Name]; p != nil && bound.isIdle(t.now) {
		p.stale = true
	}
	event := Event{Kind: KindLease, Network: n.Name, Holder: h, Addr: f.Addr, At: t.now}
	if own != nil {
		event.From = own.Acked
	}
	t.change.events = append(t.change.events, event)
	t.out.Taken = append(t.out.Taken, bound.Lease)
	return nil
}

func (t *takeover) binding(n *ipam.Network, h ipam.Holder, f *Found) *binding {
	bound := &binding{PinMAC: f.MAC, Lease: f.Lease}
	bound.Network, bound.Holder, bound.Acked, bound.Idle = n.Name, h, f.Addr, false
	bound.Hostname = hostname(f.Hostname)
	if bound.Start.IsZero() || bound.Start.After(t.now) {
		bound.Start = t.now
	}
	bound.Start = time.Unix(0, bound.Start.UnixNano()).UTC()
	if !bound.Expiry.IsZero() {
		bound.Expiry = time.Unix(0, bound.Expiry.UnixNano()).UTC()
	}
	return bound
}

// pinned says whose pin is in the way: of somebody else's on this address, or of the holder's own on another.
func (t *takeover) pinned(b *book, h ipam.Holder, f *Found) *ipam.Problem {
	at, own := b.pinned[f.Addr], b.pinFor(h, f.MAC)
	switch {
	case at != nil && at != own:
		return leftOut(ipam.CodeConflict, fmt.Sprintf("pin %s to an address of its own: berth pin NAME ADDRESS", h),
			"%s is leased to %s, and pinned to %s (%s)", f.Addr, h, at.Holder, at.current().Source)
	case own != nil && own.Addr != f.Addr:
		return leftOut(ipam.CodeConflict, fmt.Sprintf("to keep the address: berth pin %s %s", h, f.Addr),
			"%s is leased to %s, which is pinned to %s (%s)", f.Addr, h, own.Addr, own.current().Source)
	}
	return nil
}

// owned says whose lease is in the way, which may be the holder's own on another address.
func (t *takeover) owned(b *book, own, bound *binding) *ipam.Problem {
	a, h := bound.Addr, bound.Holder
	owner, isOwned := b.owners[a]
	block, isBlocked := b.blocks[a]
	switch {
	case isOwned && owner != h && (own == nil || owner != own.Holder):
		return leftOut(ipam.CodeConflict, "who has which address: berth why "+a.String(), "%s belongs to %s by now, not to %s", a, owner, h)
	case isBlocked && block.Declined:
		return leftOut(ipam.CodeConflict, "who answers: arping "+a.String(), "%s was declined by %s: somebody uses it without a lease", a, block.Holder)
	case isBlocked && block.Holder != h:
		return leftOut(ipam.CodeConflict, "try again after "+block.Until.Local().Format(time.TimeOnly), "%s is in use by %s, which is leaving it", a, block.Holder)
	case own != nil && own.Addr != a && own.Addr.IsValid() && (!own.isIdle(t.now) || bound.isIdle(t.now)):
		return leftOut(ipam.CodeConflict, fmt.Sprintf("to go back to it: berth pin %s %s", h, a), "%s has %s already, and keeps that instead of %s", h, own.Addr, a)
	}
	return nil
}

func leftOut(code, hint, format string, args ...any) *ipam.Problem {
	return &ipam.Problem{Code: code, Text: fmt.Sprintf(format, args...), Hint: hint}
}
