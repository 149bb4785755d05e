package ra

import (
	"math/rand/v2"
	"time"
)

// Protocol constants (RFC 4861 §10).
const (
	maxInitialInterval = 16 * time.Second // MAX_INITIAL_RTR_ADVERT_INTERVAL
	initialCount       = 3                // MAX_INITIAL_RTR_ADVERTISEMENTS
	minDelay           = 3 * time.Second  // MIN_DELAY_BETWEEN_RAS
	maxAnswerDelay     = 500 * time.Millisecond
)

// schedule says when the next advertisement to all is due (RFC 4861 §6.2.4, §6.2.6).
type schedule struct {
	least, most time.Duration // MinRtrAdvInterval, MaxRtrAdvInterval
	initial     int           // how many of the coming ones are among the first
	last, next  time.Time     // last is zero when there was none yet
}

// start makes one due at once, as when an interface becomes an advertising one or what it advertises has changed,
// and the next ones soon. Still no two come within 3 s.
func (s *schedule) start(now time.Time) {
	s.initial = initialCount
	s.next = s.allowed(now)
}

// sent plans the one after.
func (s *schedule) sent(now time.Time) {
	interval := s.least + rand.N(s.most-s.least+1)
	if s.initial = max(s.initial-1, 0); s.initial > 0 {
		interval = min(interval, maxInitialInterval)
	}
	s.last, s.next = now, now.Add(interval)
}

// hasten makes one due for somebody who asked, unless one comes sooner anyway.
func (s *schedule) hasten(now time.Time) {
	if due := s.allowed(now).Add(answerDelay()); due.Before(s.next) {
		s.next = due
	}
}

// allowed is the first instant from now on that is 3 s after the last one.
func (s *schedule) allowed(now time.Time) time.Time {
	if earliest := s.last.Add(minDelay); !s.last.IsZero() && earliest.After(now) {
		return earliest
	}
	return now
}

// answerDelay keeps routers that were all asked at once from answering at once (RFC 4861 §6.2.6).
func answerDelay() time.Duration { return rand.N(maxAnswerDelay + 1) }
