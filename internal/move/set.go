package move

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"berth/internal/guest"
)

// set is the requests that are carried out as one step.
type set struct {
	movers  []*mover
	lans    map[string]*lan
	arrived func(int)

	mu     sync.Mutex
	graves []int // packet sockets to be closed
}

func newSet(requests []Request, arrived func(int)) *set {
	s := &set{lans: make(map[string]*lan), arrived: arrived}
	type port struct {
		inode uint64
		nic   int
	}
	targets := make(map[place]*mover)
	ports := make(map[port]*mover)
	for i, r := range requests {
		m := &mover{Request: r, set: s, number: i}
		m.change = change{from: r.From, to: r.To, bits: r.Bits, gateway: r.Gateway, drain: r.Drain}
		s.movers = append(s.movers, m)
		at := place{r.Guest.Bridge, r.To}
		nic := port{r.Guest.Namespace.Inode, r.Guest.NICIndex}
		switch {
		case !r.To.Is4() || r.Bits < 1 || r.Bits > 32:
			m.err = m.refusal("that is no IPv4 address of a subnet (prefix length %d)", r.Bits)
		case targets[at] != nil:
			m.err = m.refusal("it is meant for %s at the same time", targets[at].name())
		case ports[nic] != nil:
			m.err = m.refusal("it is given %s at the same time", ports[nic].to)
		default:
			targets[at], ports[nic] = m, m
			var err error
			if m.lan, err = s.lanOf(r.Guest.Bridge); err != nil {
				m.err = m.refusal("%v", err)
			}
		}
	}
	return s
}

// lanOf opens each bridge once.
func (s *set) lanOf(bridge string) (*lan, error) {
	if l := s.lans[bridge]; l != nil {
		return l, nil
	}
	l, err := openLAN(bridge)
	if err == nil {
		s.lans[bridge] = l
	}
	return l, err
}

// survey finds what the guests really have of what they leave and of what others of the set take: a
// draining address from the move before is in nobody's request.
func (s *set) survey(ctx context.Context) {
	if len(s.movers) == 1 {
		return
	}
	wanted := make(map[place]int)
	for i, m := range s.movers {
		if m.err == nil {
			wanted[place{m.Guest.Bridge, m.to}] = i
		}
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, workers)
	for i, m := range s.movers {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			m.gives, m.from = split(m, func(a netip.Addr) bool {
				taker, ok := wanted[place{m.Guest.Bridge, a}]
				return ok && taker != i
			}, present(ctx, m))
		})
	}
	wg.Wait()
}

// present is what the guest has, or may have when it can not be read; one that is gone has nothing.
func present(ctx context.Context, m *mover) []netip.Addr {
	prefixes, err := guest.Addresses(ctx, m.Guest)
	switch {
	case errors.Is(err, guest.ErrGone):
		return nil
	case err != nil:
		return m.Request.From
	}
	addrs := slices.Clone(m.Request.From)
	for _, p := range prefixes {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// split tells what another takes from what is only left. Both keep their order.
func split(m *mover, isTaken func(netip.Addr) bool, has []netip.Addr) (gives, from []netip.Addr) {
	for _, a := range has {
		switch {
		case a == m.to:
		case isTaken(a):
			if !slices.Contains(gives, a) {
				gives = append(gives, a)
			}
		case slices.Contains(m.Request.From, a) && !slices.Contains(from, a):
			from = append(from, a)
		}
	}
	return gives, from
}

// wishes are the requests for planning. Those that can not be begun keep what they have, and are in it for that.
func (s *set) wishes() []wish {
	wishes := make([]wish, len(s.movers))
	for i, m := range s.movers {
		wishes[i] = wish{bridge: m.Guest.Bridge, has: slices.Concat(m.gives, m.from), to: m.to}
		if m.err != nil {
			wishes[i].to = netip.Addr{}
		}
	}
	return wishes
}

// carryOut moves a unit, unless one before it failed and so still has what is wanted.
func (s *set) carryOut(ctx context.Context, u unit, all []unit) {
	members := s.of(slices.Concat(u.lanes...))
	for _, m := range members {
		if !m.isDue(ctx) {
			continue
		}
		for _, before := range u.after {
			for _, o := range s.of(slices.Concat(all[before].lanes...)) {
				if o.err != nil && !errors.Is(o.err, guest.ErrGone) && slices.Contains(o.gives, m.to) {
					m.err = m.refusal("%s, which could not be moved, still has it", o.name())
				}
			}
		}
	}
	if len(members) > 1 {
		s.turnAround(u, members)
	} else if m := members[0]; m.err == nil {
		m.run()
	}
}

func (s *set) of(numbers []int) []*mover {
	var members []*mover
	for _, i := range numbers {
		members = append(members, s.movers[i])
	}
	return members
}

// bury takes a packet socket to be closed later.
func (s *set) bury(fd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.graves = append(s.graves, fd)
}

// close leaves to goroutines that nobody waits for what takes ten times as long as the moves and has no
// result: the kernel needs 10 ms and more to close a packet socket or to list tracked connections. Each ends
// by itself within answerTime.
func (s *set) close() {
	if gone := s.vacated(); len(gone) > 0 {
		go forget(gone)
	}
	var files []*os.File
	for _, l := range s.lans {
		files = append(files, l.stop())
	}
	graves := make(chan int, len(s.graves))
	for _, fd := range s.graves {
		graves <- fd
	}
	close(graves)
	for range min(len(graves), workers) {
		go func() {
			for fd := range graves {
				unix.Close(fd)
			}
		}()
	}
	for _, f := range files {
		go f.Close()
	}
}
