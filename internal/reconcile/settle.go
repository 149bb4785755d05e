package reconcile

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/move/client"
)

// settlePatience is how long a client has to ask after it was told, before it is
// told again.
const settlePatience = time.Second

// settleLook is how often it is looked whether the client has asked.
const settleLook = 5 * time.Millisecond

// settleQuiet is how long a client that has just been answered is left alone: the answer may not
// have left yet, and what it runs to put it into effect takes its time.
const settleQuiet = 60 * time.Millisecond

// settleTries is how often it is told; after that its own next renewal settles it.
const settleTries = 3

// settling is a guest whose DHCP client must learn its new address. There is one for each
// interface: a client that is told once more while it is asking may give up what it has and
// begin anew, so a later move joins the one under way.
type settling struct {
	guest guest.Guest

	// Guarded by the reconciler's mu.
	move    ipam.Reassignment // the latest
	waiters []chan struct{}   // closed when the client knows, or nobody will tell it
	cancel  context.CancelFunc
}

// settle has a guest's client told; the channel is closed when it knows. A full queue
// leaves the guest to its own next renewal.
func (r *Reconciler) settle(_ context.Context, g guest.Guest, m ipam.Reassignment) <-chan struct{} {
	done := make(chan struct{})
	k := clientKey{g.Namespace.Inode, g.NIC}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.telling[k]; s != nil {
		s.waiters = append(s.waiters, done)
		s.move = m
		if s.cancel == nil {
			return done // it is being told now
		}
		s.cancel() // it only waited for its own renewal: tell it
		s.cancel = nil
	} else {
		r.telling[k] = &settling{guest: g, move: m, waiters: []chan struct{}{done}}
	}
	select {
	case r.queue <- k:
	default:
		r.log.Warn("too many guests are settling; this one waits for its own renewal", "network", m.Network, "name", m.Holder)
		r.giveUpLocked(k)
	}
	return done
}

// settleAll tells the clients of queued guests until ctx ends.
func (r *Reconciler) settleAll(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case k := <-r.queue:
			wg.Go(func() {
				told, knows := r.tell(ctx, k)
				if !knows && ctx.Err() == nil {
					r.waitForRenewal(ctx, k, told)
				}
			})
		}
	}
}

// tell makes one client ask for its lease again, and reports whether it knows its address now. What
// it was told last comes back too.
func (r *Reconciler) tell(ctx context.Context, k clientKey) (m ipam.Reassignment, knows bool) {
	s, m := r.latest(k)
	if s == nil {
		return m, true
	}
	// Held only for what costs something: a client that does not answer keeps nobody else waiting.
	if !r.takeSlot(ctx) {
		return m, false
	}
	c := client.Detect(ctx, s.guest)
	r.freeSlot()
	r.mu.Lock()
	r.clients[k] = c.Name()
	r.mu.Unlock()
	for range settleTries {
		if _, m = r.latest(k); c.Name() == NoClient || r.knows(m) {
			return m, r.finish(k, m)
		}
		if !r.awaitQuiet(ctx, k) {
			return m, false
		}
		if _, m = r.latest(k); r.knows(m) {
			return m, r.finish(k, m)
		}
		before, _ := r.ledger.Lease(m.Network, m.Holder)
		if !r.takeSlot(ctx) {
			return m, false
		}
		err := c.Settle(ctx)
		r.freeSlot()
		if errors.Is(err, client.ErrWait) {
			return m, false // this one is not to be told: it converges at its next renewal
		}
		if err != nil {
			r.log.Info("dhcp client could not be told", "network", m.Network, "name", m.Holder, "err", err)
		}
		if !r.awaitAnswer(ctx, m, before) {
			continue
		}
		r.mu.Lock()
		r.answered[k] = time.Now()
		r.mu.Unlock()
		if _, m = r.latest(k); r.knows(m) {
			return m, r.finish(k, m)
		}
	}
	return m, false
}

// awaitQuiet waits until the client has had the time to digest its last answer; false: ctx ended.
func (r *Reconciler) awaitQuiet(ctx context.Context, k clientKey) bool {
	r.mu.Lock()
	at, ok := r.answered[k]
	r.mu.Unlock()
	rest := time.Until(at.Add(settleQuiet))
	if !ok || rest <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// awaitAnswer waits until the client has been told anything since before was its lease.
func (r *Reconciler) awaitAnswer(ctx context.Context, m ipam.Reassignment, before ipam.Lease) bool {
	tick := time.NewTicker(settleLook)
	defer tick.Stop()
	limit := time.NewTimer(settlePatience)
	defer limit.Stop()
	for {
		if l, ok := r.ledger.Lease(m.Network, m.Holder); ok && (l.Acked != before.Acked || !l.Expiry.Equal(before.Expiry)) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-limit.C:
			return false
		case <-tick.C:
		}
	}
}

// waitForRenewal waits until the client asks by itself, or is to be told something newer than m.
func (r *Reconciler) waitForRenewal(ctx context.Context, k clientKey, m ipam.Reassignment) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	s := r.telling[k]
	if s == nil {
		r.mu.Unlock()
		return
	}
	s.cancel = cancel
	newer := s.move != m
	r.mu.Unlock()
	if newer {
		r.requeue(k)
		return
	}
	if r.ledger.WaitAcked(ctx, m.Network, m.Holder, m.To) == nil {
		r.finish(k, m)
	}
}

// latest is what the guest's client is to be told.
func (r *Reconciler) latest(k clientKey) (*settling, ipam.Reassignment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.telling[k]; s != nil {
		return s, s.move
	}
	return nil, ipam.Reassignment{}
}

// knows reports whether the client was last told the address it shall have.
func (r *Reconciler) knows(m ipam.Reassignment) bool {
	l, ok := r.ledger.Lease(m.Network, m.Holder)
	return ok && l.Acked == m.To
}

// finish lets those go who wait, unless the guest was moved once more meanwhile: then its
// client is queued again. It reports whether there is nothing left to do.
func (r *Reconciler) finish(k clientKey, m ipam.Reassignment) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.telling[k]
	if s == nil {
		return true
	}
	if s.move != m {
		s.cancel = nil
		return r.requeueLocked(k)
	}
	for _, w := range slices.Clone(s.waiters) {
		close(w)
	}
	delete(r.telling, k)
	return true
}

// requeue has a guest's client told once more.
func (r *Reconciler) requeue(k clientKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.telling[k]; s != nil {
		s.cancel = nil
		r.requeueLocked(k)
	}
}

// requeueLocked is false, and the guest left to its own renewal, when too many wait.
func (r *Reconciler) requeueLocked(k clientKey) bool {
	select {
	case r.queue <- k:
		return true
	default:
		r.giveUpLocked(k)
		return false
	}
}

// giveUpLocked lets those go who wait for a client that nobody will tell: they look for themselves
// how far it is.
func (r *Reconciler) giveUpLocked(k clientKey) {
	s := r.telling[k]
	if s == nil {
		return
	}
	if s.cancel != nil {
		s.cancel()
	}
	for _, w := range s.waiters {
		close(w)
	}
	delete(r.telling, k)
}

func (r *Reconciler) takeSlot(ctx context.Context) bool {
	select {
	case r.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Reconciler) freeSlot() { <-r.slots }
