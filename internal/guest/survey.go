package guest

import (
	"slices"
	"strings"
	"time"

	"berth/internal/ipam"
)

// survey is what is known of the bridges, their ports and the namespaces behind them.
// One goroutine owns it.
type survey struct {
	kernel  kernel
	now     func() time.Time
	wanted  []string       // names of the bridges to follow
	bridges map[int]string // those that exist, by ifindex
	ports   map[int]*port  // by ifindex
	spaces  map[int]*space // by their number as the kernel gives it
	seq     uint64
	pause   pause
	walks   int // passes over /proc so far
}

func newSurvey(now func() time.Time) *survey {
	return &survey{
		now:     now,
		bridges: make(map[int]string),
		ports:   make(map[int]*port),
		spaces:  make(map[int]*space),
	}
}

// findBridges looks which of the wanted bridges exist.
func (s *survey) findBridges() error {
	bridges := make(map[int]string)
	for _, name := range s.wanted {
		index, err := s.kernel.bridge(name)
		if err != nil {
			return err
		}
		if index != 0 {
			bridges[index] = name
		}
	}
	s.bridges = bridges
	return nil
}

// relist reads all ports of all bridges anew.
func (s *survey) relist() error {
	listed := make(map[int]bool)
	for index := range s.bridges {
		links, err := s.kernel.ports(index)
		if err != nil {
			return err
		}
		for _, l := range links {
			listed[l.index] = true
			s.see(l)
		}
	}
	// A list can be incomplete: each port missing from it is asked for by itself.
	for index := range s.ports {
		if !listed[index] {
			if err := s.touch(index); err != nil {
				return err
			}
		}
	}
	return s.recheck()
}

// touch reads one interface anew.
func (s *survey) touch(index int) error {
	l, err := s.kernel.link(index)
	if isAbsent(err) {
		delete(s.ports, index)
		return nil
	}
	if err != nil {
		return err
	}
	s.see(l)
	if p := s.ports[index]; p != nil && p.nic.index != 0 {
		return s.readNIC(p)
	}
	return nil
}

// see takes in what the kernel says of an interface.
func (s *survey) see(l link) {
	bridge, ours := s.bridges[l.master]
	if !ours {
		delete(s.ports, l.index)
		return
	}
	p := s.ports[l.index]
	if p == nil || p.kind != l.kind || p.name != l.name || p.bridge != bridge {
		p = &port{}
		s.ports[l.index] = p
	}
	if p.peer != l.peer || p.nsid != l.nsid {
		p.space, p.nic, p.retry = nil, link{}, retry{}
	}
	p.link, p.bridge = l, bridge
}

// recheck finds out which namespaces are not what they were.
func (s *survey) recheck() error {
	for _, sp := range s.spaces {
		if !sp.dead && !sp.isCurrent(&s.kernel) {
			sp.dead = true
		}
	}
	for _, p := range s.ports {
		if p.space != nil && p.space.dead {
			p.retry = retry{}
		}
	}
	for _, p := range s.ports {
		if err := s.readNIC(p); err != nil {
			return err
		}
	}
	return nil
}

// readNIC reads the far end of a port: the guest may rename it and change its hardware
// address at any time, and the near end does not tell.
func (s *survey) readNIC(p *port) error {
	if !p.leadsInside() {
		return nil
	}
	nic, err := s.kernel.linkIn(p.nsid, p.peer)
	if isAbsent(err) || err == nil && (nic.kind != "veth" || nic.peer != p.index) {
		// It is on its way elsewhere, or going; the port will show which.
		p.nic = link{}
		return nil
	}
	if err != nil {
		return err
	}
	p.nic = nic
	return nil
}

// view decides the names and makes what others see.
func (s *survey) view() *view {
	byBridge := make(map[string][]*port)
	for _, p := range s.ports {
		byBridge[p.bridge] = append(byBridge[p.bridge], p)
	}
	v := newView()
	for _, ports := range byBridge {
		s.buryNamesakes(ports)
		names, problems := assign(ports)
		for _, p := range ports {
			v.add(p, names[p.index])
		}
		v.warnings = append(v.warnings, problems...)
	}
	slices.SortFunc(v.guests, byPlace)
	slices.SortFunc(v.warnings, func(a, b *ipam.Problem) int { return strings.Compare(a.Text, b.Text) })
	return v
}

// buryNamesakes finds out which of several guests of one name have ended: one that
// reboots may be there again before its old port has gone.
func (s *survey) buryNamesakes(ports []*port) {
	first := make(map[string]*space)
	for _, p := range ports {
		sp := p.space
		if sp == nil || sp.mark.name == "" {
			continue
		}
		name := strings.ToLower(sp.mark.name)
		other := first[name]
		if other == nil {
			first[name] = sp
			continue
		}
		for _, candidate := range []*space{sp, other} {
			if sp != other && !candidate.dead && !candidate.isCurrent(&s.kernel) {
				candidate.dead = true
			}
		}
	}
}
