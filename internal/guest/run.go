package guest

import (
	"context"
	"slices"
	"time"
)

// Run follows the bridges until ctx ends; then it returns nil. It returns an error when the
// kernel's link events can not be had at all. Run it once.
func (x *Index) Run(ctx context.Context) error {
	events, err := x.subscribe()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		x.listen(ctx, events)
	}()
	defer func() {
		cancel()
		<-stopped
	}()
	x.work(ctx)
	return nil
}

// work looks at what is to do as it comes, and at everything from time to time.
func (x *Index) work(ctx context.Context) {
	s := newSurvey(x.now)
	defer s.kernel.close()
	periodic := time.NewTicker(x.period)
	defer periodic.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	var waiting []request
	defer func() { answer(waiting) }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-periodic.C:
			x.lose()
		case <-x.wake:
		case <-again.C:
		}
		next, err := x.settle(s, &waiting)
		if err != nil {
			x.log.Warn("reading bridge ports failed, trying again", "err", err)
			x.mu.Lock()
			x.todo.relist = true
			x.mu.Unlock()
			next = x.now().Add(troubleRetry)
		}
		if !next.IsZero() {
			again.Reset(max(next.Sub(x.now()), 0))
		}
	}
}

// troubleRetry is the time between two attempts when the kernel does not answer.
const troubleRetry = time.Second

// settle does what is to do and says when to come again, zero for not unasked.
func (x *Index) settle(s *survey, waiting *[]request) (time.Time, error) {
	x.mu.Lock()
	todo := x.todo
	x.todo.relist, x.todo.ports, x.todo.asked = false, nil, nil
	s.wanted = x.bridges
	x.mu.Unlock()
	*waiting = append(*waiting, todo.asked...)

	if todo.relist {
		if err := s.findBridges(); err != nil {
			return time.Time{}, err
		}
		// Before the ports are listed: from here on no event about them may be taken for foreign.
		bridges := s.bridges
		x.follow.Store(&bridges)
	}
	if err := s.update(todo); err != nil {
		return time.Time{}, err
	}
	next, err := s.resolve()
	if err != nil {
		return time.Time{}, err
	}
	x.publish(s.view())
	if todo.relist {
		x.isReady()
	}
	*waiting = slices.DeleteFunc(*waiting, func(r request) bool {
		if s.isPending(r.port) {
			return false
		}
		answer([]request{r})
		return true
	})
	return next, nil
}

func answer(requests []request) {
	for _, r := range requests {
		close(r.done)
	}
}

func (s *survey) update(t todo) error {
	if t.relist {
		if err := s.relist(); err != nil {
			return err
		}
	}
	for index := range t.ports {
		if err := s.touch(index); err != nil {
			return err
		}
	}
	for _, r := range t.asked {
		s.demand(r.port)
	}
	return nil
}

// isReady is called by work's goroutine only.
func (x *Index) isReady() {
	select {
	case <-x.ready:
	default:
		close(x.ready)
	}
}

// lose has everything read anew.
func (x *Index) lose() {
	x.mu.Lock()
	x.todo.relist = true
	x.mu.Unlock()
	x.nudge()
}
