package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"berth/internal/ipam"
	"berth/internal/ledger/journal"
)

// Change is what a new set of pins brings about.
type Change struct {
	Rev     uint64              // the revision it was stored under
	Moves   []ipam.Reassignment // who has another address from now on
	Added   []ipam.Pin          // new, or for another address than before
	Removed []ipam.Pin          // gone, or replaced by one of Added
	// Problems are the wished pins that were refused, and who lost an address without getting
	// another.
	Problems ipam.Problems
}

// SetPins makes the pins equal to the wished ones, except those that are refused (see
// Change.Problems), all in one step: it is durable, and seen by everybody, on return. Whoever
// has a pinned address is moved away; whoever is not pinned any more keeps its address as
// an ordinary lease. ctx only bounds the wait for an earlier SetPins. With an error
// (ErrDisk) nothing has changed.
func (l *Ledger) SetPins(ctx context.Context, wished []ipam.Pin) (Change, error) {
	if err := l.lockPins(ctx); err != nil {
		return Change{}, err
	}
	defer l.unlockPins()
	diff := l.compare(wished)
	var out Change
	var ticket journal.Ticket
	err := l.resolve(diff, func(c *change, p *plan) (err error) {
		out = p.change
		if len(c.ops) == 0 {
			out.Rev = l.rev
			return nil
		}
		p.prepare(c)
		ticket, err = c.store()
		out.Rev = c.rev
		return err
	})
	if err == nil && ticket != (journal.Ticket{}) {
		// Whoever cancels wants to know what came of it all the same.
		err = l.await(context.WithoutCancel(ctx), ticket)
	}
	if err != nil {
		l.mu.Lock()
		maps.Copy(l.renumbered, diff.renumbered)
		l.mu.Unlock()
		return Change{}, err
	}
	diff.adoptSources()
	l.dropOffers(diff.added)
	l.complaint.setPinProblems(out.Problems)
	return out, nil
}

// dropOffers ends the offers to those who are pinned now.
func (l *Ledger) dropOffers(pinned []*pin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range pinned {
		l.dropOffer(key{p.network, p.Holder})
	}
}

// PlanPins is what SetPins would do now; nothing is stored.
func (l *Ledger) PlanPins(wished []ipam.Pin) Change {
	_ = l.lockPins(context.Background()) // never ends
	defer l.unlockPins()
	diff := l.compare(wished)
	var out Change
	_ = l.resolve(diff, func(c *change, p *plan) error {
		out = p.change
		c.rollback()
		l.recollect(diff.nets)
		maps.Copy(l.renumbered, diff.renumbered)
		return nil
	})
	return out
}

func (l *Ledger) lockPins(ctx context.Context) error {
	select {
	case l.pinning <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for an earlier change of pins: %w", ctx.Err())
	}
}

func (l *Ledger) unlockPins() { <-l.pinning }

// pinDiff is how a wished set of pins differs from the one in force. It is made without
// mu, because it looks at every pin: the pins of the decided books change only under the token.
type pinDiff struct {
	nets       ipam.Networks
	renumbered map[string]bool
	problems   ipam.Problems
	added      []*pin
	removed    []*pin // those for whose holder there is no new one
	replaced   []*pin
	sources    []ipam.Pin // the effective pins, with the places where they stand now
	books      map[string]*book
}

func (l *Ledger) compare(wished []ipam.Pin) *pinDiff {
	d := &pinDiff{books: map[string]*book{}}
	l.mu.Lock()
	d.nets = l.shown.order
	for name, b := range l.decided {
		d.books[name] = b
	}
	l.mu.Unlock()
	d.sources, d.problems = ipam.ResolvePins(wished, d.nets, l.present)
	l.pinMark++
	kept := map[*book]int{}
	for i := range d.sources {
		w := &d.sources[i]
		n := d.nets.Containing(w.Addr)
		b := d.books[n.Name]
		kept[b]++
		have := b.pins[w.Holder]
		if have != nil {
			have.mark = l.pinMark
			if have.Addr == w.Addr && have.Name == w.Name && have.LeaseTime == w.LeaseTime {
				continue
			}
			d.replaced = append(d.replaced, have)
		} else {
			kept[b]--
		}
		d.added = append(d.added, &pin{Pin: *w, network: n.Name, mark: l.pinMark})
	}
	for _, b := range d.books {
		if kept[b] == len(b.pins) {
			continue
		}
		for _, p := range b.pins {
			if p.mark != l.pinMark {
				d.removed = append(d.removed, p)
			}
		}
	}
	slices.SortFunc(d.removed, func(a, b *pin) int { return a.Addr.Compare(b.Addr) })
	return d
}

// present answers who has an address now, for the choice between two who want it.
func (l *Ledger) present(network string, a netip.Addr) ipam.Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.decided[network]
	if b == nil {
		return ipam.Holder{}
	}
	if p := b.pinned[a]; p != nil {
		return p.Holder
	}
	return b.owners[a]
}

// adoptSources notes where the pins stand now: a line inserted at the top of a file moves
// all of them, which is nothing to store.
func (d *pinDiff) adoptSources() {
	for i := range d.sources {
		w := &d.sources[i]
		have := d.books[d.nets.Containing(w.Addr).Name].pins[w.Holder]
		if have != nil && have.current().Source != w.Source {
			source := w.Source // a copy: a pointer into the slice would keep all of it
			have.source.Store(&source)
		}
	}
}

// errProbe says that a decision has to be made again with more known.
var errProbe = errors.New("more has to be observed")

// resolve makes the decision that a difference calls for, observing whom it must, and has use
// store it or roll it back, with mu held.
func (l *Ledger) resolve(d *pinDiff, use func(*change, *plan) error) error {
	asked := probes{}
	for {
		missing, err := l.tryResolve(d, asked, use)
		if !errors.Is(err, errProbe) {
			return err
		}
		l.probe(asked, missing)
	}
}

func (l *Ledger) tryResolve(d *pinDiff, asked probes, use func(*change, *plan) error) ([]key, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(l.now())
	d.renumbered = l.renumbered
	p := newPlan(l, d, asked)
	if len(p.missing) > 0 {
		return p.missing, errProbe
	}
	c := l.begin()
	p.decide(c)
	if len(p.missing) > 0 {
		c.rollback()
		l.recollect(d.nets)
		return p.missing, errProbe
	}
	l.renumbered = map[string]bool{}
	return nil, use(c, p)
}
