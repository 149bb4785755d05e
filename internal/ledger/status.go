package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"berth/internal/ipam"
	"berth/internal/ledger/journal"
)

// Status is how the ledger is.
type Status struct {
	Rev      uint64
	Pins     int
	Leases   int // idle ones too
	Offers   int
	Journal  journal.Status
	Warnings ipam.Problems // what a person should do something about
}

// Status tells how the ledger is.
func (l *Ledger) Status() Status {
	s := Status{Journal: l.journal.Status()}
	if s.Journal.Err != nil {
		s.Warnings = append(s.Warnings, diskProblem(s.Journal.Err))
	} else if s.Journal.SnapshotErr != nil {
		p := diskProblem(s.Journal.SnapshotErr)
		p.Text = fmt.Sprintf("the ledger's journal can not be shortened: %v", s.Journal.SnapshotErr)
		s.Warnings = append(s.Warnings, p)
	}
	s.Warnings = append(s.Warnings, l.complaint.standing(l.opts.Now())...)
	l.show.RLock()
	defer l.show.RUnlock()
	s.Rev, s.Offers = l.shown.rev, len(l.shown.offers.byHolder)
	for _, b := range l.shown.books {
		s.Pins += len(b.pins)
		s.Leases += len(b.leases)
	}
	return s
}

// Pins are the pins in force, in order of network and address.
func (l *Ledger) Pins() []ipam.Pin {
	l.show.RLock()
	type placed struct {
		network string
		pin     *pin
	}
	var all []placed
	for network, b := range l.shown.books {
		for _, p := range b.pins {
			all = append(all, placed{network, p})
		}
	}
	l.show.RUnlock()
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.network, b.network), a.pin.Addr.Compare(b.pin.Addr))
	})
	pins := make([]ipam.Pin, len(all))
	for i, p := range all {
		pins[i] = p.pin.current()
	}
	return pins
}

// Problems are the standing refusals of the last SetPins.
func (l *Ledger) Problems() ipam.Problems { return l.complaint.pinProblems() }

// Leases are all leases, idle ones too and those of networks that are not configured now, in
// order of network and address.
func (l *Ledger) Leases() []ipam.Lease {
	// Noted, not copied, while others wait: leases are never changed, only replaced.
	l.show.RLock()
	var noted []*binding
	for _, b := range l.shown.books {
		noted = slices.AppendSeq(slices.Grow(noted, len(b.leases)), maps.Values(b.leases))
	}
	l.show.RUnlock()
	var leases []ipam.Lease
	if len(noted) > 0 {
		leases = make([]ipam.Lease, len(noted))
	}
	for i, lease := range noted {
		leases[i] = lease.Lease
	}
	slices.SortFunc(leases, func(a, b ipam.Lease) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), a.Addr.Compare(b.Addr))
	})
	return leases
}

// Lease is the lease of a holder on a network.
func (l *Ledger) Lease(network string, h ipam.Holder) (ipam.Lease, bool) {
	l.show.RLock()
	defer l.show.RUnlock()
	if b := l.shown.books[network]; b != nil && b.leases[h] != nil {
		return b.leases[h].Lease, true
	}
	return ipam.Lease{}, false
}

// Owner tells whose an address is. For a pin by hardware address that is the client who has its
// lease, or the hardware address when nobody has.
func (l *Ledger) Owner(network string, a netip.Addr) (ipam.Holder, ipam.Origin, bool) {
	l.show.RLock()
	defer l.show.RUnlock()
	b := l.shown.books[network]
	if b == nil {
		return ipam.Holder{}, "", false
	}
	h, owned := b.owners[a]
	if p := b.pinned[a]; p != nil {
		if owned {
			return h, ipam.FromPin, true
		}
		return p.Holder, ipam.FromPin, true
	}
	if owned {
		return h, ipam.FromLease, true
	}
	if f := l.shown.offers.byAddr[placeKey{network, a}]; f != nil && f.until.After(l.opts.Now()) {
		return f.holder, ipam.FromOffer, true
	}
	return ipam.Holder{}, "", false
}

// complaints are what a person should know of and the tables do not tell.
type complaints struct {
	mu      sync.Mutex
	refused ipam.Problems
	decline map[placeKey]complaint
	loaded  ipam.Problems
}

type complaint struct {
	problem *ipam.Problem
	until   time.Time
}

func (c *complaints) declined(p *pin, h ipam.Holder, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decline == nil {
		c.decline = map[placeKey]complaint{}
	}
	c.decline[placeKey{p.network, p.Addr}] = complaint{until: until, problem: &ipam.Problem{
		Code: ipam.CodeConflict, Source: p.current().Source, Err: errors.New("declined"),
		Text: fmt.Sprintf("%s, to which it is pinned, was declined by %s: somebody else on %s uses the address", p.Addr, h, p.network),
		Hint: fmt.Sprintf("who answers: arping -I %s %s", p.network, p.Addr),
	}}
}

func (c *complaints) setPinProblems(ps ipam.Problems) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = ps
}

func (c *complaints) pinProblems() ipam.Problems {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.refused)
}

// standing are the complaints of which no other method tells.
func (c *complaints) standing(now time.Time) ipam.Problems {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.loaded)
	for at, d := range c.decline {
		if d.until.After(now) {
			out = append(out, d.problem)
		} else {
			delete(c.decline, at)
		}
	}
	slices.SortFunc(out, func(a, b *ipam.Problem) int { return cmp.Compare(a.Text, b.Text) })
	return out
}
