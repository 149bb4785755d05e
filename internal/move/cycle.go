package move

import (
	"fmt"
	"sync"
	"sync/atomic"

	"berth/internal/ipam"
)

// turnAround moves the guests of a cycle, all or none: all are entered and read before the first gives
// up its address, and all are verified before any is done.
func (s *set) turnAround(u unit, members []*mover) {
	defer each(members, (*mover).close)
	if m, err := firstError(members, func(m *mover) error {
		if m.err != nil {
			return m.err
		}
		return m.open()
	}); err != nil {
		s.failAll(members, m, err)
		return
	}
	each(members, func(m *mover) { m.abort(m.gives) })
	m, err := firstError(s.of(u.first), (*mover).giveUp)
	if err == nil {
		m, err = s.takeTurns(u.lanes)
	}
	if err == nil {
		m, err = firstError(members, (*mover).verify)
	}
	if err != nil {
		// Twice: nobody takes an address back that another has not given up.
		each(members, (*mover).retreat)
		s.failAll(members, m, err)
		return
	}
	each(members, (*mover).conclude)
}

// takeTurns has the members take their new addresses, lane by lane at the same time. After a failure nobody begins.
func (s *set) takeTurns(lanes [][]int) (culprit *mover, failure error) {
	var failed atomic.Bool
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, lane := range lanes {
		wg.Go(func() {
			for _, m := range s.of(lane) {
				if failed.Load() {
					return
				}
				if err := m.occupy(); err != nil {
					failed.Store(true)
					mu.Lock()
					culprit, failure = m, err
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return culprit, failure
}

// failAll undoes all members; those without fault are told whose it is.
func (s *set) failAll(members []*mover, culprit *mover, cause error) {
	each(members, func(m *mover) {
		if m == culprit {
			if m.err == nil {
				m.fail(cause)
			}
			return
		}
		m.fail(fmt.Errorf("it can only be had together with %s, which could not be moved", culprit.name()))
		if p, ok := m.err.(*ipam.Problem); ok {
			p.Err = cause
		}
	})
}

// each calls f for all members, several at a time.
func each(members []*mover, f func(*mover)) {
	_, _ = firstError(members, func(m *mover) error { f(m); return nil })
}

// firstError calls f for all members, several at a time, and gives the first in their order that failed.
func firstError(members []*mover, f func(*mover) error) (*mover, error) {
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	slots := make(chan struct{}, workers)
	for i, m := range members {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = f(m)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return members[i], err
		}
	}
	return nil, nil
}
