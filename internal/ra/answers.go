package ra

import (
	"net/netip"
	"time"
)

// Bounds for answers to single guests. What goes beyond them is answered by an advertisement to all, of which there
// is one in 3 s at most: a flood of solicitations costs next to nothing.
const (
	maxPending = 64
	answerRate = 50 // a second
)

// answers are those owed to single guests, each with the instant it is due.
type answers struct {
	due    map[netip.Addr]time.Time
	tokens float64
	filled time.Time
}

// add plans an answer; it reports whether it may. A guest that asks again before it got one gets one.
func (a *answers) add(to netip.Addr, now time.Time) bool {
	if _, owed := a.due[to]; owed {
		return true
	}
	if len(a.due) >= maxPending || !a.take(now) {
		return false
	}
	if a.due == nil {
		a.due = make(map[netip.Addr]time.Time)
	}
	a.due[to] = now.Add(answerDelay())
	return true
}

func (a *answers) take(now time.Time) bool {
	if a.filled.IsZero() {
		a.tokens = answerRate
	} else if d := now.Sub(a.filled); d > 0 {
		a.tokens = min(answerRate, a.tokens+d.Seconds()*answerRate)
	}
	a.filled = now
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}

// ripe takes out those that are due.
func (a *answers) ripe(now time.Time) []netip.Addr {
	var ready []netip.Addr
	for to, due := range a.due {
		if !due.After(now) {
			ready = append(ready, to)
			delete(a.due, to)
		}
	}
	return ready
}

// next is when the first is due, or other when that is sooner.
func (a *answers) next(other time.Time) time.Time {
	for _, due := range a.due {
		if due.Before(other) {
			other = due
		}
	}
	return other
}
