// Package reconcile makes running guests equal to the ledger: it carries out what a
// change of the pins asks for, and heals what drifts.
package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"berth/internal/guest"
	"berth/internal/ipam"
)

// Ledger is what the lower half asks of and tells the ledger.
type Ledger interface {
	Pins() []ipam.Pin
	Lease(network string, h ipam.Holder) (ipam.Lease, bool)
	Owner(network string, a netip.Addr) (ipam.Holder, ipam.Origin, bool)
	Entitled(network string, c ipam.Client) ipam.Entitlement
	Arrive(network string, h ipam.Holder, at netip.Addr)
	Depart(network string, h ipam.Holder, from netip.Addr)
	Drain(ctx context.Context, network string, a netip.Addr, h ipam.Holder, until time.Time) error
	Draining(network string, a netip.Addr) ipam.Holder
	WaitAcked(ctx context.Context, network string, h ipam.Holder, a netip.Addr) error
}

// Guests is who is plugged in.
type Guests interface {
	Snapshot() []guest.Guest
	Watch() (<-chan guest.Event, func())
}

// Reconciler is the one who moves guests. Its methods may be called from several
// goroutines; moves themselves happen one change at a time.
type Reconciler struct {
	ledger Ledger
	guests Guests
	log    *slog.Logger
	nets   func() ipam.Networks

	changing sync.Mutex     // held while guests are being moved
	queue    chan clientKey // of whom to tell
	slots    chan struct{}  // a token for each client being looked for or told
	checks   rechecks

	mu      sync.Mutex
	trouble map[key]*trouble // what could not be moved, and when to try again
	clients map[clientKey]string
	telling map[clientKey]*settling

	answered map[clientKey]time.Time // when its client was last answered after it was told
}

// key is a holder on a network.
type key struct {
	network string
	holder  ipam.Holder
}

// New makes a reconciler; nets gives the networks in force.
func New(l Ledger, g Guests, nets func() ipam.Networks, log *slog.Logger) *Reconciler {
	return &Reconciler{
		ledger: l, guests: g, nets: nets, log: log,
		queue:    make(chan clientKey, 1024),
		slots:    make(chan struct{}, observers),
		telling:  make(map[clientKey]*settling),
		answered: make(map[clientKey]time.Time),
		checks:   rechecks{wake: make(chan struct{}, 1)},
		trouble:  make(map[key]*trouble),
		clients:  make(map[clientKey]string),
	}
}

// String names the task.
func (r *Reconciler) String() string { return "reconcile" }

// How often everything is looked at even when nothing was reported, and how long a
// guest that was just plugged in has to get its address by DHCP before it counts as drifting.
const (
	patrol = 30 * time.Second
	grace  = 5 * time.Second
)

// Run tells DHCP clients about moves and heals drift until ctx ends.
func (r *Reconciler) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	events, stop := r.guests.Watch()
	defer stop()
	wg.Go(func() { r.settleAll(ctx) })
	wg.Go(func() { r.recheckAll(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events:
			if !ok {
				return errors.New("guest events ended")
			}
			if e.Kind == guest.Removed {
				r.forget(e.Guest)
			}
			timer.Reset(grace)
		case <-timer.C:
			r.heal(ctx)
			timer.Reset(patrol)
		}
	}
}

// heal moves the guests that drifted from their pins.
func (r *Reconciler) heal(ctx context.Context) {
	var views []View
	for _, n := range r.nets() {
		views = append(views, r.Observe(ctx, n)...)
	}
	r.nameTruly(ctx, views)
	due := Plan(views, r.ledger.Pins(), r.nets(), r.mayTry)
	if due = append(due, r.overdue(due)...); len(due) > 0 {
		r.retry(ctx, due)
	}
}

// forget drops what was known of a guest that is gone.
func (r *Reconciler) forget(g guest.Guest) {
	r.ledger.Arrive(g.Bridge, HolderOf(g), netip.Addr{}) // it has no other address any more
	r.mu.Lock()
	defer r.mu.Unlock()
	k := clientKey{g.Namespace.Inode, g.NIC}
	delete(r.clients, k)
	delete(r.answered, k)
	delete(r.trouble, key{g.Bridge, HolderOf(g)})
	r.giveUpLocked(k)
}
