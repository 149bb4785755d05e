package guest

import "time"

// retry spaces out the attempts to find out who is behind a port. A guest can make
// events at will, so they do not hasten it; only another namespace behind the port does.
type retry struct {
	tries int
	last  time.Time
	after time.Time // no attempt before
}

const (
	firstRetry  = 50 * time.Millisecond
	lastRetry   = 30 * time.Second
	demandRetry = time.Second // on demand of a frame
)

func (r *retry) failed(now time.Time) {
	r.last = now
	r.after = now.Add(min(firstRetry<<min(r.tries, 16), lastRetry))
	r.tries++
}

func (r *retry) demand() {
	if soon := r.last.Add(demandRetry); soon.Before(r.after) {
		r.after = soon
	}
}

func (r *retry) isDue(now time.Time) bool { return !now.Before(r.after) }

// budget is a token bucket: burst uses at once, then one more every interval. The zero
// budget is full.
type budget struct {
	spent int
	since time.Time // when the oldest use that still counts was made
}

const (
	refreshBurst    = 10
	refreshInterval = 50 * time.Millisecond
)

func (b *budget) take(now time.Time) bool {
	back := int(now.Sub(b.since) / refreshInterval)
	if back >= b.spent {
		b.spent, b.since = 0, now
	} else {
		b.spent -= back
		b.since = b.since.Add(time.Duration(back) * refreshInterval)
	}
	if b.spent == refreshBurst {
		return false
	}
	b.spent++
	return true
}

// pause keeps the walks over all processes below a quarter of one processor.
type pause struct{ until time.Time }

func (p *pause) walked(from, to time.Time) { p.until = to.Add(3 * to.Sub(from)) }

func (p *pause) isOver(now time.Time) bool { return !now.Before(p.until) }
