package guest

import (
	"maps"
	"slices"
	"time"
)

// resolve finds who is behind the ports that are not settled and may be tried now. It
// reports when to come back for those left, zero when there are none.
func (s *survey) resolve() (time.Time, error) {
	now := s.now()
	var unsettled []*port
	var next time.Time
	wanted := make(map[int]bool)
	for _, p := range s.ports {
		switch {
		case !p.leadsInside() || p.isSettled():
		case !p.retry.isDue(now):
			next = earliest(next, p.retry.after)
		default:
			unsettled = append(unsettled, p)
			if sp := s.spaces[p.nsid]; sp == nil || sp.mark.name == "" || !sp.isCurrent(&s.kernel) {
				wanted[p.nsid] = true
			}
		}
	}
	if len(wanted) > 0 && !s.pause.isOver(now) {
		next = earliest(next, s.pause.until)
		unsettled = slices.DeleteFunc(unsettled, func(p *port) bool { return wanted[p.nsid] })
		clear(wanted)
	}
	if len(wanted) > 0 {
		if err := s.walk(wanted); err != nil {
			return time.Time{}, err
		}
	}
	s.connect()
	for _, p := range unsettled {
		if err := s.readNIC(p); err != nil {
			return time.Time{}, err
		}
		if !p.isSettled() {
			p.retry.failed(now)
			next = earliest(next, p.retry.after)
		}
	}
	s.forget()
	return next, nil
}

// connect gives each port the living namespace it leads to. A dead one is kept by the
// ports that had it and never given to another: its number may be somebody else's by now.
func (s *survey) connect() {
	for _, p := range s.ports {
		sp := s.spaces[p.nsid]
		if !p.leadsInside() || sp == nil || sp.dead || sp == p.space {
			continue
		}
		if p.space != nil && p.space.ns.Inode != sp.ns.Inode {
			p.nic, p.retry = link{}, retry{}
		}
		p.space = sp
	}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// walk looks for the namespaces numbered wanted, all in one pass.
func (s *survey) walk(wanted map[int]bool) error {
	from := s.now()
	found, err := find(&s.kernel, slices.Collect(maps.Keys(wanted)))
	s.pause.walked(from, s.now())
	s.walks++
	if err != nil {
		return err
	}
	for nsid := range wanted {
		sp, ok := found[nsid]
		old := s.spaces[nsid]
		switch {
		case !ok && old == nil:
		case !ok:
			// Nothing speaks for it any more. Its ports keep their names until
			// they go, or until a living guest of that name comes.
			old.dead = true
		case old != nil && old.ns.Inode == sp.ns.Inode && old.mark == sp.mark:
			old.ns, old.dead = sp.ns, false
		default:
			if old != nil {
				old.dead = true
			}
			s.seq++
			sp.seq = s.seq
			s.spaces[nsid] = &sp
		}
	}
	return nil
}

// forget drops the namespaces that no port leads to.
func (s *survey) forget() {
	used := make(map[*space]bool, len(s.spaces))
	for _, p := range s.ports {
		used[p.space] = true
	}
	for nsid, sp := range s.spaces {
		if !used[sp] {
			delete(s.spaces, nsid)
		}
	}
}

// demand lets resolve try a port sooner than planned, because a frame came in on it.
func (s *survey) demand(index int) {
	if p := s.ports[index]; p != nil {
		p.retry.demand()
	}
}

// isPending reports whether resolve has yet to try a port.
func (s *survey) isPending(index int) bool {
	p := s.ports[index]
	return p != nil && p.leadsInside() && !p.isSettled() && p.retry.isDue(s.now())
}
