package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	"berth/internal/guest"
	"berth/internal/ipam"
	"berth/internal/move/client"
)

// settlePatience is how long a client has to ask after it was told, before it is
// told again.
const settlePatience = time.Second

// settleTries is how often it is told; after that its own next renewal settles it.
const settleTries = 3

// settleJob is a guest whose DHCP client must learn its new address.
type settleJob struct {
	guest guest.Guest
	move  ipam.Reassignment
	done  chan struct{}
}

// settle queues a guest; the channel is closed when its client knows. A full queue
// leaves the guest to its own next renewal.
func (r *Reconciler) settle(_ context.Context, g guest.Guest, m ipam.Reassignment) <-chan struct{} {
	job := settleJob{guest: g, move: m, done: make(chan struct{})}
	select {
	case r.settling <- job:
	default:
		r.log.Warn("too many guests are settling; this one waits for its own renewal", "network", m.Network, "name", m.Holder)
	}
	return job.done
}

// settleAll tells the clients of queued guests until ctx ends.
func (r *Reconciler) settleAll(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, observers)
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-r.settling:
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				defer func() { <-slots }()
				r.tell(ctx, job)
			})
		}
	}
}

// tell makes one client ask for its lease again, and waits until it was answered.
func (r *Reconciler) tell(ctx context.Context, job settleJob) {
	c := client.Detect(ctx, job.guest)
	r.mu.Lock()
	r.clients[clientKey{job.guest.Namespace.Inode, job.guest.NIC}] = c.Name()
	r.mu.Unlock()
	if c.Name() == NoClient {
		close(job.done)
		return
	}
	for range settleTries {
		l, ok := r.ledger.Lease(job.move.Network, job.move.Holder)
		if ok && l.Acked == job.move.To {
			close(job.done)
			return
		}
		if ok && l.Addr != job.move.To {
			return // moved again meanwhile
		}
		err := c.Settle(ctx)
		if errors.Is(err, client.ErrWait) {
			return // this one is not to be told: it converges at its next renewal
		}
		if err != nil {
			r.log.Info("dhcp client could not be told", "network", job.move.Network, "name", job.move.Holder, "err", err)
		}
		wait, cancel := context.WithTimeout(ctx, settlePatience)
		err = r.ledger.WaitAcked(wait, job.move.Network, job.move.Holder, job.move.To)
		cancel()
		if err == nil {
			close(job.done)
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}
